import { randomBytes } from "node:crypto";
import { lstatSync, mkdirSync, readdirSync, rmSync } from "node:fs";
import { copyFile, lstat, readFile, rename, rm } from "node:fs/promises";
import { dirname, join, resolve, sep } from "node:path";

import { sha256Hex } from "../wire/content-hash";
import { syncFolder, writeNew } from "./durable";
import { lockFolder } from "./folder-lock";
import type { ObjectStore, StoredObject } from "./objects";
import { StoreUnavailable } from "./unavailable";

const PREVIOUS = ".prev";
const TEMPORARY = ".tmp-";

/**
 * Objects in a folder that this process has for itself: atomic rename, flushed, compare-and-swap under a lock per
 * path, the previous version beside it as `<name>.prev`.
 */
export function folderObjects(options: { readonly dir: string }): ObjectStore {
  const root = resolve(options.dir);
  const lock = lockFolder(root);
  removeLeftovers(root);
  const queues = new Map<string, Promise<unknown>>();

  function fileOf(path: string): string {
    const file = resolve(root, path);
    if (!file.startsWith(root + sep)) throw new RangeError("an object's path leaves its folder");
    return file;
  }

  /** One writer at a time for each path. */
  async function alone<T>(file: string, act: () => Promise<T>): Promise<T> {
    const before = queues.get(file) ?? Promise.resolve();
    const mine = before.then(act, act);
    const settled = mine.catch(() => undefined);
    queues.set(file, settled);
    try {
      return await mine;
    } finally {
      if (queues.get(file) === settled) queues.delete(file);
    }
  }

  async function read(file: string): Promise<StoredObject | undefined> {
    try {
      if ((await lstat(file)).isSymbolicLink()) throw new StoreUnavailable("an object is a symbolic link");
      const bytes = await readFile(file);
      return { bytes, tag: sha256Hex(bytes) };
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return undefined;
      throw unavailable(error);
    }
  }

  async function replace(file: string, bytes: Uint8Array, hasPrevious: boolean): Promise<void> {
    const dir = dirname(file);
    const temporary = join(dir, `${TEMPORARY}${randomBytes(8).toString("hex")}`);
    try {
      makeFolders(root, dir);
      await writeNew(temporary, bytes);
      if (hasPrevious) {
        const kept = `${temporary}${PREVIOUS}`;
        await copyFile(file, kept);
        await rename(kept, file + PREVIOUS);
      }
      await rename(temporary, file);
      syncFolder(dir);
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw unavailable(error);
    }
  }

  const store: ObjectStore = {
    get: (path) => read(fileOf(path)),

    put: (path, bytes, expected) => {
      const file = fileOf(path);
      return alone(file, async () => {
        const current = await read(file);
        if (current?.tag !== expected) return "conflict";
        await replace(file, bytes, current !== undefined);
        return "written";
      });
    },

    async probe() {
      const path = ".probe";
      await rm(fileOf(path), { force: true });
      const first = await store.put(path, Buffer.from("1"), undefined);
      const stale = await store.put(path, Buffer.from("2"), undefined);
      if (first !== "written" || stale !== "conflict") throw new StoreUnavailable("compare-and-swap is not enforced");
      await rm(fileOf(path), { force: true });
    },

    close() {
      lock.release();
      return Promise.resolve();
    },
  };
  return store;
}

/** Makes each missing folder and flushes its parent; refuses a symbolic link on the way. */
function makeFolders(root: string, dir: string): void {
  if (dir === root) return;
  makeFolders(root, dirname(dir));
  try {
    mkdirSync(dir, { mode: 0o700 });
    syncFolder(dirname(dir));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    if (lstatSync(dir).isSymbolicLink()) throw new StoreUnavailable("a folder of objects is a symbolic link");
  }
}

/** What a crash left half written was never acknowledged. */
function removeLeftovers(root: string): void {
  for (const entry of readdirSync(root, { recursive: true, withFileTypes: true })) {
    if (entry.isFile() && entry.name.startsWith(TEMPORARY)) rmSync(join(entry.parentPath, entry.name), { force: true });
  }
}

function unavailable(error: unknown): StoreUnavailable {
  return error instanceof StoreUnavailable ? error : new StoreUnavailable("the object folder failed", { cause: error });
}

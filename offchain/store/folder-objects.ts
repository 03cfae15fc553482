import { randomBytes } from "node:crypto";
import { existsSync, lstatSync, mkdirSync, readdirSync, realpathSync, rmSync } from "node:fs";
import { constants, link, open, realpath, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";

import { sha256Hex } from "../wire/content-hash";
import { flushFolder, syncFolder, writeNew } from "./durable";
import { lockFolder } from "./folder-lock";
import type { ObjectStore, StoredObject } from "./objects";
import { StoreUnavailable } from "./unavailable";

const PREVIOUS = ".prev";
const TEMPORARY = ".tmp-";
const PROBE = ".probe";

/**
 * Objects in a folder that this process has for itself: atomic rename, flushed, compare-and-swap under a lock per
 * path, the previous version beside it as `<name>.prev`. Tags are the SHA-256 of the bytes.
 */
export function folderObjects(options: { readonly dir: string }): ObjectStore {
  const lock = lockFolder(options.dir);
  const root = realpathSync(options.dir);
  removeLeftovers(root);
  const queues = new Map<string, Promise<unknown>>();

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
      const dir = dirname(file);
      if ((await realpath(dir)) !== dir) throw new StoreUnavailable("a folder of objects is a symbolic link");
      const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        const bytes = await handle.readFile();
        return { bytes, tag: sha256Hex(bytes) };
      } finally {
        await handle.close();
      }
    } catch (error) {
      // nothing under this path; but a whole folder that is gone is no answer
      if ((error as NodeJS.ErrnoException).code === "ENOENT" && existsSync(root)) return undefined;
      throw unavailable(error);
    }
  }

  async function replace(file: string, bytes: Uint8Array, hasPrevious: boolean): Promise<void> {
    const dir = dirname(file);
    const temporary = join(dir, `${TEMPORARY}${randomBytes(8).toString("hex")}`);
    const kept = `${temporary}${PREVIOUS}`;
    try {
      makeFolders(root, dir);
      await writeNew(temporary, bytes);
      if (hasPrevious) {
        // a second name for the same bytes: durable already
        await link(file, kept);
        await rename(kept, file + PREVIOUS);
        // still there where both were one file: a crash came between the two renames of an earlier write
        await rm(kept, { force: true });
      }
      await rename(temporary, file);
      await flushFolder(dir);
    } catch (error) {
      for (const left of [temporary, kept]) await rm(left, { force: true }).catch(() => undefined);
      throw unavailable(error);
    }
  }

  async function put(path: string, bytes: Uint8Array, expected: string | undefined): Promise<"written" | "conflict"> {
    const file = fileIn(root, path);
    return alone(file, async () => {
      const current = await read(file);
      if (current?.tag !== expected) return "conflict";
      await replace(file, bytes, current !== undefined);
      return "written";
    });
  }

  async function get(path: string): Promise<StoredObject | undefined> {
    return read(fileIn(root, path));
  }

  async function removeProbe(): Promise<void> {
    for (const name of [PROBE, PROBE + PREVIOUS]) await rm(join(root, name), { force: true });
  }

  return {
    get,
    put,

    async probe() {
      const [first, second] = [randomBytes(16), randomBytes(16)];
      try {
        await removeProbe();
        const made = await put(PROBE, first, undefined);
        const madeTwice = await put(PROBE, second, undefined);
        const tag = (await get(PROBE))?.tag;
        const swapped = await put(PROBE, second, tag);
        const swappedTwice = await put(PROBE, first, tag);
        const found = await get(PROBE);
        await removeProbe();
        const answers = [made, madeTwice, swapped, swappedTwice].join(" ");
        if (answers === "written conflict written conflict" && found?.bytes.equals(second) === true) return;
      } catch (error) {
        throw unavailable(error);
      }
      throw new StoreUnavailable("compare-and-swap is not enforced");
    },

    async close() {
      await Promise.all(queues.values());
      lock.release();
    },
  };
}

/** The file of a path; a path that leaves the folder, or names one of the store's own files, is a bug. */
function fileIn(root: string, path: string): string {
  const words = path.split("/");
  const isOwn = words.some((word) => word.startsWith(TEMPORARY) || word.startsWith(".lock"));
  if (isOwn || path.includes("\0") || path.endsWith(PREVIOUS) || words.some((word) => /^\.{0,2}$/.test(word))) {
    throw new RangeError("an object's path leaves its folder or is the store's own");
  }
  return join(root, path);
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

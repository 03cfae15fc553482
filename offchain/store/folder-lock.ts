import { randomBytes } from "node:crypto";
import { linkSync, mkdirSync, readFileSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { StoreUnavailable } from "./unavailable";

/** A folder that one process has for itself. */
export interface FolderLock {
  release(): void;
}

const LOCK = /^\.lock-([0-9]{1,15})$/;
const RELEASED = "released";

/**
 * Takes a folder for this process; made with mode 0700 where it is missing. A lock of a process that has ended
 * (kill -9, power) is taken over; that of a live one is a `StoreUnavailable` that names it. Processes are told apart
 * by what this kernel shows: a folder that containers share needs its own arrangement.
 *
 * Each holder links the next number, `.lock-<n>`, and the highest number holds. The highest file is never moved or
 * deleted, only followed by a higher one, so of any number of processes that find the same dead holder one succeeds.
 */
export function lockFolder(dir: string): FolderLock {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const mine = join(dir, `.locking-${randomBytes(8).toString("hex")}`);
  writeFileSync(mine, identity(process.pid), { mode: 0o600 });
  try {
    for (;;) {
      const last = highest(dir);
      const holder = last === 0 ? RELEASED : readWords(join(dir, name(last)));
      // gone: somebody else has just followed it
      if (holder === undefined) continue;
      if (isAlive(holder)) {
        throw new StoreUnavailable(`${dir} is in use by process ${holder.split(" ")[0] ?? "?"}: stop it first`);
      }
      const lock = join(dir, name(last + 1));
      if (!linkedFirst(mine, lock)) continue;
      // a number that was free only because it is long past
      if (highest(dir) !== last + 1) {
        rmSync(lock, { force: true });
        continue;
      }
      for (const number of numbers(dir)) if (number <= last) rmSync(join(dir, name(number)), { force: true });
      return {
        release: () => {
          release(dir, lock);
        },
      };
    }
  } finally {
    rmSync(mine, { force: true });
  }
}

/** The words change, the file stays: what is highest is never deleted. */
function release(dir: string, lock: string): void {
  if (readWords(lock) !== identity(process.pid)) return;
  const words = join(dir, `.locking-${randomBytes(8).toString("hex")}`);
  writeFileSync(words, RELEASED, { mode: 0o600 });
  renameSync(words, lock);
}

function linkedFirst(from: string, to: string): boolean {
  try {
    linkSync(from, to);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function name(number: number): string {
  return `.lock-${String(number)}`;
}

function numbers(dir: string): number[] {
  return readdirSync(dir).flatMap((entry) => {
    const number = LOCK.exec(entry)?.[1];
    return number === undefined ? [] : [Number(number)];
  });
}

function highest(dir: string): number {
  return Math.max(0, ...numbers(dir));
}

function readWords(lock: string): string | undefined {
  try {
    return readFileSync(lock, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Process id, its start time and this boot, where the kernel tells: a later process with the same id is another. */
function identity(pid: number): string {
  return `${String(pid)} ${startTime(pid) ?? "-"} ${bootId()}`;
}

function isAlive(words: string): boolean {
  const [pidText = "", started = "-", boot = "-"] = words.split(" ");
  const pid = Number(pidText);
  if (!Number.isSafeInteger(pid) || pid <= 0 || boot !== bootId()) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") return false;
  }
  return started === "-" || startTime(pid) === started;
}

/** Field 22 of /proc/<pid>/stat; undefined where there is no /proc, and for a zombie, which holds nothing any more. */
function startTime(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
    // behind the name in parentheses: state is field 3
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    return fields[0] === "Z" ? undefined : fields[19];
  } catch {
    return undefined;
  }
}

function bootId(): string {
  try {
    return readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  } catch {
    return "-";
  }
}

import { linkSync, mkdirSync, readFileSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { StoreUnavailable } from "./unavailable";

/** A folder that one process has for itself. */
export interface FolderLock {
  release(): void;
}

/**
 * Takes a folder for this process; made with mode 0700 where it is missing. A lock of a process that has ended
 * (kill -9, power) is taken over; that of a live one is a `StoreUnavailable` that names it.
 */
export function lockFolder(dir: string): FolderLock {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const lock = join(dir, ".lock");
  const mine = join(dir, `.lock.${String(process.pid)}`);
  const words = identity(process.pid);
  writeFileSync(mine, words, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < 3; attempt += 1) {
      try {
        linkSync(mine, lock);
        return {
          release: () => {
            if (readWords(lock) === words) unlinkSync(lock);
          },
        };
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
      }
      const holder = readWords(lock);
      if (holder !== undefined && isAlive(holder)) {
        throw new StoreUnavailable(`${dir} is in use by process ${holder.split(" ")[0] ?? "?"}: stop it first`);
      }
      // rename is atomic: of two that find the same dead lock, one moves it away and the other tries again
      try {
        renameSync(lock, `${mine}.dead`);
        rmSync(`${mine}.dead`);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    }
    throw new StoreUnavailable(`${dir} could not be locked: others are starting on it`);
  } finally {
    rmSync(mine, { force: true });
  }
}

function readWords(lock: string): string | undefined {
  try {
    return readFileSync(lock, "utf8");
  } catch {
    return undefined;
  }
}

/** Process id and, where the kernel tells, its start time: a later process with the same id is another one. */
function identity(pid: number): string {
  return `${String(pid)} ${startTime(pid) ?? "-"}`;
}

function isAlive(words: string): boolean {
  const [pidText = "", started = "-"] = words.split(" ");
  const pid = Number(pidText);
  if (!Number.isSafeInteger(pid) || pid <= 0) return false;
  try {
    process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
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

import { type ChildProcess } from "node:child_process";
import { existsSync, readFileSync, readdirSync } from "node:fs";

const GRACE_MS = 5_000;

/** Field of /proc/<pid>/stat, counted from the state, behind the name in parentheses. */
const PARENT = 1;
const STARTED = 19;

interface Known {
  readonly id: number;
  readonly parent: number;
  /** When it started: with the id the process itself, for an id is given again. */
  readonly started: string;
}

/**
 * Ends a lane: its process and whatever that started, each by its id, also what is in a process group of its own. SIGTERM
 * first, SIGKILL five seconds later. Where there is no /proc, the lane's process group only.
 */
export async function endLane(child: ChildProcess): Promise<void> {
  const { pid } = child;
  if (pid === undefined) return;
  if (!existsSync("/proc/self/stat")) {
    signal(-pid, "SIGTERM");
    await untilNone(() => isThere(-pid));
    signal(-pid, "SIGKILL");
    return;
  }
  const known = new Map<number, Known>();
  // asked again after the signal: a process that is on its way out may still start one
  const left = (): readonly Known[] => {
    const all = processes();
    for (const one of tree(all, pid)) known.set(one.id, one);
    return [...known.values()].filter((one) => all.some((now) => now.id === one.id && now.started === one.started));
  };
  for (const one of left()) signal(one.id, "SIGTERM");
  await untilNone(() => left().length > 0);
  for (const one of left()) signal(one.id, "SIGKILL");
  // a kill returns before the process has ended
  await untilNone(() => left().length > 0);
}

function processes(): readonly Known[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      const stat = statOf(name);
      // a zombie has ended
      if (stat === undefined || stat[0] === "Z") return [];
      return [{ id: Number(name), parent: Number(stat[PARENT]), started: stat[STARTED] ?? "" }];
    });
}

function statOf(id: string): readonly string[] | undefined {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, "utf8");
    return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

function tree(all: readonly Known[], root: number): readonly Known[] {
  return all.filter((one) => one.id === root).concat(below(all, root));
}

function below(all: readonly Known[], parent: number): readonly Known[] {
  return all.filter((one) => one.parent === parent).flatMap((one) => [one, ...below(all, one.id)]);
}

async function untilNone(some: () => boolean): Promise<void> {
  const until = performance.now() + GRACE_MS;
  while (some() && performance.now() < until) await new Promise((done) => setTimeout(done, 50));
}

function isThere(id: number): boolean {
  try {
    process.kill(id, 0);
    return true;
  } catch {
    return false;
  }
}

function signal(id: number, name: NodeJS.Signals): void {
  try {
    process.kill(id, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** A process that waits for its word to begin, so that several begin at the same moment. */
export interface Contender {
  readonly child: ChildProcess;
  /** Lets it begin. */
  go(): void;
  /** Its next word: what it came to. */
  word(): Promise<string>;
  /** Ends it and waits until it is gone. */
  kill(): Promise<void>;
}

/** Starts `contending.ts` and waits until it is ready to begin. */
export async function startContender(kind: "lock" | "counter", dir: string): Promise<Contender> {
  const args = ["-r", "tsx/cjs", join(__dirname, "contending.ts"), kind, dir];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  const words = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const word = async (): Promise<string> => String((await words.next()).value);
  const ready = await word();
  if (ready !== "ready") throw new Error(`the contender said ${ready}`);
  return {
    child,
    go() {
      child.stdin.write("go\n");
    },
    word,
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGKILL");
      await gone;
    },
  };
}

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A program that has said that it is ready. */
export interface Started {
  readonly child: ChildProcess;
  /** The line of standard output that said so. */
  readonly line: string;
  /** Ends it (SIGTERM by default) and waits until it is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** Starts a program under this Node and waits for the first line of standard output that matches. */
export async function start(
  args: readonly string[],
  options: {
    readonly until: RegExp;
    readonly env?: Readonly<Record<string, string>>;
    readonly cwd?: string;
  },
): Promise<Started> {
  const child = spawn(process.execPath, [...args], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  });
  const lines = createInterface({ input: child.stdout });
  const exited = once(child, "exit").then(([code]) => {
    throw new Error(`${args.join(" ")} exited with ${String(code)} before it was ready`);
  });
  const ready = (async () => {
    for await (const line of lines) if (options.until.test(line)) return line;
    throw new Error(`${args.join(" ")} never said ${String(options.until)}`);
  })();
  const line = await Promise.race([ready, exited]);
  exited.catch(() => undefined);
  child.stdout.resume();
  return {
    child,
    line,
    async stop(signal = "SIGTERM") {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill(signal);
      await gone;
    },
  };
}

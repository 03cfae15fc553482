import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";

const ROOT = resolve(__dirname, "../..");
/** Clock ticks of `/proc`, a constant of Linux's user interface. */
const TICKS_PER_SECOND = 100;
const START_TRIES = 300;

/** The processor that servers are pinned to; load and chain run on the others. */
const SERVER_CORE = "0";

/** A server under measurement: one process on one core, its log in a file. */
export interface PinnedServer {
  readonly url: string;
  /** Processor seconds so far, all threads, kernel included; undefined where the system does not say. */
  cpuSeconds(): number | undefined;
  stop(): Promise<void>;
}

/** Whether programs can be bound to a core here. */
export const canPin = ((): boolean => {
  if (availableParallelism() < 2) return false;
  try {
    execFileSync("taskset", ["-c", SERVER_CORE, "true"], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
})();

/** The command line that runs a program of this repository, on the server's core or on another. */
export function commandFor(program: string, core: "server" | "load"): readonly [string, readonly string[]] {
  const node = [process.execPath, "--import", require.resolve("tsx"), join(ROOT, program)];
  if (!canPin) return [process.execPath, node.slice(1)];
  const others = `1-${String(availableParallelism() - 1)}`;
  return ["taskset", ["-c", core === "server" ? SERVER_CORE : others, ...node]];
}

/** Starts a server and waits until it answers at `path` with anything but a 5xx. */
export async function startPinned(
  program: string,
  options: {
    readonly url: string;
    readonly path: string;
    readonly env: Readonly<Record<string, string>>;
    readonly logFile: string;
    readonly core?: "server" | "load";
    /** False where the program is several processes: then one figure of CPU says nothing. */
    readonly isOneProcess?: boolean;
  },
): Promise<PinnedServer> {
  const [command, args] = commandFor(program, options.core ?? "server");
  const out = openSync(options.logFile, "a", 0o600);
  const env = { PATH: process.env["PATH"] ?? "", ...options.env };
  const child = spawn(command, args, { cwd: ROOT, env, stdio: ["ignore", out, out] });
  const onExit = (): void => void child.kill("SIGKILL");
  process.on("exit", onExit);
  const server: PinnedServer = {
    url: options.url,
    cpuSeconds: () => (options.isOneProcess === false ? undefined : cpuSecondsOf(child.pid ?? 0)),
    async stop() {
      process.off("exit", onExit);
      if (child.exitCode !== null || child.signalCode !== null) return;
      const gone = once(child, "exit");
      child.kill("SIGTERM");
      await gone;
    },
  };
  for (let tries = 0; tries < START_TRIES && child.exitCode === null; tries += 1) {
    try {
      const answer = await fetch(options.url + options.path);
      await answer.arrayBuffer();
      if (answer.status < 500) return server;
    } catch {
      // not listening yet
    }
    await new Promise((done) => setTimeout(done, 100));
  }
  await server.stop();
  throw new Error(`${program} did not start:\n${readFileSync(options.logFile, "utf8").slice(-2_000)}`);
}

function cpuSecondsOf(pid: number): number | undefined {
  try {
    // the name in parentheses may hold spaces; utime and stime are the 12th and 13th words behind it
    const words =
      readFileSync(`/proc/${String(pid)}/stat`, "utf8")
        .split(") ")
        .at(-1)
        ?.split(" ") ?? [];
    return (Number(words[11]) + Number(words[12])) / TICKS_PER_SECOND;
  } catch {
    return undefined;
  }
}

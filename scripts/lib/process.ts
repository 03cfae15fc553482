import { type ChildProcess, spawn } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { type AddressInfo, type Server, createServer } from "node:net";
import { createInterface } from "node:readline";

/** A program that runs until it is stopped, its output in a file. */
export interface Running {
  readonly child: ChildProcess;
  /** The first line of standard output that matched `until`. */
  readonly line: string;
  /** Ends it by its id and waits until it is gone. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** What a program needs to run. */
export interface ProgramOptions {
  readonly args: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly until: RegExp;
  /** Where its output goes, appended. */
  readonly logFile: string;
  readonly cwd: string;
}

const START_MS = 120_000;

/** Starts a program under this Node and waits until it says that it is ready; fails with its last words otherwise. */
export async function run(name: string, options: ProgramOptions): Promise<Running> {
  const log = createWriteStream(options.logFile, { flags: "a", mode: 0o600 });
  const child = spawn(process.execPath, [...options.args], {
    cwd: options.cwd,
    env: { ...inheritedEnvironment(), ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    // a group of its own: what it started ends with it, and Ctrl-C reaches this program first
    detached: true,
  });
  const killGroup = (signal: NodeJS.Signals): void => {
    try {
      process.kill(signal === "SIGKILL" ? -(child.pid ?? 0) : (child.pid ?? 0), signal);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
  };
  const onExit = (): void => {
    if (child.exitCode === null && child.signalCode === null) killGroup("SIGKILL");
  };
  process.on("exit", onExit);
  const last: string[] = [];
  const keep = (line: string): void => {
    log.write(`${line}\n`);
    last.push(line);
    if (last.length > 20) last.shift();
  };
  const ready = new Promise<string>((resolve, reject) => {
    createInterface({ input: child.stdout }).on("line", (line) => {
      keep(line);
      if (options.until.test(line)) resolve(line);
    });
    createInterface({ input: child.stderr }).on("line", keep);
    child.once("exit", (code, signal) => {
      reject(new Error(`${name} ended (${String(code ?? signal)}) before it was ready:\n${last.join("\n")}`));
    });
    child.once("error", reject);
    setTimeout(() => {
      reject(new Error(`${name} was not ready in ${String(START_MS / 1000)} s:\n${last.join("\n")}`));
    }, START_MS).unref();
  });
  const stop = async (signal: NodeJS.Signals = "SIGTERM"): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) {
      const gone = once(child, "exit");
      killGroup(signal);
      await gone;
      if (signal === "SIGKILL") await untilGroupIsGone(child.pid ?? 0);
    }
    process.off("exit", onExit);
    log.end();
  };
  try {
    return { child, line: await ready, stop };
  } catch (error) {
    await stop("SIGKILL");
    throw error;
  }
}

/** A kill of a group returns before its last process has ended. */
async function untilGroupIsGone(group: number): Promise<void> {
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      process.kill(-group, 0);
    } catch {
      return;
    }
    await new Promise((done) => setTimeout(done, 10));
  }
}

/** What every program may know of this machine: nothing that is meant for another program. */
function inheritedEnvironment(): Record<string, string> {
  const kept: Record<string, string> = {};
  for (const name of ["PATH", "HOME", "LANG", "TZ", "TMPDIR", "NODE_EXTRA_CA_CERTS"]) {
    const value = process.env[name];
    if (value !== undefined) kept[name] = value;
  }
  return kept;
}

/** Below the ports that systems give to whoever asks for any: Linux from 32768, others from 49152. */
const PORTS = [10_000, 32_000] as const;

/**
 * Ports of 127.0.0.1 that are free now, and that nobody is given who asks for any port: between the choice and the start of
 * the service, and while it is restarted, no other test's server or connection takes them.
 */
export async function freePorts(count: number): Promise<number[]> {
  const held: Server[] = [];
  while (held.length < count) {
    const server = createServer();
    const isFree = await new Promise<boolean>((done) => {
      server.once("error", () => {
        done(false);
      });
      server.listen(randomInt(...PORTS), "127.0.0.1", () => {
        done(true);
      });
    });
    if (isFree) held.push(server);
  }
  const ports = held.map((server) => (server.address() as AddressInfo).port);
  await Promise.all(held.map((server) => new Promise((resolve) => server.close(resolve))));
  return ports;
}

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import type { Duplex } from "node:stream";

import { serviceLog } from "../http/log";
import { withoutCore } from "./processes";

/**
 * Starts vault and front as two processes with one pipe between them, each with its own part of the environment. When
 * one ends, the other is ended too: a front without a vault, or a vault whose front was replaced, is not started again
 * silently.
 */
const log = serviceLog("signer", process.env["SIGNER_LOG_LEVEL"] ?? "info");

const COMMON = ["PATH", "HOME", "LANG", "TZ", "SIGNER_LOG_LEVEL"];

function environment(...prefixes: readonly string[]): NodeJS.ProcessEnv {
  const isIts = (name: string): boolean => COMMON.includes(name) || prefixes.some((one) => name.startsWith(one));
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => isIts(name)));
}

/** The same loader flags as this process, so that development and `dist` start alike; no file of everybody's variables. */
function program(room: string): string[] {
  const extension = __filename.endsWith(".ts") ? "ts" : "js";
  const isFile = (flag = ""): boolean => /^--env-file(-if-exists)?$/.test(flag);
  const flags = process.execArgv.filter((flag, i, all) => !flag.startsWith("--env-file") && !isFile(all[i - 1]));
  return [...flags, join(__dirname, room, `main.${extension}`)];
}

function start(): void {
  const vault = spawn(...withoutCore(process.execPath, program("vault")), {
    env: environment("VAULT_", "CHAIN_"),
    stdio: ["pipe", "inherit", "inherit", "pipe"],
  });
  const pipe = vault.stdio[3] as Duplex;
  const front = spawn(process.execPath, program("front"), {
    env: environment("SIGNER_"),
    stdio: ["pipe", "inherit", "inherit", pipe],
  });
  // only the two children keep an end of it
  pipe.destroy();
  const children = { vault, front };
  const stop = (): void => {
    front.kill("SIGTERM");
    void once(front, "exit").then(() => vault.kill("SIGTERM"));
    if (front.exitCode !== null || front.signalCode !== null) vault.kill("SIGTERM");
  };
  process.on("SIGTERM", stop).on("SIGINT", stop);
  for (const [name, child] of Object.entries(children)) watch(name, child, stop);
  process.on("exit", () => {
    for (const child of Object.values(children)) child.kill("SIGKILL");
  });
}

function watch(name: string, child: ChildProcess, stop: () => void): void {
  child.once("exit", (code, signal) => {
    if (code !== 0) {
      log.error({ name, code, signal }, "ended");
      process.exitCode = 1;
    }
    stop();
  });
}

start();

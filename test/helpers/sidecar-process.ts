import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { type Running, run } from "../../scripts/lib/process";
import type { Party, World } from "../drills/world";

const ROOT = resolve(__dirname, "../..");

/** A sidecar as it runs on an agent's machine: a process of its own, with the agent's device key. */
export interface SidecarProcess extends Running {
  readonly socket: string;
  /** Of the listener for callers with a token. */
  readonly tcpPort: number;
  readonly token: string;
  /** Everything that it has printed. */
  log(): string;
}

/** What a test may change of one. */
export interface SidecarProcessOptions {
  readonly world: World;
  readonly party: Party;
  /** Its state: key, marks, services, token, log and, unless told, its socket. */
  readonly dir: string;
  readonly upstream: string;
  readonly env?: Readonly<Record<string, string>>;
}

/** The files and variables of a sidecar. */
export function sidecarSetup(options: SidecarProcessOptions): { env: Record<string, string>; token: string } {
  const { world, party, dir, upstream } = options;
  const { contracts, urls } = world.stack;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const token = "a-token-of-32-random-characters!";
  const file = (name: string, text: string): string => {
    writeFileSync(join(dir, name), text, { mode: 0o600 });
    return join(dir, name);
  };
  const services = { [world.service]: { upstream, allow_private: true } };
  const env = {
    CHAIN_RPC_URLS: world.stack.rpcUrl,
    CHAIN_ID: String(world.stack.chainId),
    CHAIN_PROFILE: "local",
    CHAIN_SIDECAR_REGISTRY: contracts.SidecarRegistry,
    CHAIN_SCOPE_REGISTRY: contracts.ScopeRegistry,
    CHAIN_K3_EPOCH_COUNTER: contracts.K3EpochCounter,
    SIDECAR_SOCKET: join(dir, "run", "sidecar.sock"),
    SIDECAR_TCP_PORT: "0",
    SIDECAR_TOKEN_FILE: file("token", `${token}\n`),
    SIDECAR_DEVICE_KEY_FILE: file("k10", `0x${party.agentDevice.secret.toString("hex")}\n`),
    SIDECAR_MARKS_FILE: join(dir, "marks.json"),
    SIDECAR_SERVICES_FILE: file("services.json", JSON.stringify(services)),
    SIDECAR_OPERATOR_OMNI: party.omni,
    SIDECAR_ACTOR_OMNI: party.actor,
    SIDECAR_BROKER_ORIGIN: urls.broker,
    SIDECAR_WORKER_ORIGIN: urls.worker.credentials,
    SIDECAR_LOG_LEVEL: "debug",
    ...options.env,
  };
  return { env, token };
}

/** Starts one and waits until it listens. */
export async function startSidecar(options: SidecarProcessOptions): Promise<SidecarProcess> {
  const { env, token } = sidecarSetup(options);
  const logFile = join(options.dir, "sidecar.log");
  const running = await run("sidecar", {
    args: ["--import", require.resolve("tsx"), join(ROOT, "offchain", "sidecar", "main.ts")],
    env,
    until: /"msg":"listening"/,
    logFile,
    cwd: ROOT,
  });
  const port = /127\.0\.0\.1:([0-9]+)/.exec(running.line)?.[1];
  const log = (): string => readFileSync(logFile, "utf8");
  return { ...running, socket: env["SIDECAR_SOCKET"] ?? "", tcpPort: Number(port), token, log };
}

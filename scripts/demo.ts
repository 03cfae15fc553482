import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { promisify, styleText } from "node:util";

import { chainReader } from "../offchain/chain/reader";
import { createClient } from "../offchain/client/client";
import { deviceKeyAt } from "../offchain/client/device-key-file";
import { memoryMarks } from "../offchain/client/high-water-marks";
import { openOperator } from "../offchain/client/operator";
import { softwareAuthenticatorAt } from "../offchain/client/software-authenticator";
import type { Hex } from "../offchain/wire/bytes";
import { NO_END } from "../offchain/wire/names";
import type { Result } from "../offchain/wire/result";
import { DRILLS } from "../test/drills/all";
import { runDrill } from "../test/drills/drill";
import { World } from "../test/drills/world";
import { startUpstream } from "./demo/upstream";
import { localhostCertificate } from "./lib/localhost-certificate";
import { run } from "./lib/process";
import { type Stack, startStack } from "./lib/stack";

const ROOT = resolve(__dirname, "..");
const SERVICE = "openrouter";
/** Drills that end in seconds; `npm run drills` runs all of them. */
const SHOWN = ["D1", "D2", "D3", "D5", "D6"];

const isColoured = process.stdout.isTTY && process.env["NO_COLOR"] === undefined;
const paint = (style: Parameters<typeof styleText>[0], text: string): string =>
  isColoured ? styleText(style, text) : text;
const title = (text: string): void => {
  console.log(`\n${paint("bold", text)}`);
};
const say = (text: string): void => {
  console.log(`  ${text}`);
};

/** The main job end to end, then the attacks. Every process, socket, signature and block in it is real. */
async function main(): Promise<void> {
  const started = performance.now();
  const dir = mkdtempSync(join(tmpdir(), "agentkeys-demo-"));
  const stops: (() => Promise<void>)[] = [];
  try {
    title("1. Start: a chain, the contracts, the services; each service a process of its own");
    const stack = await startStack({ dir: join(dir, "stack"), logLevel: "warn", say });
    stops.push(() => stack.stop());
    await mainJob(dir, stack, stops);
    title("4. Attacks, each by someone who holds the keys of what was taken over");
    await attacks(stack);
    title(
      `Done in ${((performance.now() - started) / 1_000).toFixed(0)} s. Next: npm start keeps this running; README.md explains it.`,
    );
  } finally {
    for (const stop of stops.reverse()) await stop();
    rmSync(dir, { recursive: true, force: true });
  }
}

async function mainJob(dir: string, stack: Stack, stops: (() => Promise<void>)[]): Promise<void> {
  title("2. The operator: one passkey account owns everything");
  const authenticator = await softwareAuthenticatorAt(join(dir, "operator", "passkey.json"));
  const relay = { kind: "direct", key: stack.developmentKey } as const;
  const operator = value(
    await openOperator({ rpcUrl: stack.rpcUrl, deployment: stack.deployment, authenticator, relay }),
  );
  const master = value(await operator.registerMaster());
  say(`master account ${master.account}, made and registered in one user operation`);
  const operatorDevice = await deviceKeyAt(join(dir, "operator", "k10"));
  value(await operator.registerMasterDevice(operatorDevice));
  say("the operator's own machine may mint caps (a second tap)");
  const agentDevice = await deviceKeyAt(join(dir, "agent", "k10"));
  const grants = [{ dataClass: "credentials", service: SERVICE, ops: ["fetch"], validUntil: NO_END }] as const;
  const agent = value(await operator.registerAgent({ label: "agent-a", device: agentDevice, grants }));
  operator.close();
  say(`agent-a's machine, and its grant: fetch ${SERVICE}, nothing else (one tap for both)`);

  const { contracts } = stack;
  const chain = chainReader({
    rpcUrls: [stack.rpcUrl],
    quorum: 1,
    chainId: stack.chainId,
    contracts: {
      sidecarRegistry: contracts.SidecarRegistry,
      scopeRegistry: contracts.ScopeRegistry,
      k3EpochCounter: contracts.K3EpochCounter,
    },
    profile: "local",
    now: () => Math.floor(Date.now() / 1_000),
  });
  stops.push(() => chain.close());
  const apiKey = `sk-live-${randomBytes(24).toString("hex")}`;
  const client = await createClient({
    device: operatorDevice,
    operatorOmni: master.operatorOmni,
    domain: { chainId: stack.chainId, registry: contracts.SidecarRegistry.toLowerCase() as Hex },
    urls: stack.urls,
    workerSealKeys: { credentials: stack.workerSealKey() },
    chain,
    marks: memoryMarks(),
    now: () => Math.floor(Date.now() / 1_000),
  });
  stops.push(() => client.close());
  const wish = { actorOmni: agent.actorOmni, dataClass: "credentials" as const, service: SERVICE };
  // the registration is in the newest block; the services follow the head within a second
  await new Promise((done) => setTimeout(done, 1_500));
  const stored = value(await client.store(wish, Buffer.from(apiKey)));
  say(
    `the real API key is stored for the agent by its parent, sealed to the worker: version ${String(stored.version)}`,
  );
  const peek = await client.fetch(wish);
  say(`the parent may store and never read: ${peek.ok ? "READ" : peek.failure.code}`);

  title("3. The agent calls the API through its sidecar");
  const certificate = await localhostCertificate();
  const upstream = await startUpstream(certificate, apiKey);
  stops.push(() => upstream.stop());
  const socket = join(dir, "agent", "run", "sidecar.sock");
  const sidecar = await startSidecar(
    dir,
    stack,
    socket,
    certificate.cert,
    upstream.url,
    master.operatorOmni,
    agent.actorOmni,
  );
  stops.push(() => sidecar.stop());
  const seen = join(dir, "agent", "seen");
  mkdirSync(seen, { recursive: true });
  const { stdout } = await promisify(execFile)(
    process.execPath,
    [
      "--import",
      require.resolve("tsx"),
      join(ROOT, "scripts", "demo", "agent.ts"),
      socket,
      `/${SERVICE}/v1/chat`,
      "placeholder",
      seen,
    ],
    { cwd: ROOT, env: { PATH: process.env["PATH"] ?? "" } },
  );
  const answer = JSON.parse(stdout) as { readonly status: number; readonly body: string };
  if (answer.status !== 200 || upstream.served.accepted !== 1) throw new Error(`the agent's call failed: ${stdout}`);
  say(`the agent sent "Bearer placeholder", the upstream got the real key, the agent got: ${answer.body}`);
  const places = readdirSync(seen);
  const leaked = places.filter((name) => readFileSync(join(seen, name)).includes(apiKey));
  if (leaked.length > 0) throw new Error(`the key was found in ${leaked.join(", ")}`);
  say(`searched for the real key in ${places.join(", ")} (environment, everything received, heap snapshot): not found`);
  const cached = await timed(socket, 200);
  say(
    paint(
      "dim",
      `timing: a cached call through the sidecar takes ${cached.toFixed(2)} ms (median of 200, upstream included)`,
    ),
  );
}

async function startSidecar(
  dir: string,
  stack: Stack,
  socket: string,
  ca: string,
  upstream: string,
  operatorOmni: Hex,
  actorOmni: Hex,
): Promise<{ stop: () => Promise<void> }> {
  const file = (name: string): string => join(dir, "agent", name);
  writeFileSync(file("upstream-ca.pem"), ca);
  const entry = {
    upstream,
    header: "authorization",
    format: "Bearer {credential}",
    ca_file: file("upstream-ca.pem"),
    allow_private: true,
  };
  writeFileSync(file("services.json"), JSON.stringify({ [SERVICE]: entry }));
  const { contracts } = stack;
  return run("sidecar", {
    args: ["--import", require.resolve("tsx"), join(ROOT, "offchain", "sidecar", "main.ts")],
    env: {
      CHAIN_RPC_URLS: stack.rpcUrl,
      CHAIN_ID: String(stack.chainId),
      CHAIN_PROFILE: "local",
      CHAIN_SIDECAR_REGISTRY: contracts.SidecarRegistry,
      CHAIN_SCOPE_REGISTRY: contracts.ScopeRegistry,
      CHAIN_K3_EPOCH_COUNTER: contracts.K3EpochCounter,
      SIDECAR_SOCKET: socket,
      SIDECAR_DEVICE_KEY_FILE: file("k10"),
      SIDECAR_MARKS_FILE: file("marks.json"),
      SIDECAR_SERVICES_FILE: file("services.json"),
      SIDECAR_OPERATOR_OMNI: operatorOmni,
      SIDECAR_ACTOR_OMNI: actorOmni,
      SIDECAR_BROKER_ORIGIN: stack.urls.broker,
      SIDECAR_WORKER_ORIGIN: stack.urls.worker.credentials,
      SIDECAR_LOG_LEVEL: "warn",
    },
    until: /"msg":"listening"/,
    logFile: join(stack.files.logs, "sidecar.log"),
    cwd: ROOT,
  });
}

async function attacks(stack: Stack): Promise<void> {
  const world = await World.over(stack);
  try {
    for (const drill of DRILLS.filter((one) => SHOWN.includes(one.id))) {
      const report = await runDrill(drill, world);
      say(`${paint("green", "refused")}  ${report.drill.padEnd(3)} ${drill.title}`);
      say(
        `         by ${report.by.join(", ")}: ${report.code} (${String(report.attempts)} attempts; the honest path still works)`,
      );
    }
  } finally {
    await world.close();
  }
}

/** Median milliseconds of a call through the sidecar. */
async function timed(socketPath: string, times: number): Promise<number> {
  const taken: number[] = [];
  for (let i = 0; i < times; i += 1) {
    const started = performance.now();
    await new Promise<void>((done, failed) => {
      const call = request({ socketPath, path: `/${SERVICE}/v1/chat`, method: "POST" }, (answer) => {
        answer.resume().once("end", () => {
          done();
        });
      });
      call.once("error", failed);
      call.end("{}");
    });
    taken.push(performance.now() - started);
  }
  return taken.sort((a, b) => a - b)[Math.floor(times / 2)] ?? 0;
}

function value<T>(result: Result<T>): T {
  if (result.ok) return result.value;
  throw new Error(`${result.failure.code}: ${result.failure.detail}`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

import { type ChildProcess, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdirSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Duplex } from "node:stream";

import { withoutCore } from "../../offchain/signer/processes";
import type { ProblemCode } from "../../offchain/wire/problem";
import type { Result } from "../../offchain/wire/result";
import { parseCap } from "../../offchain/wire/cap";
import { sha256Hex } from "../../offchain/wire/content-hash";
import { encodeObjectHeader, parseObject } from "../../offchain/wire/object";
import { encodeStoreBody } from "../../offchain/wire/redeem";
import { type Hex, ZERO32, toHex } from "../../offchain/wire/bytes";
import { storedBy } from "../../offchain/wire/stored-by";
import type { Op } from "../../offchain/wire/names";
import type { Stack } from "../../scripts/lib/stack";
import type { World } from "../drills/world";
import { type ProofWish, type TestDevice, makeProof } from "./words";

const ROOT = resolve(__dirname, "../..");

/** A vault process whose front is the test. */
export interface VaultPipe {
  readonly child: ChildProcess;
  /** One request as the front would hand it over; its answer. */
  ask(route: string, caller: string, body: string | Buffer): Promise<Result<unknown>>;
  /** Bytes as they are. */
  write(bytes: Buffer): void;
  /** Waits for the answer to a frame that was written with this id. */
  answer(id: number): Promise<Result<unknown>>;
  /** How many answers came that name no request. */
  unnamed(): number;
  /** Every byte that the vault ever answered, and every line that it ever logged. */
  readonly said: { answers(): Buffer; logs(): Buffer };
  /** Resolves when the process is gone. */
  readonly gone: Promise<number | null>;
  stop(): Promise<void>;
}

/** How a vault is unlike the stack's own. */
export interface VaultChange {
  /** Variables in place of, or beside, the usual ones. */
  readonly env?: Readonly<Record<string, string>>;
  /** What its readiness comes to, where that is not success. */
  readonly until?: ProblemCode;
  /** Where it runs, on a machine that would let it leave a core file there. */
  readonly coresIn?: string;
}

/** Starts the vault alone, over a stack's chain, keys and pinned origins, with replay memory of its own. */
export async function startVault(stack: Stack, stateDir: string, change: VaultChange = {}): Promise<VaultPipe> {
  mkdirSync(stateDir, { recursive: true, mode: 0o700 });
  const { SidecarRegistry, ScopeRegistry, K3EpochCounter } = stack.contracts;
  const main = join(ROOT, "offchain/signer/vault/main.ts");
  const started = withoutCore(process.execPath, ["--import", require.resolve("tsx"), main]);
  const child = spawn(...(change.coresIn === undefined ? started : withCore(...started)), {
    cwd: change.coresIn ?? ROOT,
    stdio: ["pipe", "pipe", "pipe", "pipe"],
    env: {
      PATH: process.env["PATH"],
      SIGNER_LOG_LEVEL: "debug",
      CHAIN_ID: String(stack.chainId),
      CHAIN_PROFILE: "local",
      CHAIN_RPC_URLS: stack.rpcUrl,
      CHAIN_SIDECAR_REGISTRY: SidecarRegistry,
      CHAIN_SCOPE_REGISTRY: ScopeRegistry,
      CHAIN_K3_EPOCH_COUNTER: K3EpochCounter,
      VAULT_FILE: join(stack.dir, "vault", "vault.sealed"),
      VAULT_PASSPHRASE_FILE: join(stack.dir, "vault", "passphrase"),
      VAULT_STATE_DIR: stateDir,
      VAULT_PUBLIC_ORIGIN: stack.urls.signerPublic,
      VAULT_RP_ID: "localhost",
      VAULT_RP_ORIGINS: "http://localhost",
      VAULT_BROKER_ORIGIN: stack.urls.broker,
      VAULT_BROKER_JWKS_FILE: join(stack.dir, "broker", "jwks.json"),
      VAULT_WORKER_ORIGINS: `credentials=${stack.urls.worker.credentials}`,
      ...change.env,
    },
  });
  const logs: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => logs.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => logs.push(chunk));
  const gone = once(child, "exit").then(([code]) => code as number | null);
  const pipe = child.stdio[3] as Duplex;
  const answers: Buffer[] = [];
  const results = new Map<number, Result<unknown>>();
  const waiting = new Map<number, (result: Result<unknown>) => void>();
  let unnamed = 0;
  let rest = Buffer.alloc(0);
  pipe.on("error", () => undefined);
  pipe.on("data", (chunk: Buffer) => {
    answers.push(chunk);
    rest = Buffer.concat([rest, chunk]);
    while (rest.length >= 4 && rest.length >= 4 + rest.readUInt32BE(0)) {
      const end = 4 + rest.readUInt32BE(0);
      const { id, ...result } = JSON.parse(rest.toString("utf8", 4, end)) as { id: number | null } & Result<unknown>;
      rest = rest.subarray(end);
      if (id === null) unnamed += 1;
      else (waiting.get(id) ?? ((one) => results.set(id, one)))(result);
    }
  });
  let next = 1_000_000;
  const vault: VaultPipe = {
    child,
    write: (bytes) => void pipe.write(bytes),
    answer: (id) =>
      new Promise((resolve, reject) => {
        const come = results.get(id);
        if (come !== undefined) resolve(come);
        else waiting.set(id, resolve);
        void gone.then((code) => {
          reject(new Error(`the vault ended (${String(code)}): ${Buffer.concat(logs).toString()}`));
        });
      }),
    ask(route, caller, body) {
      const id = (next += 1);
      vault.write(pipeFrame({ id, route, caller, body: Buffer.from(body).toString("base64") }));
      return vault.answer(id);
    },
    unnamed: () => unnamed,
    said: { answers: () => Buffer.concat(answers), logs: () => Buffer.concat(logs) },
    gone,
    async stop() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGTERM");
      await gone;
    },
  };
  await untilReady(vault, change.until);
  return vault;
}

/** As a machine runs it whose administrator allows core files. */
export function withCore(program: string, args: readonly string[]): readonly [string, readonly string[]] {
  return ["/bin/sh", ["-c", 'ulimit -S -c unlimited && exec "$0" "$@"', program, ...args]];
}

/** A frame by its format: 4 bytes of length, big-endian, and JSON. */
export function pipeFrame(content: unknown): Buffer {
  return rawFrame(Buffer.from(JSON.stringify(content)));
}

/** A frame around any bytes. */
export function rawFrame(bytes: Buffer): Buffer {
  const head = Buffer.alloc(4);
  head.writeUInt32BE(bytes.length);
  return Buffer.concat([head, bytes]);
}

/** The body of `POST /v1/data-keys` as an honest worker writes it, with whatever the test changes. */
export function dataKeysWords(
  world: World,
  device: TestDevice,
  op: Op,
  cap: string,
  wish: Partial<ProofWish> = {},
  change: Readonly<Record<string, unknown>> = {},
): Record<string, unknown> {
  const parsed = parseCap(cap);
  const stored = parseObject(readFileSync(world.objectFile()));
  if (!parsed.ok || stored === undefined) throw new Error("no cap, or no object to ask the vault with");
  const { request, clientSig } = parsed.value.claims;
  const body = wish.body ?? (op === "store" ? encodeStoreBody(Buffer.alloc(0), ZERO32) : "{}");
  const target = wish.target ?? world.target(op);
  const proof = makeProof(world.separator, device, { credential: cap, ...wish, target, body });
  const { operatorOmni, actorOmni, dataClass, service } = request;
  const next = encodeObjectHeader({
    name: { operatorOmni, actorOmni, dataClass, service },
    epoch: world.epoch,
    version: stored.header.version + 1,
    contentSalt: op === "rotate" ? stored.header.contentSalt : toHex(randomBytes(32)),
    storedBy: op === "rotate" ? stored.header.storedBy : storedBy(request, clientSig as Hex),
  });
  const asRead = { header: stored.headerText, encrypted_key: stored.encryptedKey };
  return {
    cap,
    proof: proof.header,
    method: "POST",
    target,
    body_hash: sha256Hex(Buffer.from(body)),
    ...(op === "store" ? { header: next } : op === "rotate" ? { ...asRead, next_header: next } : asRead),
    ...change,
  };
}

async function untilReady(vault: VaultPipe, code: ProblemCode | undefined): Promise<void> {
  for (;;) {
    const ready = await vault.ask("GET /readyz", "front", "");
    if (ready.ok ? code === undefined : ready.failure.code === code) return;
    await new Promise((done) => setTimeout(done, 200));
  }
}

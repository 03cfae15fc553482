import { createHash, randomBytes } from "node:crypto";
import { existsSync, readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import { ZERO32, toHex } from "../../../offchain/wire/bytes";
import type { CapRequest } from "../../../offchain/wire/cap-request";
import { contentHash } from "../../../offchain/wire/content-hash";
import type { Op } from "../../../offchain/wire/names";
import { parseObject } from "../../../offchain/wire/object";
import { encodeStoreBody } from "../../../offchain/wire/redeem";
import type { World } from "../../drills/world";
import { type RawAnswer, type RawRequest, exchange } from "../../helpers/raw-http";
import { type ProofWish, type TestDevice, makeProof } from "../../helpers/words";

/** The operations that a worker redeems with a path each. */
export const REDEEM_OPS = ["fetch", "store", "teardown", "rotate"] as const satisfies readonly Op[];

/** The service that the table of one operation works on. */
export const serviceOf = (op: Op): string => `redeem-table-${op}`;

/** A redemption that the worker answers with 200 as it stands. */
export interface GoodRedeem {
  readonly world: World;
  readonly op: Op;
  readonly device: TestDevice;
  readonly request: CapRequest;
  readonly cap: string;
  readonly body: string;
  readonly secret: Buffer;
  readonly salt: ReturnType<typeof toHex>;
  readonly proof: string;
  /** Where it is sent, when that is not the stack's own worker. */
  readonly at?: string;
}

/** An honest redemption, minted by the broker; where the operation needs an object, there is one. */
export async function goodRedeem(world: World, op: Op, service = serviceOf(op)): Promise<GoodRedeem> {
  if (op !== "store") await ensureStored(world, service);
  const [salt, secret] = [toHex(randomBytes(32)), Buffer.from("sk-table-secret")];
  const { cap, request } = await world.mint(op, {
    service,
    contentHash: op === "store" ? contentHash(salt, secret) : ZERO32,
  });
  const body = op === "store" ? encodeStoreBody(secret, salt) : "{}";
  const device = world.agentDevice;
  const { header } = makeProof(world.separator, device, { target: world.target(op), credential: cap, body });
  return { world, op, device, request, cap, body, secret, salt, proof: header };
}

/** A store of these bytes with this `if_version`, not sent yet. */
export async function storeOf(
  world: World,
  service: string,
  ifVersion?: number,
  secret: Buffer = randomBytes(20),
): Promise<GoodRedeem> {
  const salt = toHex(randomBytes(32));
  const { cap, request } = await world.mint("store", { service, contentHash: contentHash(salt, secret) });
  const body = encodeStoreBody(secret, salt, ifVersion);
  return reproved({ world, op: "store", device: world.agentDevice, cap, request, secret, salt, body, proof: "" });
}

/** A cap for an operation on whatever is there, not sent yet. */
export async function askFor(world: World, op: "fetch" | "teardown" | "rotate", service: string): Promise<GoodRedeem> {
  const { cap, request } = await world.mint(op, { service });
  const [secret, salt] = [Buffer.alloc(0), ZERO32];
  return reproved({ world, op, device: world.agentDevice, cap, request, secret, salt, body: "{}", proof: "" });
}

/** The same with a proof of its own. */
export function reproved(good: GoodRedeem): GoodRedeem {
  return { ...good, proof: proofFor(good) };
}

/** Sends it with whatever is changed; `headers` come beside Authorization and AgentKeys-Proof. */
export function sendRedeem(
  good: GoodRedeem,
  change: Partial<RawRequest> & { readonly cap?: string; readonly proof?: string } = {},
): Promise<RawAnswer> {
  const { cap = good.cap, proof = good.proof, headers = [["Content-Type", "application/json"]], ...rest } = change;
  return sendWith(good, [...headers, ["Authorization", `AgentKeys ${cap}`], ["AgentKeys-Proof", proof]], rest);
}

/** Sends it with exactly these headers. */
export function sendWith(
  good: GoodRedeem,
  headers: RawRequest["headers"],
  change: Partial<RawRequest> = {},
): Promise<RawAnswer> {
  const { world, op, body, at = world.stack.urls.worker.credentials } = good;
  const target = new URL(world.target(op)).pathname;
  return exchange(at, { method: "POST", target, body, ...change, headers });
}

/** A proof by the device for this request, with whatever is changed in what it signs. */
export function proofFor(good: GoodRedeem, wish: Partial<ProofWish> = {}, by = good.device): string {
  const { world, op, cap, body } = good;
  return makeProof(world.separator, by, { target: world.target(op), credential: cap, body, ...wish }).header;
}

/** The same redemption with another cap text, and a proof by the same device that fits it. */
export function withCap(good: GoodRedeem, cap: string, device = good.device): GoodRedeem {
  const changed = { ...good, cap, device };
  return { ...changed, proof: proofFor(changed) };
}

/** The same redemption with another body, and a proof that fits it. */
export function withBody(good: GoodRedeem, body: string | Buffer): Promise<RawAnswer> {
  return sendRedeem(good, { body, proof: proofFor(good, { body }) });
}

/** The version that lies under a service now; 0 where nothing was ever stored, undefined under a tombstone. */
export function storedVersion(world: World, service: string): number | undefined {
  const file = world.objectFile(service);
  return existsSync(file) ? parseObject(readFileSync(file))?.header.version : 0;
}

async function ensureStored(world: World, service: string): Promise<void> {
  if ((storedVersion(world, service) ?? 0) === 0) await world.store(`sk-${service}`, { service });
}

/**
 * SHA-256 over everything that a redemption could leave behind at the worker and the vault: objects, audit rows,
 * and what their replay memories hold.
 */
export function traces({ stack }: World): string {
  const hash = createHash("sha256");
  const files = [
    ...filesUnder(stack.files.objects),
    join(stack.dir, "worker", "audit", "rows"),
    join(stack.dir, "worker", "replay", "seen"),
    join(stack.dir, "vault", "replay", "seen"),
  ];
  for (const file of files) hash.update(file).update("\0").update(readFileSync(file)).update("\0");
  return hash.digest("hex");
}

function filesUnder(dir: string): string[] {
  const found = readdirSync(dir, { recursive: true, withFileTypes: true });
  return found
    .filter((one) => one.isFile())
    .map((one) => join(one.parentPath, one.name))
    .sort();
}

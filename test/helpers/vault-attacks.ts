import { readFileSync } from "node:fs";

import fc from "fast-check";

import { toBase64url } from "../../offchain/wire/bytes";
import { DATA_KEYS_PATH } from "../../offchain/wire/data-keys";
import { parseObject } from "../../offchain/wire/object";
import { type ProblemCode, isProblemCode } from "../../offchain/wire/problem";
import type { Party, World } from "../drills/world";
import { type VaultPipe, dataKeysWords } from "./vault";
import { countersign, signCap, testDevice } from "./words";

/** The route that gives content keys, and the caller that the front names for the worker of this world. */
export const DATA_KEYS_ROUTE = `POST ${DATA_KEYS_PATH}`;
export const WORKER_CALLER = "URI:spiffe://agentkeys/worker/credentials";

/** One request by attacker code inside the front, and the codes that it may be refused with. */
export interface Attack {
  readonly kind: string;
  /** `DATA_KEYS_ROUTE` unless given. */
  readonly route?: string;
  /** `WORKER_CALLER` unless given. */
  readonly caller?: string;
  readonly body: string | Buffer;
  readonly codes: readonly ProblemCode[];
  readonly reason?: string;
}

/**
 * What attacker code inside the front sends, `each` times of each of a dozen kinds: no cap, another's cap or object, a
 * replayed pair, digests of its own choice, methods that are none, any bytes, other callers, one word or letter changed.
 */
export async function vaultAttacks(
  world: World,
  vault: VaultPipe,
  other: Party,
  each: number,
): Promise<readonly Attack[]> {
  const device = world.agentDevice;
  const { cap } = await world.mint("fetch");
  const store = await world.mint("store");
  const words = (wish = {}, change = {}): Record<string, unknown> =>
    dataKeysWords(world, device, "fetch", cap, wish, change);
  const body = (wish = {}, change = {}): string => JSON.stringify(words(wish, change));
  const often = (make: (n: number) => Attack): Attack[] => Array.from({ length: each }, (_, n) => make(n));
  const sample = <T>(values: fc.Arbitrary<T>): T[] => fc.sample(values, each);

  const burned = body();
  if (!(await vault.ask(DATA_KEYS_ROUTE, WORKER_CALLER, burned)).ok) throw new Error("the honest pair was refused");
  const theirs = await capOf(world, other);
  const theirObject = parseObject(readFileSync(world.objectFile(world.service, other)));
  if (theirObject === undefined) throw new Error("no object of the other party");
  const theirHeader = { header: theirObject.headerText, encrypted_key: theirObject.encryptedKey };
  const [broker, thief] = [await world.stolenBroker(), testDevice()];
  const unscoped = world.cap({ op: "fetch", service: "anthropic" });
  const ungranted = countersign(broker, unscoped, signCap(world.separator, device, unscoped));
  const own = { ...world.cap({ op: "fetch" }), deviceKeyHash: thief.hash };
  const thiefs = countersign(broker, own, signCap(world.separator, thief, own));
  const forged = countersign(broker, world.cap({ op: "fetch" }), signCap(world.separator, thief, own));
  const proofless = { proof: toBase64url("{}") };
  const malformed: readonly ProblemCode[] = ["request_malformed"];

  return [
    ...often((n) => ({
      kind: "no cap",
      body: body({}, { cap: [undefined, "", "a.b.c", null][n % 4] }),
      codes: ["request_malformed", "broker_sig_invalid"],
    })),
    ...often((n) => ({
      kind: "another's cap",
      body:
        [
          JSON.stringify(dataKeysWords(world, device, "fetch", theirs, {}, theirHeader)),
          JSON.stringify(
            dataKeysWords(world, device, "fetch", theirs, { claims: other.agentDevice.hash }, theirHeader),
          ),
        ][n % 2] ?? "",
      codes: ["proof_invalid"],
    })),
    ...often(() => ({ kind: "another's object", body: body({}, theirHeader), codes: ["object_corrupt"] })),
    ...often(() => ({
      kind: "a service without a grant",
      body: JSON.stringify(dataKeysWords(world, device, "fetch", ungranted)),
      codes: ["service_not_in_scope"],
    })),
    ...often(() => ({ kind: "a replayed pair", body: burned, codes: ["proof_invalid"], reason: "replayed" })),
    ...often((n) => ({
      kind: "a digest of its own choice",
      route: [DATA_KEYS_ROUTE, "POST /v1/sign", "POST /v1/unwrap", "POST /v1/derive-cred-kek"][n % 4] ?? "",
      body: JSON.stringify({ digest: own.nonce, hash: own.nonce, name: own, epoch: 1, claims: own }),
      codes: ["request_malformed", "route_not_found"],
    })),
    ...sample(fc.string()).map((route): Attack => {
      const names = [
        "__proto__",
        "constructor",
        "toString",
        DATA_KEYS_ROUTE.toLowerCase(),
        `${DATA_KEYS_ROUTE} `,
        `${DATA_KEYS_ROUTE}\0`,
        "",
      ];
      const name = names[route.length] ?? route;
      return { kind: "a method that is none", route: name, body: body(), codes: ["route_not_found"] };
    }),
    ...sample(fc.jsonValue()).map((one): Attack => {
      return { kind: "any JSON", body: JSON.stringify(one), codes: malformed };
    }),
    ...sample(fc.uint8Array({ maxLength: 300 })).map((one): Attack => {
      return { kind: "any bytes", body: Buffer.from(one), codes: malformed };
    }),
    ...often((n) => ({
      kind: "a caller of another name",
      caller:
        [
          "",
          "front",
          "URI:spiffe://agentkeys/broker",
          `${WORKER_CALLER} `,
          WORKER_CALLER.slice(4),
          `${WORKER_CALLER}, ${WORKER_CALLER}`,
        ][n % 6] ?? "",
      body: body(),
      codes: ["caller_not_allowed"],
    })),
    ...often((n) => ({
      kind: "a device that the broker's thief made up",
      body:
        [
          JSON.stringify(dataKeysWords(world, thief, "fetch", thiefs)),
          JSON.stringify(dataKeysWords(world, device, "fetch", forged)),
        ][n % 2] ?? "",
      codes: ["device_not_active", "cap_pop_invalid"],
    })),
    ...often((n) => ({
      kind: "one word changed",
      body: body(
        {},
        [
          { method: "GET" },
          { target: `${world.stack.urls.worker.credentials}/v1/cred/store` },
          { target: "https://thief.example/v1/cred/fetch" },
          { body_hash: own.nonce },
          proofless,
          { cap: store.cap },
          { encrypted_key: toBase64url(Buffer.alloc(72, n)) },
          { encrypted_key: undefined },
          { header: toBase64url("{}") },
        ][n % 9],
      ),
      codes: ["proof_invalid", "cap_op_mismatch", "object_corrupt", "request_malformed"],
    })),
    ...often((n) => {
      // anywhere in what is signed or wrapped; salt and version in the header are for the reader to judge
      const honest = words();
      const member = ["cap", "proof", "encrypted_key"][n % 3] ?? "";
      const text = String(honest[member]);
      const at = (n * 7_919) % text.length;
      const letter = text[at] === "A" ? "B" : "A";
      const changed = { ...honest, [member]: text.slice(0, at) + letter + text.slice(at + 1) };
      return { kind: "one letter changed", body: JSON.stringify(changed), codes: anyCode() };
    }),
  ];
}

async function capOf(world: World, party: Party): Promise<string> {
  let cap = "";
  await world.as(party, async () => {
    cap = (await world.mint("fetch", {}, party.agentDevice)).cap;
  });
  return cap;
}

/** Every refusal but the one that means a bug. */
function anyCode(): readonly ProblemCode[] {
  const codes = ["request_malformed", "broker_sig_invalid", "cap_pop_invalid", "proof_invalid", "object_corrupt"];
  return codes.filter(isProblemCode);
}

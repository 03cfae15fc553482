import { expect } from "chai";
import fc from "fast-check";

import { toBase64url } from "../../../offchain/wire/bytes";
import { capAudience } from "../../../offchain/wire/cap";
import { MINT_ROUTES } from "../../../offchain/wire/mint";
import type { World } from "../../drills/world";
import { type StolenBroker, capTexts, signTexts } from "../../helpers/jws";
import { memberMutation, mutate, mutateMembers, mutation, saysTheSame } from "../../helpers/mutations";
import type { RawAnswer, RawRequest } from "../../helpers/raw-http";
import { expectProblemForm } from "../../helpers/route-tables";
import { grantAll, sharedWorld } from "../../helpers/shared-world";
import { signCap } from "../../helpers/words";
import { type GoodMint, SERVICE, goodMint, sendMint } from "../broker/mint-rows";
import { type GoodRedeem, REDEEM_OPS, goodRedeem, sendWith, serviceOf, withCap } from "./redeem-world";

/** Requests that each property sends; a failure prints its seed and path. */
const RUNS = 2_000;
/** Milliseconds after which a good request is made anew: proofs live for a minute. */
const FRESH_MS = 20_000;

describe("random mutations of good requests are refused, never accepted, never a 5xx", function () {
  this.timeout(120_000);
  let world: World;
  let broker: StolenBroker;

  before(async () => {
    world = await sharedWorld();
    const services = [SERVICE, ...REDEEM_OPS.map(serviceOf)];
    await grantAll(world, world.party.wallet, world.party.actor, services);
    await world.nextBlock();
    broker = await world.stolenBroker();
  });

  function expectRefused(answer: RawAnswer): void {
    expect(answer.status, answer.body.toString("latin1")).to.be.within(400, 499);
    expectProblemForm(answer);
  }

  it("mint: bytes and members of the body, the target, the media type, bodies of other routes", async () => {
    const goods = kept((i) => Promise.resolve(goodMint(world, MINT_ROUTES[i] ?? never())));
    const names = Object.keys(JSON.parse(goodMint(world, MINT_ROUTES[0] ?? never()).text) as object);
    const part = fc.oneof(
      { weight: 4, arbitrary: fc.record({ part: fc.constant("body" as const), how: mutation }) },
      { weight: 3, arbitrary: fc.record({ part: fc.constant("members" as const), how: memberMutation }) },
      fc.record({ part: fc.constantFrom("target" as const, "type" as const), how: mutation }),
      fc.record({ part: fc.constant("route" as const), how: fc.nat() }),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(MINT_ROUTES.length - 1), part, async (route, { part, how }) => {
        const good = await goods(route);
        const { text } = good;
        const send = (change: Partial<RawRequest>) => sendMint(good, change);
        if (part === "body" || part === "members") {
          const body = part === "body" ? mutate(Buffer.from(text), how) : Buffer.from(mutateMembers(text, how));
          fc.pre(!saysTheSame(text, body, knownNames(good, names)));
          expectRefused(await send({ body }));
        } else if (part === "route") {
          const other = (route + 1 + (how % (MINT_ROUTES.length - 1))) % MINT_ROUTES.length;
          expectRefused(await send({ target: MINT_ROUTES[other]?.path ?? never() }));
        } else {
          const before = part === "target" ? good.route.path : "application/json";
          const after = mutate(Buffer.from(before), how).toString("latin1");
          fc.pre(trimmed(after).toLowerCase() !== before);
          expectRefused(await send(part === "target" ? { target: after } : { headers: [["Content-Type", after]] }));
        }
      }),
      { numRuns: RUNS },
    );
    for (const route of MINT_ROUTES.keys()) {
      const { cap } = await goods(route);
      const again = goodMint(world, MINT_ROUTES[route] ?? never(), { nonce: cap.nonce });
      expect((await sendMint(again)).status, "the honest request").to.equal(200);
    }
  });

  it("redeem: bytes of cap, proof, body, target and media type; members of the proof; parts of other requests", async () => {
    const goods = kept((i) => goodRedeem(world, REDEEM_OPS[i] ?? never()));
    const bytes = fc.constantFrom(
      "cap" as const,
      "proof" as const,
      "body" as const,
      "target" as const,
      "type" as const,
      "scheme" as const,
    );
    const part = fc.oneof(
      { weight: 5, arbitrary: fc.record({ part: bytes, how: mutation }) },
      { weight: 2, arbitrary: fc.record({ part: fc.constant("proof members" as const), how: memberMutation }) },
      { weight: 2, arbitrary: fc.record({ part: fc.constant("proof text" as const), how: mutation }) },
      fc.record({
        part: fc.constantFrom("other cap" as const, "other proof" as const, "other target" as const),
        how: fc.nat(),
      }),
    );
    await fc.assert(
      fc.asyncProperty(fc.nat(REDEEM_OPS.length - 1), part, async (op, { part, how }) => {
        const good = await goods(op);
        const before = partsOf(good);
        let after = before;
        if (typeof how === "number") {
          const other = partsOf(await goods((op + 1 + (how % 3)) % 4));
          if (part === "other cap") after = { ...before, cap: other.cap };
          else after = part === "other proof" ? { ...before, proof: other.proof } : { ...before, target: other.target };
        } else if (part === "proof members" || part === "proof text") {
          const json = Buffer.from(before.proof, "base64url").toString();
          const changed = "value" in how ? Buffer.from(mutateMembers(json, how)) : mutate(Buffer.from(json), how);
          fc.pre(!saysTheSame(json, changed, Object.keys(JSON.parse(json) as object)));
          after = { ...before, proof: toBase64url(changed) };
        } else if (!("value" in how)) {
          const name = part as Exclude<typeof part, `other ${string}`>;
          const changed = mutate(Buffer.from(before[name]), how).toString("latin1");
          // a field's value does not begin or end with white space (RFC 9110 §5.5), and a type's case says nothing
          const isSame = name === "body" ? changed === before.body : trimmed(changed) === trimmed(before[name]);
          fc.pre(!isSame && !(name === "type" && trimmed(changed).toLowerCase() === before.type));
          after = { ...before, [name]: changed };
        }
        expectRefused(await sendParts(good, after));
      }),
      { numRuns: RUNS },
    );
    for (const op of REDEEM_OPS.keys()) {
      const good = await goodRedeem(world, REDEEM_OPS[op] ?? never());
      expect((await sendParts(good, partsOf(good))).status, "the honest request").to.equal(200);
    }
  });

  it("redeem: claims changed by a thief of the broker's key, countersigned and proved by the device", async () => {
    const goods = kept((i) => goodRedeem(world, REDEEM_OPS[i] ?? never()));
    const how = fc.oneof(mutation, memberMutation);
    await fc.assert(
      fc.asyncProperty(fc.nat(REDEEM_OPS.length - 1), how, async (op, how) => {
        const good = await goods(op);
        const clientSig = signCap(world.separator, good.device, good.request);
        const aud = capAudience(good.request.op, "credentials");
        const { header, payload } = capTexts({ iss: broker.origin, aud, request: good.request, clientSig }, broker);
        const changed = "value" in how ? Buffer.from(mutateMembers(payload, how)) : mutate(Buffer.from(payload), how);
        fc.pre(!saysTheSame(payload, changed, Object.keys(JSON.parse(payload) as object)));
        const one = withCap(good, signTexts(header, changed, broker));
        expectRefused(await sendParts(one, partsOf(one)));
      }),
      { numRuns: RUNS },
    );
    const good = await goodRedeem(world, "fetch");
    expect((await sendParts(good, partsOf(good))).status, "the honest request").to.equal(200);
  });
});

/** Good requests by number, made anew before they grow old. */
function kept<T>(make: (i: number) => Promise<T>): (i: number) => Promise<T> {
  const all = new Map<number, { readonly at: number; readonly good: T }>();
  return async (i) => {
    const old = all.get(i);
    if (old !== undefined && performance.now() - old.at < FRESH_MS) return old.good;
    const good = await make(i);
    all.set(i, { at: performance.now(), good });
    return good;
  };
}

/** Members that this route reads: the rest decides nothing. */
function knownNames({ route, text }: GoodMint, common: readonly string[]): readonly string[] {
  const all = new Set([...common, ...Object.keys(JSON.parse(text) as object)]);
  if (route.op !== "store") all.delete("content_hash");
  return [...all];
}

interface Parts {
  readonly scheme: string;
  readonly cap: string;
  readonly proof: string;
  readonly body: string;
  readonly target: string;
  readonly type: string;
}

function partsOf({ world, op, cap, proof, body }: GoodRedeem): Parts {
  const target = new URL(world.target(op)).pathname;
  return { scheme: "AgentKeys ", cap, proof, body, target, type: "application/json" };
}

function sendParts(good: GoodRedeem, { scheme, cap, proof, body, target, type }: Parts): Promise<RawAnswer> {
  const headers = [
    ["Content-Type", type],
    ["Authorization", scheme + cap],
    ["AgentKeys-Proof", proof],
  ] as const;
  return sendWith(good, headers, { target, body: Buffer.from(body, "latin1") });
}

function trimmed(value: string): string {
  return value.replace(/^[ \t]+|[ \t]+$/g, "");
}

function never(): never {
  throw new Error("no such route");
}

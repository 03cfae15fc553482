import { expect } from "chai";
import fc from "fast-check";

import type { AccessFacts } from "../../../offchain/chain/access-facts";
import { verifyMint } from "../../../offchain/verify/mint";
import { ZERO32, toHex } from "../../../offchain/wire/bytes";
import type { CapRequest } from "../../../offchain/wire/cap-request";
import { keccakReady } from "../../../offchain/wire/keccak";
import { MINT_ROUTES, encodeMint, mintPath } from "../../../offchain/wire/mint";
import { actorOmni, operatorOmni } from "../../../offchain/wire/names";
import type { ProblemCode } from "../../../offchain/wire/problem";
import { failure } from "../../../offchain/wire/result";
import { brokenSignatures } from "../../helpers/signature-forms";
import { CHAIN_FAULTS, type CountedChain, NOW, caseSeparator, chainOf, goodFacts } from "../../helpers/verify-case";
import { type TestDevice, capRequest, nonce, signCap, testDevice } from "../../helpers/words";

/** A mint, before it is written down: what a row changes of an honest one. */
interface Draft {
  cap: Partial<CapRequest>;
  facts: Partial<AccessFacts>;
  /** Signs instead of the device that the cap names. */
  signer?: TestDevice;
  /** Changes the members of the body after they were signed. */
  body?: Record<string, unknown>;
  path?: string;
}

/** One thing wrong with a mint, in the order of protocol 3.3; any two of them may be combined. */
interface Fault {
  readonly name: string;
  readonly code: ProblemCode;
  readonly spoil: (draft: Draft) => void;
}

const FAULTS: readonly Fault[] = [
  { name: "no nonce", code: "request_malformed", spoil: (one) => (one.body = { nonce: undefined }) },
  {
    name: "stale",
    code: "cap_pop_invalid",
    spoil: ({ cap }) => Object.assign(cap, { issuedAt: NOW - 61, expiresAt: (cap.expiresAt ?? NOW + 200) - 61 }),
  },
  { name: "signed by another", code: "cap_pop_invalid", spoil: (one) => (one.signer = testDevice()) },
  {
    name: "301 seconds",
    code: "cap_lifetime_exceeded",
    spoil: ({ cap }) => Object.assign(cap, { expiresAt: (cap.issuedAt ?? NOW) + 301 }),
  },
  ...CHAIN_FAULTS.map(({ name, code, facts }): Fault => {
    return { name, code, spoil: (draft) => Object.assign(draft.facts, facts) };
  }),
];

describe("verify: mint (protocol 3.3)", () => {
  let device: TestDevice;
  let good: CapRequest;
  let separator: Buffer;

  before(async () => {
    await keccakReady();
    device = testDevice();
    separator = caseSeparator();
    const operator = operatorOmni("0x1111111111111111111111111111111111111111");
    const actor = actorOmni(operator, "agent-a");
    good = capRequest(device, {
      ...{ operatorOmni: operator, actorOmni: actor, service: "openrouter", op: "fetch" as const },
      issuedAt: NOW,
      expiresAt: NOW + 300,
    });
  });

  const routeOf = (path: string): (typeof MINT_ROUTES)[number] => {
    const route = MINT_ROUTES.find((one) => one.path === path);
    if (route === undefined) throw new Error(path);
    return route;
  };

  function bodyOf(draft: Draft): Buffer {
    const cap = { ...good, ...draft.cap };
    const members = JSON.parse(encodeMint(cap, signCap(separator, draft.signer ?? device, cap))) as object;
    return Buffer.from(JSON.stringify({ ...members, ...draft.body }));
  }

  function ask(draft: Draft, chain: CountedChain = chainOf(goodFacts(draft.facts)), body = bodyOf(draft)) {
    const path = draft.path ?? mintPath(draft.cap.op ?? good.op, draft.cap.dataClass ?? good.dataClass);
    return verifyMint({ route: routeOf(path), body, separator, now: NOW, chain });
  }

  async function codeOf(change: Partial<Draft>): Promise<string> {
    const result = await ask({ cap: {}, facts: {}, ...change });
    return result.ok ? "ok" : result.failure.code;
  }

  describe("each check at its boundary and just past it", () => {
    const rows: readonly (readonly [string, Partial<CapRequest>, string])[] = [
      ["issued now", {}, "ok"],
      ["issued 5 s ahead", { issuedAt: NOW + 5, expiresAt: NOW + 305 }, "ok"],
      ["issued 6 s ahead", { issuedAt: NOW + 6, expiresAt: NOW + 306 }, "cap_pop_invalid"],
      ["issued 60 s ago", { issuedAt: NOW - 60, expiresAt: NOW + 240 }, "ok"],
      ["issued 61 s ago", { issuedAt: NOW - 61, expiresAt: NOW + 239 }, "cap_pop_invalid"],
      ["expires in a second", { issuedAt: NOW - 10, expiresAt: NOW + 1 }, "ok"],
      ["expires now", { issuedAt: NOW - 10, expiresAt: NOW }, "cap_pop_invalid"],
      ["expired a second ago", { issuedAt: NOW - 10, expiresAt: NOW - 1 }, "cap_pop_invalid"],
      ["expires a second after it was issued", { issuedAt: NOW + 5, expiresAt: NOW + 6 }, "ok"],
      ["expires when it was issued", { issuedAt: NOW + 5, expiresAt: NOW + 5 }, "request_malformed"],
      ["expires before it was issued", { issuedAt: NOW + 5, expiresAt: NOW + 4 }, "request_malformed"],
      ["lives 300 s", { expiresAt: NOW + 300 }, "ok"],
      ["lives 301 s", { expiresAt: NOW + 301 }, "cap_lifetime_exceeded"],
      ["lives for ever", { expiresAt: Number.MAX_SAFE_INTEGER }, "cap_lifetime_exceeded"],
      ["issued in 1970", { issuedAt: 0, expiresAt: 300 }, "cap_pop_invalid"],
    ];
    for (const [name, cap, expected] of rows) {
      it(`${name}: ${expected}`, async () => {
        expect(await codeOf({ cap })).to.equal(expected);
      });
    }
  });

  describe("client_sig", () => {
    it("in every broken form, and by another device: cap_pop_invalid", async () => {
      expect(await codeOf({})).to.equal("ok");
      for (const [name, client_sig] of Object.entries(brokenSignatures(signCap(separator, device, good)))) {
        expect(await codeOf({ body: { client_sig } }), name).to.equal("cap_pop_invalid");
      }
      expect(await codeOf({ signer: testDevice() })).to.equal("cap_pop_invalid");
    });

    it("over a cap of which any one member is another", async () => {
      const other: Readonly<Record<string, unknown>> = {
        operator_omni: nonce(),
        actor_omni: nonce(),
        device_key_hash: nonce(),
        service: "openrouter2",
        content_hash: nonce(),
        k3_epoch: 2,
        issued_at: NOW - 1,
        expires_at: NOW + 299,
        nonce: nonce(),
      };
      const cap = { op: "store", contentHash: nonce() } as const;
      expect(await codeOf({ cap })).to.equal("ok");
      for (const [member, value] of Object.entries(other)) {
        expect(await codeOf({ cap, body: { [member]: value } }), member).to.equal("cap_pop_invalid");
      }
    });

    it("of another chain or registry", async () => {
      const result = await verifyMint({
        route: routeOf("/v1/cap/cred-fetch"),
        body: bodyOf({ cap: {}, facts: {} }),
        separator: Buffer.alloc(32, 1),
        now: NOW,
        chain: chainOf(goodFacts()),
      });
      expect(!result.ok && result.failure.code).to.equal("cap_pop_invalid");
    });

    it("does not survive one changed bit of the body, wherever it is", async () => {
      const body = bodyOf({ cap: {}, facts: {} });
      await fc.assert(
        fc.asyncProperty(fc.nat(body.length - 1), fc.nat(7), async (at, bit) => {
          const changed = Buffer.from(body);
          changed[at] = (changed[at] ?? 0) ^ (1 << bit);
          const chain = chainOf(goodFacts());
          const result = await ask({ cap: {}, facts: {} }, chain, changed);
          expect(!result.ok && result.failure.code).to.be.oneOf(["request_malformed", "cap_pop_invalid"]);
          expect(chain.asked).to.have.length(0);
        }),
        { numRuns: 500 },
      );
    });
  });

  describe("the route decides", () => {
    it("operation and class: a cap that was signed for one route is good at no other", async () => {
      const ownClass = (path: string): Partial<CapRequest> => {
        const { op, dataClass = "memory" } = routeOf(path);
        return op === "store" ? { op, dataClass, contentHash: nonce() } : { op, dataClass };
      };
      for (const signedFor of MINT_ROUTES) {
        for (const { path } of MINT_ROUTES) {
          const cap = ownClass(signedFor.path);
          // the members that a route may ask for are there, so that only the signature can refuse
          const body = { content_hash: cap.contentHash ?? ZERO32, data_class: cap.dataClass };
          const expected = path === signedFor.path ? "ok" : "cap_pop_invalid";
          expect(await codeOf({ cap, path, body }), `${signedFor.path} at ${path}`).to.equal(expected);
        }
      }
    });

    it("not what the body says of op, class or content", async () => {
      const said = { op: "store", data_class: "config", content_hash: nonce() };
      expect(await codeOf({ body: said })).to.equal("ok");
    });
  });

  it("answers with the first of two faults, in the protocol's order", async () => {
    for (const [i, first] of FAULTS.entries()) {
      for (const later of FAULTS.slice(i)) {
        const draft: Draft = { cap: {}, facts: {} };
        later.spoil(draft);
        if (later !== first) first.spoil(draft);
        expect(await codeOf(draft), `${first.name} and ${later.name}`).to.equal(first.code);
      }
    }
  });

  it("an unproved caller learns nothing of the chain, and costs it nothing", async () => {
    for (const { name, facts } of CHAIN_FAULTS) {
      const chain = chainOf(goodFacts(facts));
      const result = await ask({ cap: {}, facts: {}, signer: testDevice() }, chain);
      expect(!result.ok && result.failure.code, name).to.equal("cap_pop_invalid");
      expect(chain.asked, name).to.have.length(0);
    }
  });

  it("a chain that cannot be asked refuses", async () => {
    const result = await ask({ cap: {}, facts: {} }, chainOf(failure("chain_unavailable", "down")));
    expect(!result.ok && result.failure.code).to.equal("chain_unavailable");
  });

  it("what it proved: the cap, the device's own signature, the facts, and the nonce to burn", async () => {
    const facts = goodFacts();
    const result = await ask({ cap: {}, facts: {} }, chainOf(facts));
    expect(result).to.deep.equal({
      ok: true,
      value: {
        cap: good,
        clientSig: signCap(separator, device, good),
        facts,
        burn: {
          receiver: "broker",
          kind: "cap",
          device: device.hash,
          nonce: good.nonce,
          issuedAt: NOW,
          keepUntil: good.expiresAt + 60,
        },
      },
    });
  });

  it("members of the wrong form: request_malformed before anything is asked", async () => {
    const broken: Readonly<Record<string, readonly unknown[]>> = {
      operator_omni: [undefined, null, 1, "", good.operatorOmni.slice(2), good.operatorOmni.toUpperCase()],
      actor_omni: [undefined, `${good.actorOmni}00`, toHex(Buffer.alloc(31))],
      device_key_hash: [undefined, device.address],
      service: [undefined, "", "Openrouter", "a/b", "a..b", "a".repeat(65), "-a"],
      k3_epoch: [undefined, "1", null],
      issued_at: [undefined, String(NOW), null],
      expires_at: [undefined, String(NOW), null],
      nonce: [undefined, "0x", ZERO32.slice(0, -1)],
    };
    for (const [member, values] of Object.entries(broken)) {
      for (const value of values) {
        const chain = chainOf(goodFacts());
        const result = await ask({ cap: {}, facts: {}, body: { [member]: value } }, chain);
        expect(!result.ok && result.failure.code, `${member} ${String(value)}`).to.equal("request_malformed");
        expect(chain.asked).to.have.length(0);
      }
    }
  });
});

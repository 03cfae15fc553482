import { expect } from "chai";

import { CapCache } from "../../../offchain/verify/cap-cache";
import { toBase64url } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { RedeemBench, type RedeemDraft } from "../../helpers/redeem-case";
import { CHAIN_FAULTS, NOW, testBroker } from "../../helpers/verify-case";
import { nonce, signCap, testDevice } from "../../helpers/words";

describe("verify: the cap cache lets nothing through that has ended", () => {
  let bench: RedeemBench;
  let cache: CapCache;
  let capText: string;

  before(keccakReady);

  /** The very cap that is in the cache, with whatever is changed beside it. */
  const again = (draft: RedeemDraft = {}): Promise<string> =>
    bench.codeOf({ ...draft, receiver: { capText, cache, ...draft.receiver } });

  beforeEach(async () => {
    bench = new RedeemBench();
    cache = new CapCache();
    capText = bench.capText();
    expect(await again()).to.equal("ok");
    expect(cache.get(capText)?.parsed.claims.request).to.deep.equal(bench.good);
  });

  afterEach(async () => {
    expect(await again(), "the honest cap goes on working").to.equal("ok");
  });

  it("is used: the second time nothing but the text is compared", async () => {
    const poisoned = new CapCache();
    const seen = cache.get(capText);
    if (seen === undefined) throw new Error("not cached");
    // with the answer of another cap under this text, the answer tells that the cache was asked
    poisoned.set(capText, { ...seen, digest: Buffer.alloc(32, 7) });
    const result = await bench.ask({ receiver: { capText, cache: poisoned } });
    expect(result.ok && result.value.capDigest.equals(Buffer.alloc(32, 7))).to.equal(true);
  });

  it("expired", async () => {
    const at = (now: number): Promise<string> => again({ receiver: { now }, proof: { issuedAt: now } });
    expect(await at(NOW + 289)).to.equal("ok");
    expect(await at(NOW + 290)).to.equal("cap_expired");
  });

  it("the clock went back: dated ahead", async () => {
    const now = NOW - 21;
    expect(await again({ receiver: { now }, proof: { issuedAt: now } })).to.equal("cap_pop_invalid");
  });

  it("its key withdrawn, or replaced by another under the same id", async () => {
    expect(await again({ receiver: { brokerKey: () => undefined } })).to.equal("broker_sig_invalid");
    const other = testBroker();
    expect(await again({ receiver: { brokerKey: () => other.key } })).to.equal("broker_sig_invalid");
  });

  it("another route, audience or issuer", async () => {
    const route = { op: "store", dataClass: "credentials" } as const;
    expect(await again({ receiver: { route } })).to.equal("cap_op_mismatch");
    const memory = { op: "fetch", dataClass: "memory" } as const;
    expect(await again({ receiver: { route: memory } })).to.equal("cap_data_class_mismatch");
    expect(await again({ receiver: { audience: "agentkeys:worker:memory" } })).to.equal("cap_data_class_mismatch");
    expect(await again({ receiver: { issuer: "https://other.example" } })).to.equal("broker_sig_invalid");
  });

  it("a proof by another device, for another request, or stale", async () => {
    expect(await again({ prover: testDevice() })).to.equal("proof_invalid mismatch");
    expect(await again({ proof: { method: "GET" } })).to.equal("proof_invalid forged");
    expect(await again({ proof: { issuedAt: NOW - 61 } })).to.equal("proof_invalid stale");
    expect(await again({ proofText: "" })).to.equal("proof_invalid malformed");
  });

  it("every fact of the chain is asked again", async () => {
    for (const { name, facts, code } of CHAIN_FAULTS) expect(await again({ facts }), name).to.equal(code);
  });

  it("the same request with another client_sig is another text", async () => {
    const client_sig = signCap(bench.separator, testDevice(), bench.good);
    expect(await bench.cachedCodeOf(cache, { claims: { client_sig } })).to.equal("cap_pop_invalid");
    expect(await bench.cachedCodeOf(cache, { claims: { client_sig: undefined } })).to.equal("cap_pop_invalid");
  });

  it("one member of the cached cap changed by the broker that signed it", async () => {
    const changes = { sub: nonce(), service: "openrouter2", op: "store", k3_epoch: 2, exp: NOW + 289, jti: nonce() };
    for (const [claim, value] of Object.entries(changes)) {
      const expected = claim === "op" ? "cap_op_mismatch" : "cap_pop_invalid";
      expect(await bench.cachedCodeOf(cache, { claims: { [claim]: value } }), claim).to.equal(expected);
    }
  });

  it("any byte of the cached text changed", async () => {
    const parts = capText.split(".");
    for (let part = 0; part < 3; part += 1) {
      const bytes = Buffer.from(parts[part] ?? "", "base64url");
      for (let at = 0; at < bytes.length; at += 5) {
        const changed = Buffer.from(bytes);
        changed[at] = (changed[at] ?? 0) ^ 1;
        const text = parts.with(part, toBase64url(changed)).join(".");
        expect(await again({ receiver: { capText: text } }), `part ${String(part)}, byte ${String(at)}`).to.equal(
          "broker_sig_invalid",
        );
      }
    }
    for (const text of [`${capText} `, ` ${capText}`, `${capText}=`, `${capText}.`, capText.slice(0, -1)]) {
      expect(await again({ receiver: { capText: text } })).to.equal("broker_sig_invalid");
    }
  });

  it("what was refused is not remembered, and a migration leaves nothing behind", async () => {
    const fresh = new CapCache();
    const forged: RedeemDraft = { signer: testDevice() };
    const text = bench.capText(forged);
    const ask = (capPopRequired: boolean): Promise<string> =>
      bench.codeOf({ ...forged, receiver: { capText: text, cache: fresh, capPopRequired } });
    expect(await ask(true)).to.equal("cap_pop_invalid");
    expect(await ask(false)).to.equal("ok");
    expect(fresh.get(text)).to.equal(undefined);
    expect(await ask(true)).to.equal("cap_pop_invalid");
  });

  it("is bounded: the oldest goes first, and what went is checked anew", async () => {
    const small = new CapCache(2);
    const texts = [0, 1, 2].map((n) => bench.capText({ request: { nonce: `0x${String(n).repeat(64)}` } }));
    for (const text of texts) expect(await bench.codeOf({ receiver: { capText: text, cache: small } })).to.equal("ok");
    expect(texts.map((text) => small.get(text) !== undefined)).to.deep.equal([false, true, true]);
    expect(await bench.codeOf({ receiver: { capText: texts[0] ?? "", cache: small } })).to.equal("ok");
    expect(await bench.codeOf({ receiver: { capText: `${texts[0] ?? ""}A`, cache: small } })).to.equal(
      "broker_sig_invalid",
    );
  });
});

import { expect } from "chai";
import { createHmac } from "node:crypto";

import { replayEntries } from "../../../offchain/verify/redeem";
import { type Hex, ZERO32, toBase64url } from "../../../offchain/wire/bytes";
import { type CapRequest, capRequestDigest } from "../../../offchain/wire/cap-request";
import { keccakReady } from "../../../offchain/wire/keccak";
import type { Op } from "../../../offchain/wire/names";
import { failure } from "../../../offchain/wire/result";
import { RedeemBench, type RedeemDraft, WORKER, codeIn } from "../../helpers/redeem-case";
import { brokenSignatures } from "../../helpers/signature-forms";
import { CHAIN_FAULTS, NOW, chainOf, goodFacts, testBroker } from "../../helpers/verify-case";
import { makeProof, nonce, signCap, testDevice } from "../../helpers/words";

type Row = readonly [name: string, draft: RedeemDraft, expected: string];

describe("verify: redeem (protocol 3.4)", () => {
  let bench: RedeemBench;

  before(async () => {
    await keccakReady();
    bench = new RedeemBench();
  });

  const table = (rows: readonly Row[]): void => {
    for (const [name, draft, expected] of rows) {
      it(`${name}: ${expected}`, async () => {
        expect(await bench.codeOf(draft)).to.equal(expected);
      });
    }
  };

  describe("times, at the boundary and just past it", () => {
    const times = (issuedAt: number, expiresAt: number): RedeemDraft => ({ request: { issuedAt, expiresAt } });
    table([
      ["an honest cap", {}, "ok"],
      ["expires in a second", times(NOW - 299, NOW + 1), "ok"],
      ["expires now", times(NOW - 300, NOW), "cap_expired"],
      ["expired a second ago", times(NOW - 301, NOW - 1), "cap_expired"],
      ["lives 300 s", times(NOW - 10, NOW + 290), "ok"],
      ["lives 301 s", times(NOW - 10, NOW + 291), "cap_lifetime_exceeded"],
      ["issued 10 s ahead", times(NOW + 10, NOW + 100), "ok"],
      ["issued 11 s ahead", times(NOW + 11, NOW + 100), "cap_pop_invalid"],
      ["a proof 5 s ahead", { proof: { issuedAt: NOW + 5 } }, "ok"],
      ["a proof 6 s ahead", { proof: { issuedAt: NOW + 6 } }, "proof_invalid stale"],
      ["a proof 60 s old", { proof: { issuedAt: NOW - 60 } }, "ok"],
      ["a proof 61 s old", { proof: { issuedAt: NOW - 61 } }, "proof_invalid stale"],
    ]);
  });

  describe("the JWS (RFC 7515), each time with one thing changed", () => {
    const flip = (part: number) => (cap: string) => {
      const parts = cap.split(".");
      const bytes = Buffer.from(parts[part] ?? "", "base64url");
      bytes[bytes.length - 2] = (bytes[bytes.length - 2] ?? 0) ^ 1;
      parts[part] = toBase64url(bytes);
      return parts.join(".");
    };
    table([
      ["alg none", { header: { alg: "none" } }, "broker_sig_invalid"],
      [
        "alg none, no signature",
        { header: { alg: "none" }, text: (cap) => cap.replace(/[^.]*$/, "") },
        "broker_sig_invalid",
      ],
      ["alg ES384", { header: { alg: "ES384" } }, "broker_sig_invalid"],
      ["alg es256", { header: { alg: "es256" } }, "broker_sig_invalid"],
      ["typ JWT", { header: { typ: "JWT" } }, "broker_sig_invalid"],
      ["no typ", { header: { typ: undefined } }, "broker_sig_invalid"],
      ["no kid", { header: { kid: undefined } }, "broker_sig_invalid"],
      ["kid of nobody", { header: { kid: "other" } }, "broker_sig_invalid"],
      ["kid a number", { header: { kid: 1 } }, "broker_sig_invalid"],
      ["crit", { header: { crit: ["exp"] } }, "broker_sig_invalid"],
      ["jku", { header: { jku: "https://thief.example/jwks.json" } }, "broker_sig_invalid"],
      ["jwk", { header: { jwk: {} } }, "broker_sig_invalid"],
      ["x5c", { header: { x5c: [] } }, "broker_sig_invalid"],
      ["b64 false", { header: { b64: false } }, "broker_sig_invalid"],
      ["another issuer", { claims: { iss: "https://thief.example" } }, "broker_sig_invalid"],
      ["issuer with a slash", { claims: { iss: "https://broker.example.org/" } }, "broker_sig_invalid"],
      ["an audience of another kind", { claims: { aud: "https://worker.example.org" } }, "broker_sig_invalid"],
      ["a list of audiences", { claims: { aud: ["agentkeys:worker:credentials"] } }, "broker_sig_invalid"],
      ["an audience and more", { claims: { aud: "agentkeys:worker:credentials2" } }, "broker_sig_invalid"],
      ["no audience", { claims: { aud: undefined } }, "broker_sig_invalid"],
      ["the audience of memory", { claims: { aud: "agentkeys:worker:memory" } }, "cap_data_class_mismatch"],
      ["the audience of classify", { claims: { aud: "agentkeys:worker:classify" } }, "cap_data_class_mismatch"],
      ["four parts", { text: (cap) => `${cap}.` }, "broker_sig_invalid"],
      ["two parts", { text: (cap) => cap.split(".").slice(0, 2).join(".") }, "broker_sig_invalid"],
      ["nothing", { text: () => "" }, "broker_sig_invalid"],
      ["padding", { text: (cap) => `${cap}=` }, "broker_sig_invalid"],
      ["a space", { text: (cap) => `${cap} ` }, "broker_sig_invalid"],
      ["its signature changed", { text: flip(2) }, "broker_sig_invalid"],
      ["its payload changed", { text: flip(1) }, "broker_sig_invalid"],
      ["its header changed", { text: flip(0) }, "broker_sig_invalid"],
      ["an unknown claim more", { claims: { admin: 1 } }, "ok"],
      ["no client_sig", { claims: { client_sig: undefined } }, "cap_pop_invalid"],
      ["times as text", { claims: { exp: String(NOW + 290) } }, "broker_sig_invalid"],
      ["an operation of nobody", { claims: { op: "read" } }, "broker_sig_invalid"],
    ]);

    it("signed by another key under the honest kid: broker_sig_invalid", async () => {
      expect(await bench.codeOf({ broker: testBroker() })).to.equal("broker_sig_invalid");
    });

    it("HS256 over the public key as a secret, the classic: broker_sig_invalid", async () => {
      const header = toBase64url(JSON.stringify({ alg: "HS256", typ: "agentkeys-cap+jwt", kid: bench.broker.kid }));
      const payload = bench.capText().split(".")[1] ?? "";
      const secret = JSON.stringify(bench.broker.key.export({ format: "jwk" }));
      const mac = createHmac("sha512", secret).update(`${header}.${payload}`).digest("base64url");
      expect(await bench.codeOf({ text: () => `${header}.${payload}.${mac}` })).to.equal("broker_sig_invalid");
    });
  });

  describe("operation and class", () => {
    const OPS: readonly Op[] = ["store", "fetch", "teardown", "rotate", "classify"];
    it("a cap is good at its own route and no other", async () => {
      for (const of of OPS) {
        const one = new RedeemBench(of);
        for (const op of OPS) {
          const route = { op, dataClass: "credentials" as const };
          const expected = op === of ? "ok" : "cap_op_mismatch";
          expect(await one.codeOf({ receiver: { route } }), `${of} at ${op}`).to.equal(expected);
        }
        const memory = { route: { op: of, dataClass: "memory" as const } };
        expect(await one.codeOf({ receiver: memory }), `${of} at memory`).to.equal("cap_data_class_mismatch");
      }
    });

    it("a cap of another class whose audience the broker bent", async () => {
      const request = { dataClass: "memory" } as const;
      const draft = { request, claims: { aud: "agentkeys:worker:credentials" } };
      expect(await bench.codeOf(draft)).to.equal("cap_data_class_mismatch");
    });
  });

  describe("client_sig", () => {
    it("in every broken form: cap_pop_invalid", async () => {
      for (const [name, client_sig] of Object.entries(
        brokenSignatures(signCap(bench.separator, bench.device, bench.good)),
      )) {
        expect(await bench.codeOf({ claims: { client_sig } }), name).to.equal("cap_pop_invalid");
      }
      expect(await bench.codeOf({ signer: testDevice() })).to.equal("cap_pop_invalid");
    });

    it("is asked for every field: what the broker changes is refused", async () => {
      const changes: Readonly<Record<string, unknown>> = {
        sub: nonce(),
        jti: nonce(),
        iat: NOW - 9,
        exp: NOW + 289,
        operator_omni: nonce(),
        device_key_hash: nonce(),
        service: "openrouter2",
        content_hash: nonce(),
        k3_epoch: 2,
      };
      for (const [claim, value] of Object.entries(changes)) {
        expect(await bench.codeOf({ claims: { [claim]: value } }), claim).to.equal("cap_pop_invalid");
      }
      expect(await bench.codeOf({ receiver: { separator: Buffer.alloc(32, 1) } }), "registry").to.equal(
        "cap_pop_invalid",
      );
    });

    it("left out in a migration, it alone is: the proof is still asked for", async () => {
      const off: RedeemDraft = { signer: testDevice(), receiver: { capPopRequired: false } };
      expect(await bench.codeOf(off)).to.equal("ok");
      expect(await bench.codeOf({ ...off, receiver: { capPopRequired: true } })).to.equal("cap_pop_invalid");
      expect(await bench.codeOf({ ...off, prover: testDevice() })).to.equal("proof_invalid mismatch");
      expect(await bench.codeOf({ ...off, proof: { target: `${WORKER}/v1/cred/store` } })).to.equal(
        "proof_invalid forged",
      );
    });
  });

  describe("proof", () => {
    table([
      ["for another method", { proof: { method: "GET" } }, "proof_invalid forged"],
      ["for another path", { proof: { target: `${WORKER}/v1/cred/store` } }, "proof_invalid forged"],
      ["for another origin", { proof: { target: "https://other.example.org/v1/cred/fetch" } }, "proof_invalid forged"],
      ["for a query", { proof: { target: `${WORKER}/v1/cred/fetch?` } }, "proof_invalid forged"],
      ["for another body", { proof: { body: '{"a":1}' } }, "proof_invalid forged"],
      ["for an empty body", { proof: { body: "" } }, "proof_invalid forged"],
      ["for another cap", { proof: { credential: "other" } }, "proof_invalid forged"],
      ["nothing", { proofText: "" }, "proof_invalid malformed"],
      ["no base64url", { proofText: "e30=" }, "proof_invalid malformed"],
      ["an empty object", { proofText: "e30" }, "proof_invalid malformed"],
    ]);

    it("by another device that says so: mismatch; that claims to be the cap's: forged", async () => {
      const thief = testDevice();
      expect(await bench.codeOf({ prover: thief })).to.equal("proof_invalid mismatch");
      expect(await bench.codeOf({ prover: thief, proof: { claims: bench.device.hash } })).to.equal(
        "proof_invalid forged",
      );
    });

    it("without a credential in it: forged", async () => {
      const { header } = makeProof(bench.separator, bench.device, {
        target: `${WORKER}/v1/cred/fetch`,
        body: "{}",
        issuedAt: NOW,
      });
      expect(await bench.codeOf({ proofText: header })).to.equal("proof_invalid forged");
    });

    it("each member changed after it was signed", async () => {
      const capText = bench.capText();
      const { proofText } = bench.caseOf({ receiver: { capText } });
      const good = JSON.parse(Buffer.from(proofText, "base64url").toString()) as Record<string, unknown>;
      const sent = (change: Record<string, unknown>): RedeemDraft => ({
        receiver: { capText },
        proofText: toBase64url(JSON.stringify({ ...good, ...change })),
      });
      expect(Object.keys(good)).to.have.members(["device_key_hash", "seal_to", "nonce", "issued_at", "sig"]);
      expect(await bench.codeOf(sent({}))).to.equal("ok");
      expect(await bench.codeOf(sent({ more: 1 })), "an unknown member").to.equal("ok");
      expect(await bench.codeOf(sent({ nonce: nonce() }))).to.equal("proof_invalid forged");
      expect(await bench.codeOf(sent({ seal_to: `0x09${"00".repeat(31)}` }))).to.equal("proof_invalid forged");
      expect(await bench.codeOf(sent({ issued_at: NOW - 1 }))).to.equal("proof_invalid forged");
      expect(await bench.codeOf(sent({ device_key_hash: nonce() }))).to.equal("proof_invalid mismatch");
      for (const member of Object.keys(good)) {
        expect(await bench.codeOf(sent({ [member]: undefined })), member).to.equal("proof_invalid malformed");
        expect(await bench.codeOf(sent({ [member]: null })), member).to.equal("proof_invalid malformed");
      }
      expect(await bench.codeOf(sent({ seal_to: `0x01${"00".repeat(31)}` }))).to.equal("proof_invalid malformed");
      for (const [name, sig] of Object.entries(brokenSignatures(good["sig"] as Hex))) {
        const expected = typeof sig === "string" && /^0x[0-9a-f]{130}$/.test(sig) ? "forged" : "malformed";
        expect(await bench.codeOf(sent({ sig })), name).to.equal(`proof_invalid ${expected}`);
      }
    });
  });

  describe("the chain", () => {
    for (const { name, facts, code } of CHAIN_FAULTS) {
      it(`${name}: ${code}`, async () => {
        expect(await bench.codeOf({ facts })).to.equal(code);
      });
    }

    it("is asked once, for the cap's own names; an answer that is none refuses", async () => {
      const chain = chainOf(goodFacts());
      expect(codeIn(await bench.ask({}, chain))).to.equal("ok");
      const { deviceKeyHash, operatorOmni, actorOmni, dataClass, service } = bench.good;
      expect(chain.asked).to.deep.equal([{ deviceKeyHash, operatorOmni, actorOmni, dataClass, service }]);
      const down = chainOf(failure("chain_unavailable", "down"));
      expect(codeIn(await bench.ask({}, down))).to.equal("chain_unavailable");
    });

    it("costs nothing where the message alone is refused", async () => {
      const chain = chainOf(goodFacts());
      for (const draft of [{ signer: testDevice() }, { prover: testDevice() }, { broker: testBroker() }]) {
        expect((await bench.ask(draft, chain)).ok).to.equal(false);
      }
      expect(chain.asked).to.have.length(0);
    });
  });

  it("what it proved, and no more", async () => {
    const one = bench.caseOf();
    const result = await bench.ask({ receiver: { capText: one.capText }, proofText: one.proofText });
    if (!result.ok) throw new Error(codeIn(result));
    expect(result.value.cap).to.deep.equal(bench.good);
    expect(result.value.capDigest.equals(capRequestDigest(bench.separator, bench.good))).to.equal(true);
    expect(result.value.facts).to.deep.equal(goodFacts());
    expect(result.value.proof.deviceKeyHash).to.equal(bench.device.hash);
    expect(result.value.proof.sealTo).to.equal(ZERO32);
  });

  describe("replay entries (protocol 3.2)", () => {
    for (const op of ["fetch", "classify", "store", "teardown", "rotate"] as const) {
      const burns = op !== "fetch" && op !== "classify";
      it(`${op}: the proof${burns ? ", then the cap" : " alone"}`, async () => {
        const one = new RedeemBench(op);
        const result = await one.ask({ proof: { issuedAt: NOW - 7 } });
        if (!result.ok) throw new Error(codeIn(result));
        const { cap, proof }: { cap: CapRequest; proof: { nonce: string } } = result.value;
        const common = { receiver: "worker:credentials", device: one.device.hash };
        const entries = [
          { ...common, kind: "proof", nonce: proof.nonce, issuedAt: NOW - 7, keepUntil: NOW - 7 + 125 },
          { ...common, kind: "cap", nonce: cap.nonce, issuedAt: NOW - 10, keepUntil: NOW + 290 + 60 },
        ];
        expect(replayEntries("worker:credentials", result.value)).to.deep.equal(burns ? entries : entries.slice(0, 1));
      });
    }
  });
});

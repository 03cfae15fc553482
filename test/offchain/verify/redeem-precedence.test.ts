import { expect } from "chai";

import { keccakReady } from "../../../offchain/wire/keccak";
import { RedeemBench, type RedeemDraft } from "../../helpers/redeem-case";
import { CHAIN_FAULTS, NOW, testBroker } from "../../helpers/verify-case";
import { testDevice } from "../../helpers/words";

/** One thing wrong with a redemption; faults of different steps may be combined. */
interface Fault {
  readonly name: string;
  readonly code: string;
  spoil(draft: RedeemDraft): void;
}

const FAULTS: readonly Fault[] = [
  { name: "alg none", code: "broker_sig_invalid", spoil: (one) => (one.header = { ...one.header, alg: "none" }) },
  { name: "an unknown kid", code: "broker_sig_invalid", spoil: (one) => (one.header = { ...one.header, kid: "x" }) },
  { name: "another broker", code: "broker_sig_invalid", spoil: (one) => (one.broker = testBroker()) },
  {
    name: "another audience",
    code: "cap_data_class_mismatch",
    spoil: (one) => (one.claims = { ...one.claims, aud: "agentkeys:worker:memory" }),
  },
  { name: "expired", code: "cap_expired", spoil: (one) => (one.request = { ...one.request, expiresAt: NOW }) },
  {
    name: "301 seconds",
    code: "cap_lifetime_exceeded",
    spoil(one) {
      // keeps an expiry that is already past
      const expiresAt = one.request?.expiresAt ?? NOW + 100;
      one.request = { ...one.request, issuedAt: expiresAt - 301, expiresAt };
    },
  },
  {
    name: "another operation",
    code: "cap_op_mismatch",
    spoil: (one) => (one.receiver = { ...one.receiver, route: { op: "store", dataClass: "credentials" } }),
  },
  {
    name: "another class",
    code: "cap_data_class_mismatch",
    spoil(one) {
      const op = one.receiver?.route?.op ?? "fetch";
      one.receiver = { ...one.receiver, route: { op, dataClass: "config" } };
    },
  },
  {
    name: "11 s ahead",
    code: "cap_pop_invalid",
    spoil(one) {
      // as long as the draft already is, so that a lifetime that is too long stays so
      const { issuedAt, expiresAt = NOW + 290 } = one.request ?? {};
      const lifetime = issuedAt === undefined ? 0 : expiresAt - issuedAt;
      one.request = { ...one.request, issuedAt: NOW + 11, expiresAt: Math.max(expiresAt, NOW + 11 + lifetime) };
      if (expiresAt === NOW) one.request = { ...one.request, expiresAt };
    },
  },
  { name: "signed by another device", code: "cap_pop_invalid", spoil: (one) => (one.signer = testDevice()) },
  { name: "a proof that is none", code: "proof_invalid malformed", spoil: (one) => (one.proofText = "e30") },
  { name: "a proof by another device", code: "proof_invalid mismatch", spoil: (one) => (one.prover = testDevice()) },
  {
    name: "a stale proof",
    code: "proof_invalid stale",
    spoil: (one) => (one.proof = { ...one.proof, issuedAt: NOW - 61 }),
  },
  {
    name: "a proof for another method",
    code: "proof_invalid forged",
    spoil: (one) => (one.proof = { ...one.proof, method: "PUT" }),
  },
  ...CHAIN_FAULTS.map(({ name, code, facts }): Fault => {
    return { name, code, spoil: (one) => (one.facts = { ...one.facts, ...facts }) };
  }),
];

describe("verify: of two faults in a redemption the earlier step answers (protocol 3.4, 3.11)", () => {
  let bench: RedeemBench;

  before(async () => {
    await keccakReady();
    bench = new RedeemBench();
  });

  it("the honest case is agreed to", async () => {
    expect(await bench.codeOf({})).to.equal("ok");
  });

  for (const [i, first] of FAULTS.entries()) {
    it(`${first.name}: ${first.code}, also with any one of ${String(FAULTS.length - i - 1)} later faults`, async () => {
      const alone: RedeemDraft = {};
      first.spoil(alone);
      expect(await bench.codeOf(alone)).to.equal(first.code);
      for (const later of FAULTS.slice(i + 1)) {
        const both: RedeemDraft = {};
        first.spoil(both);
        later.spoil(both);
        expect(await bench.codeOf(both), later.name).to.equal(first.code);
      }
    });
  }

  it("all faults from a step on, together", async () => {
    for (const [i, first] of FAULTS.entries()) {
      const all: RedeemDraft = {};
      for (const one of FAULTS.slice(i)) one.spoil(all);
      expect(await bench.codeOf(all), first.name).to.equal(first.code);
    }
  });
});

import { expect } from "chai";

import type { AccessFacts } from "../../../offchain/chain/access-facts";
import { askChain } from "../../../offchain/verify/ask-chain";
import { CHAIN_CHECKS } from "../../../offchain/verify/chain-checks";
import { firstFailure } from "../../../offchain/verify/check";
import type { CapRequest } from "../../../offchain/wire/cap-request";
import { keccakReady } from "../../../offchain/wire/keccak";
import { type Op, actorOmni, operatorOmni } from "../../../offchain/wire/names";
import { failure } from "../../../offchain/wire/result";
import { CHAIN_FAULTS, NOW, chainOf, goodFacts } from "../../helpers/verify-case";
import { capRequest, testDevice } from "../../helpers/words";

const OPS: readonly Op[] = ["store", "fetch", "teardown", "rotate", "classify"];

describe("verify: chain checks (protocol 3.5)", () => {
  let good: CapRequest;

  before(async () => {
    await keccakReady();
    const operator = operatorOmni("0x1111111111111111111111111111111111111111");
    good = capRequest(testDevice(), {
      operatorOmni: operator,
      actorOmni: actorOmni(operator, "agent-a"),
      service: "openrouter",
      op: "fetch",
      issuedAt: NOW,
    });
  });

  const codeOf = (facts: Partial<AccessFacts>, cap: Partial<CapRequest> = {}, now = NOW): string =>
    firstFailure(CHAIN_CHECKS, { cap: { ...good, ...cap }, facts: goodFacts(facts), now })?.code ?? "ok";

  it("agrees to good facts", () => {
    for (const op of OPS) expect(codeOf({}, { op }), op).to.equal("ok");
  });

  for (const { name, facts, code } of CHAIN_FAULTS) {
    it(`refuses ${name}: ${code}`, () => {
      expect(codeOf(facts)).to.equal(code);
    });
  }

  it("answers with the first of several, in the protocol's order", () => {
    for (const [i, first] of CHAIN_FAULTS.entries()) {
      for (const later of CHAIN_FAULTS.slice(i + 1)) {
        expect(codeOf({ ...later.facts, ...first.facts }), `${first.name} and ${later.name}`).to.equal(first.code);
      }
      const rest = CHAIN_FAULTS.slice(i).reduce((all, one) => ({ ...all, ...one.facts }), {});
      expect(codeOf(rest), `${first.name} and all behind it`).to.equal(first.code);
    }
  });

  it("asks every check: one fault each, no two checks for one code", () => {
    expect(CHAIN_CHECKS).to.have.length(CHAIN_FAULTS.length);
    expect(new Set(CHAIN_FAULTS.map((one) => one.code)).size).to.equal(CHAIN_FAULTS.length);
  });

  describe("binding", () => {
    it("a master device for its operator's agent stores, tears down and rotates without a grant", () => {
      for (const op of ["store", "teardown", "rotate"] as const) {
        expect(codeOf({ binding: "parent", grantOps: 0, grantValidUntil: 0 }, { op }), op).to.equal("ok");
      }
    });

    it("it never reads, whatever is granted", () => {
      for (const op of ["fetch", "classify"] as const) {
        expect(codeOf({ binding: "parent" }, { op }), op).to.equal("device_binding_mismatch");
        expect(codeOf({ binding: "parent", isOperatorSelf: true }, { op }), op).to.equal("device_binding_mismatch");
      }
    });

    it("a device of neither may nothing", () => {
      for (const op of OPS) expect(codeOf({ binding: "none" }, { op }), op).to.equal("device_binding_mismatch");
    });

    it("the operator's own device on its own data needs no grant", () => {
      for (const op of OPS) {
        expect(codeOf({ isOperatorSelf: true, grantOps: 0, grantValidUntil: 0 }, { op }), op).to.equal("ok");
        expect(codeOf({ isOperatorSelf: false, grantOps: 0, grantValidUntil: 0 }, { op }), op).to.equal(
          "service_not_in_scope",
        );
      }
    });
  });

  describe("grant", () => {
    it("each operation needs its own bit, rotate that of store", () => {
      const needs: Readonly<Record<Op, number>> = { store: 1, fetch: 2, teardown: 4, rotate: 1, classify: 8 };
      for (const op of OPS) {
        for (let ops = 0; ops < 16; ops += 1) {
          const expected = (ops & needs[op]) === 0 ? "service_not_in_scope" : "ok";
          expect(codeOf({ grantOps: ops }, { op }), `${op} with ${String(ops)}`).to.equal(expected);
        }
      }
    });

    const until = NOW + 100;
    const rows: readonly (readonly [string, number, number, string])[] = [
      ["a second before its end", until - 1, until - 1, "ok"],
      ["at its end by the server's clock", until, until - 1, "service_not_in_scope"],
      ["at its end by the block's time", until - 1, until, "service_not_in_scope"],
      ["at its end by both", until, until, "service_not_in_scope"],
      ["a clock that is far behind the block", 0, until, "service_not_in_scope"],
      ["a block that is far behind the clock", until, 0, "service_not_in_scope"],
    ];
    for (const [name, now, blockTime, expected] of rows) {
      it(`${name}: ${expected}`, () => {
        expect(codeOf({ grantValidUntil: until, blockTime }, {}, now)).to.equal(expected);
      });
    }

    it("zero is no grant, not one without an end", () => {
      expect(codeOf({ grantValidUntil: 0 })).to.equal("service_not_in_scope");
    });
  });

  it("the epoch is the current one: not the one before, not the one after", () => {
    expect(codeOf({ k3Epoch: 7 }, { k3Epoch: 7 })).to.equal("ok");
    expect(codeOf({ k3Epoch: 7 }, { k3Epoch: 6 })).to.equal("k3_epoch_mismatch");
    expect(codeOf({ k3Epoch: 7 }, { k3Epoch: 8 })).to.equal("k3_epoch_mismatch");
  });

  describe("askChain", () => {
    it("asks once, for exactly what the cap names, and hands the facts on", async () => {
      const facts = goodFacts();
      const chain = chainOf(facts);
      const { deviceKeyHash, operatorOmni: operator, actorOmni: actor, dataClass, service } = good;
      expect(await askChain(chain, good, NOW)).to.deep.equal({ ok: true, value: facts });
      expect(chain.asked).to.deep.equal([
        { deviceKeyHash, operatorOmni: operator, actorOmni: actor, dataClass, service },
      ]);
    });

    it("a chain that cannot be asked is its own refusal, never a success", async () => {
      const down = failure("chain_unavailable", "down");
      expect(await askChain(chainOf(down), good, NOW)).to.deep.equal({ ok: false, failure: down });
    });
  });
});

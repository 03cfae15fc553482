import { expect } from "chai";

import type { CapRequest } from "../../../offchain/wire/cap-request";
import type { FailureReason } from "../../../offchain/wire/result";
import type { ProblemCode } from "../../../offchain/wire/problem";
import type { World } from "../../drills/world";
import { type Replica, workerReplica } from "../../helpers/replicas";
import { expectProblem } from "../../helpers/route-tables";
import { grantAll, sharedWorld } from "../../helpers/shared-world";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { countersign, nowSeconds, signCap } from "../../helpers/words";
import { type GoodRedeem, askFor, proofFor, reproved, sendRedeem, storeOf, withCap } from "./redeem-world";

const SERVICES = ["clock-nothing", "clock-store"] as const;

/** What a teardown of nothing is answered with once every check of cap, proof and chain has passed. */
const PASSED: ProblemCode = "object_not_found";

type Line = readonly [number, number, ProblemCode];

/** `iat` and `exp` of a cap relative to the worker's clock. @see protocol 3.1, 3.4, 3.11 */
const CAPS: readonly Line[] = [
  [0, 300, PASSED],
  [0, 301, "cap_lifetime_exceeded"],
  [-299, 1, PASSED],
  [-300, 0, "cap_expired"],
  [-301, -1, "cap_expired"],
  [-300, 1, "cap_lifetime_exceeded"],
  [10, 20, PASSED],
  [11, 20, "cap_pop_invalid"],
];

/** `issued_at` of a proof relative to the worker's clock. */
const PROOFS: readonly (readonly [number, ProblemCode, FailureReason?])[] = [
  [5, PASSED],
  [6, "proof_invalid", "stale"],
  [-60, PASSED],
  [-61, "proof_invalid", "stale"],
];

describe("credentials worker: times to the second, by a clock that can be set", function () {
  this.timeout(120_000);
  let world: World;
  let replica: Replica;
  const folders = temporaryFolders();
  let clock = nowSeconds();

  before(async () => {
    world = await sharedWorld();
    await grantAll(world, world.party.wallet, world.party.actor, SERVICES);
    await world.nextBlock();
    replica = await workerReplica(world, { dir: folders.make(), parts: { now: () => clock } });
  });
  beforeEach(() => {
    clock = nowSeconds();
  });
  after(async () => {
    await replica.stop();
    folders.removeAll();
  });

  /** A teardown of nothing, at the replica, with a proof of its clock's now. */
  const atReplica = async (): Promise<GoodRedeem> => {
    const good = { ...(await askFor(world, "teardown", SERVICES[0])), at: replica.url };
    return { ...good, proof: proofFor(good, { issuedAt: clock }) };
  };

  for (const [iat, exp, code] of CAPS) {
    it(`a cap from ${String(iat)} s to ${String(exp)} s: ${code}`, async () => {
      const good = await atReplica();
      const request: CapRequest = { ...good.request, issuedAt: clock + iat, expiresAt: clock + exp };
      const sig = signCap(world.separator, good.device, request);
      const one = withCap(good, countersign(await world.stolenBroker(), request, sig));
      expectProblem(await sendRedeem(one, { proof: proofFor(one, { issuedAt: clock }) }), code);
    });
  }

  for (const [issued, code, reason] of PROOFS) {
    it(`a proof made at ${String(issued)} s: ${reason ?? code}`, async () => {
      const good = await atReplica();
      const proof = proofFor(good, { issuedAt: clock + issued });
      expectProblem(await sendRedeem(good, { proof }), code, reason);
    });
  }

  it("a store cap is good once, also at second 299, and not at all at second 300", async () => {
    const good = { ...(await storeOf(world, SERVICES[1])), at: replica.url };
    const written = await sendRedeem(reproved(good));
    expect(written.status, written.body.toString()).to.equal(200);
    for (const [second, code] of [
      [299, "cap_already_used"],
      [300, "cap_expired"],
    ] as const) {
      clock = good.request.issuedAt + second;
      expectProblem(await sendRedeem(good, { proof: proofFor(good, { issuedAt: clock }) }), code);
    }
  });
});

import { expect } from "chai";

import type { CapRequest } from "../../../offchain/wire/cap-request";
import { MINT_ROUTES } from "../../../offchain/wire/mint";
import type { ProblemCode } from "../../../offchain/wire/problem";
import type { World } from "../../drills/world";
import { type Replica, brokerReplica } from "../../helpers/replicas";
import { expectProblem } from "../../helpers/route-tables";
import { grantAll, sharedWorld } from "../../helpers/shared-world";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { nowSeconds } from "../../helpers/words";
import { SERVICE, goodMint, sendMint } from "./mint-rows";

/** `issued_at` and `expires_at` relative to the broker's clock, and what comes of it. @see protocol 3.1, 3.3 */
const TIMES: readonly (readonly [number, number, ProblemCode | undefined])[] = [
  [0, 300, undefined],
  [0, 301, "cap_lifetime_exceeded"],
  [5, 305, undefined],
  [6, 306, "cap_pop_invalid"],
  [5, 6, undefined],
  [-60, 240, undefined],
  [-60, 241, "cap_lifetime_exceeded"],
  [-61, 239, "cap_pop_invalid"],
  [-60, 1, undefined],
  [-60, 0, "cap_pop_invalid"],
  [-60, -1, "cap_pop_invalid"],
  [-1, 0, "cap_pop_invalid"],
  [0, 1, undefined],
  [0, 0, "request_malformed"],
  [1, 0, "request_malformed"],
];

describe("broker: times to the second, by a clock that stands still", function () {
  this.timeout(120_000);
  let world: World;
  let replica: Replica;
  const folders = temporaryFolders();
  const now = nowSeconds();

  before(async () => {
    world = await sharedWorld();
    await grantAll(world, world.party.wallet, world.party.actor, [SERVICE]);
    await world.nextBlock();
    replica = await brokerReplica(world, { dir: folders.make(), parts: { now: () => now } });
  });
  after(async () => {
    await replica.stop();
    folders.removeAll();
  });

  for (const [issued, expires, code] of TIMES) {
    it(`issued ${signed(issued)} s, expires ${signed(expires)} s: ${code ?? "granted"}`, async () => {
      for (const route of MINT_ROUTES) {
        const wish: Partial<CapRequest> = { issuedAt: now + issued, expiresAt: now + expires };
        const answer = await sendMint({ ...goodMint(world, route, wish), at: replica.url });
        if (code === undefined) expect(answer.status, answer.body.toString()).to.equal(200);
        else expectProblem(answer, code);
      }
    });
  }
});

function signed(seconds: number): string {
  return seconds < 0 ? String(seconds) : `+${seconds}`;
}

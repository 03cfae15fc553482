import { expect } from "chai";

import { generateSealKeyPair } from "../../../offchain/wire/hpke";
import { redeemPath } from "../../../offchain/wire/redeem";
import type { World } from "../../drills/world";
import { authorities } from "../../helpers/authorities";
import type { StolenBroker } from "../../helpers/jws";
import { type Row, refuseAll } from "../../helpers/route-tables";
import { grantAll, sharedWorld } from "../../helpers/shared-world";
import {
  EMPTY_BODY_ROWS,
  HEADER_ROWS,
  PROOF_FORM_ROWS,
  capRows,
  chainRows,
  httpRows,
  jwsRows,
  proofValueRows,
  secretsOf,
  storeBodyRows,
} from "./redeem-rows";
import { type GoodRedeem, REDEEM_OPS, goodRedeem, proofFor, sendRedeem, serviceOf, traces } from "./redeem-world";

const STORE_LIMIT = 1_572_864;
const CONTROL_LIMIT = 65_536;

describe("credentials worker: every route against bad input", function () {
  this.timeout(180_000);
  let world: World;
  let broker: StolenBroker;

  before(async () => {
    world = await sharedWorld();
    await grantAll(world, world.party.wallet, world.party.actor, REDEEM_OPS.map(serviceOf));
    await authorities(world);
    await world.nextBlock();
    broker = await world.stolenBroker();
  });

  for (const op of REDEEM_OPS) {
    describe(`POST ${redeemPath(op, "credentials")}`, () => {
      /**
       * Every row is one change of the same request. Refused, it leaves nothing in objects, audit log and replay
       * memories; and the request itself, with the very same cap and proof, is then answered.
       */
      const group = (title: string, rows: () => readonly Row<GoodRedeem>[] | Promise<readonly Row<GoodRedeem>[]>) => {
        it(title, async () => {
          const all = await rows();
          const good = await goodRedeem(world, op);
          const before = traces(world);
          await refuseAll(all, good, secretsOf);
          expect(traces(world), "traces").to.equal(before);
          const answer = await sendRedeem(good);
          expect(answer.status, answer.body.toString()).to.equal(200);
          expect(traces(world), "the honest request's traces").not.to.equal(before);
        });
      };
      group("refuses media types, targets, methods, framing and sizes", () =>
        httpRows(
          redeemPath(op, "credentials"),
          world.stack.urls.worker.credentials,
          op === "store" ? STORE_LIMIT : CONTROL_LIMIT,
        ),
      );
      group("refuses zero, several and other headers", () => HEADER_ROWS);
      group("refuses proofs of another form", () => PROOF_FORM_ROWS);
      group("refuses proofs for anything but this request", () => proofValueRows(op));
      group("refuses what is no JWS of the broker's, whoever signed it", () => jwsRows(broker));
      group("refuses caps for something else, and every client_sig but the device's", () => capRows(op, broker));
      group("refuses what the chain does not allow", async () => chainRows(op, await authorities(world), broker));
      group("refuses bodies", () => (op === "store" ? storeBodyRows() : EMPTY_BODY_ROWS));

      it("answers the same request in other clothes", async () => {
        const clothes: ((body: string) => string)[] = [
          (body) => body.padEnd(op === "store" ? STORE_LIMIT : CONTROL_LIMIT),
          (body) => `{"extra":[1,{"a":null}]${body === "{}" ? "" : ","}${body.slice(1)}`,
        ];
        for (const dress of clothes) {
          const one = await goodRedeem(world, op);
          const same = { ...one, body: dress(one.body) };
          const answer = await sendRedeem(same, { proof: proofFor(same) });
          expect(answer.status, answer.body.toString()).to.equal(200);
        }
        const { publicKey: sealTo } = await generateSealKeyPair();
        const chunked = await goodRedeem(world, op);
        const answer = await sendRedeem(chunked, { framing: "chunked", proof: proofFor(chunked, { sealTo }) });
        expect(answer.status, answer.body.toString()).to.equal(200);
        if (op === "store") return;
        const none = { ...(await goodRedeem(world, op)), body: "" };
        const silent = await sendRedeem(none, { proof: proofFor(none), headers: [] });
        expect(silent.status, silent.body.toString()).to.equal(200);
      });
    });
  }
});

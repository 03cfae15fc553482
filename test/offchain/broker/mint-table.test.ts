import { expect } from "chai";

import { MINT_ROUTES } from "../../../offchain/wire/mint";
import type { World } from "../../drills/world";
import { authorities } from "../../helpers/authorities";
import { NEUTRAL_JSON } from "../../helpers/malformed";
import { encodeRequest, exchangeBytes } from "../../helpers/raw-http";
import { type Row, expectProblem, refuseAll } from "../../helpers/route-tables";
import { grantAll, sharedWorld } from "../../helpers/shared-world";
import {
  type GoodMint,
  JSON_ROWS,
  SERVICE,
  SIGNATURE_ROWS,
  TIME_ROWS,
  chainRows,
  goodMint,
  httpRows,
  memberRows,
  sendMint,
} from "./mint-rows";

describe("broker: every cap route against bad input", function () {
  this.timeout(180_000);
  let world: World;

  before(async () => {
    world = await sharedWorld();
    await grantAll(world, world.party.wallet, world.party.actor, [SERVICE]);
    await authorities(world);
    await world.nextBlock();
  });

  for (const route of MINT_ROUTES) {
    describe(`POST ${route.path}`, () => {
      /** Every row is one change of the same request, which the broker still grants when all were refused. */
      const group = (title: string, rows: () => readonly Row<GoodMint>[] | Promise<readonly Row<GoodMint>[]>): void => {
        it(title, async () => {
          const all = await rows();
          const good = goodMint(world, route);
          await refuseAll(all, good, ({ cap }) => [SERVICE, cap.nonce.slice(2), cap.actorOmni.slice(2), "extra"]);
          expectGranted(await sendMint({ ...good, text: goodMint(world, route, { nonce: good.cap.nonce }).text }));
        });
      };
      group("refuses what is no JSON text of the protocol", () => JSON_ROWS);
      group("refuses members that are missing or have the wrong form", () => memberRows(route));
      group("refuses media types, targets, methods, framing and sizes", () => httpRows(route, world.stack.urls.broker));
      group("refuses times", () => TIME_ROWS);
      group("refuses signatures", () => SIGNATURE_ROWS);
      group("refuses what the chain does not allow", async () => chainRows(route, await authorities(world)));

      it("grants a nonce once: twice in a row", async () => {
        const good = goodMint(world, route);
        expectGranted(await sendMint(good));
        expectProblem(await sendMint(good), "cap_already_used");
        expectGranted(await sendMint(goodMint(world, route)));
      });

      it("grants a nonce once: twenty at the same time", async () => {
        const good = goodMint(world, route);
        const answers = await Promise.all(Array.from({ length: 20 }, () => sendMint(good)));
        const [refused, granted] = [answers.filter((one) => one.status !== 200), answers.filter(isGranted)];
        expect(granted).to.have.length(1);
        for (const answer of refused) expectProblem(answer, "cap_already_used");
      });

      it("grants the same message in other clothes", async () => {
        for (const { name, edit } of NEUTRAL_JSON) {
          const good = goodMint(world, route);
          const answer = await sendMint(good, { body: edit(good.text) });
          expect(answer.status, `${name}: ${answer.body.toString()}`).to.equal(200);
        }
        for (const member of [`"op":"nothing"`, `"content_hash":1`, `"data_class":[]`]) {
          // unknown members where the route fixes them
          const isKnown = member.includes("content") ? route.op === "store" : route.op === "classify";
          if (isKnown && !member.startsWith(`"op"`)) continue;
          const good = goodMint(world, route);
          expectGranted(await sendMint(good, { body: `{${member},${good.text.slice(1)}` }));
        }
      });

      it("reads 64 KiB, chunks, and a media type in any case", async () => {
        const whole = goodMint(world, route);
        expectGranted(await sendMint(whole, { body: whole.text.padEnd(65_536) }));
        expectGranted(await sendMint(goodMint(world, route), { framing: "chunked" }));
        expectGranted(await sendMint(goodMint(world, route), { headers: [["content-TYPE", "Application/JSON"]] }));
        expectGranted(await sendMint(goodMint(world, route), { version: "HTTP/1.0", hosts: [] }));
        const expecting: [string, string][] = [
          ["Content-Type", "application/json"],
          ["Expect", "100-continue"],
        ];
        expectGranted(await sendMint(goodMint(world, route), { headers: expecting }));
      });
    });
  }

  it("answers a whole request before it hangs up on what follows", async () => {
    const [route] = MINT_ROUTES;
    if (route === undefined) throw new Error("no routes");
    const { text } = goodMint(world, route);
    const request = encodeRequest({
      method: "POST",
      target: route.path,
      headers: [["Content-Type", "application/json"]],
      body: text,
    });
    expectGranted(
      await exchangeBytes(world.stack.urls.broker, Buffer.concat([request, Buffer.from("\x16\x03\x01 no HTTP")])),
    );
  });

  it("answers what is no HTTP at all", async () => {
    for (const bytes of [
      "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
      "\r\n\r\nhello\r\n\r\n",
      "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ]) {
      expectProblem(await exchangeBytes(world.stack.urls.broker, Buffer.from(bytes, "latin1")), "request_malformed");
    }
  });

  it("answers HEAD without a body, and keeps its keys to GET without a query", async () => {
    const send = (method: string, target: string) =>
      sendMint(
        { ...goodMint(world, MINT_ROUTES[0] as never) },
        { method, target, headers: [], framing: "none", body: "" },
      );
    const head = await send("HEAD", "/v1/cap/cred-fetch");
    expect([head.status, head.headers["content-type"]]).to.deep.equal([404, "application/problem+json"]);
    const jwks = await send("GET", "/.well-known/jwks.json");
    expect([jwks.status, jwks.headers["cache-control"]]).to.deep.equal([200, "max-age=60"]);
    expect(jwks.body.toString()).not.to.include('"d"');
    for (const target of [
      "/.well-known/jwks.json?",
      "/.well-known/jwks.json?a",
      "/.well-known/jwks%2Ejson",
      "/.well-known//jwks.json",
    ]) {
      expectProblem(await send("GET", target), "route_not_found");
    }
    expectProblem(await send("POST", "/.well-known/jwks.json"), "route_not_found");
  });
});

function isGranted(answer: {
  readonly status: number;
  readonly json: Readonly<Record<string, unknown>> | undefined;
}): boolean {
  return answer.status === 200 && typeof answer.json?.["cap"] === "string";
}

function expectGranted(answer: Parameters<typeof isGranted>[0] & { readonly body: Buffer }): void {
  expect(isGranted(answer), answer.body.toString()).to.equal(true);
}

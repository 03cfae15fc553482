import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";

import { expect } from "chai";

import { capRequestDigest } from "../../../offchain/wire/cap-request";
import { hpkeSeal } from "../../../offchain/wire/hpke";
import {
  MAX_PLAINTEXT_BYTES,
  STORE_INFO,
  encodeSealedPayload,
  encodeSealedStoreBody,
  encodeStoreBody,
} from "../../../offchain/wire/redeem";
import type { World } from "../../drills/world";
import type { RawAnswer } from "../../helpers/raw-http";
import { expectProblem } from "../../helpers/route-tables";
import { grantAll, sharedWorld } from "../../helpers/shared-world";
import { REDEEM_OPS, askFor, goodRedeem, reproved, sendRedeem, storeOf, storedVersion, traces } from "./redeem-world";

const SERVICES = Array.from({ length: 16 }, (_, i) => `writes-${String(i)}`);

describe("credentials worker: versions, replays, and many at once", function () {
  this.timeout(180_000);
  let world: World;
  const free = [...SERVICES];

  before(async () => {
    world = await sharedWorld();
    await grantAll(world, world.party.wallet, world.party.actor, SERVICES);
    await world.nextBlock();
  });

  /** A service under which nothing was ever stored. */
  const unused = (): string => {
    const service = free.pop();
    if (service === undefined) throw new Error("grant more services");
    return service;
  };

  const store = (service: string, ifVersion?: number, secret?: Buffer) => storeOf(world, service, ifVersion, secret);
  const ask = (op: "fetch" | "teardown" | "rotate", service: string) => askFor(world, op, service);

  function expectWritten(answer: RawAnswer, version: number): void {
    expect([answer.status, answer.json?.["version"]], answer.body.toString()).to.deep.equal([200, version]);
  }

  it("version_conflict burns neither proof nor cap: the same cap then works with the right version", async () => {
    const service = unused();
    for (const [current, wrong] of [
      [0, [1, 2, Number.MAX_SAFE_INTEGER]],
      [1, [0, 2]],
    ] as const) {
      const right = await store(service, current);
      const before = traces(world);
      for (const ifVersion of wrong) {
        const body = encodeStoreBody(right.secret, right.salt, ifVersion);
        expectProblem(await sendRedeem(reproved({ ...right, body })), "version_conflict");
      }
      expect(traces(world), "traces").to.equal(before);
      expectWritten(await sendRedeem(right), current + 1);
    }
  });

  it("object_not_found where nothing was ever stored, and the write caps still work afterwards", async () => {
    const service = unused();
    const [fetch, rotate, teardown] = [
      await ask("fetch", service),
      await ask("rotate", service),
      await ask("teardown", service),
    ];
    for (const good of [rotate, teardown]) {
      const before = traces(world);
      expectProblem(await sendRedeem(good), "object_not_found");
      expect(traces(world), "traces").to.equal(before);
    }
    expectProblem(await sendRedeem(fetch), "object_not_found");
    expectWritten(await sendRedeem(await store(service)), 1);
    expectWritten(await sendRedeem(rotate), 2);
    expectWritten(await sendRedeem(teardown), 3);
  });

  it("a tombstone reads as nothing, and versions go on behind it", async () => {
    const service = unused();
    expectWritten(await sendRedeem(await store(service)), 1);
    expectWritten(await sendRedeem(await ask("teardown", service)), 2);
    for (const op of ["fetch", "teardown", "rotate"] as const) {
      expectProblem(await sendRedeem(await ask(op, service)), "object_not_found");
    }
    for (const ifVersion of [0, 1])
      expectProblem(await sendRedeem(await store(service, ifVersion)), "version_conflict");
    expectWritten(await sendRedeem(await store(service, 2)), 3);
    expect((await sendRedeem(await ask("fetch", service))).status).to.equal(200);
  });

  for (const op of REDEEM_OPS) {
    it(`${op}: the same proof twice is replayed; a fresh proof is what the cap still allows`, async () => {
      const service = unused();
      const good = await goodRedeem(world, op, service);
      expect((await sendRedeem(good)).status).to.equal(200);
      if (op === "teardown") {
        // there is nothing left to tear down, which is asked first; what is stored anew must stay
        expectProblem(await sendRedeem(good), "object_not_found");
        expectWritten(await sendRedeem(await store(service)), 3);
      }
      expectProblem(await sendRedeem(good), "proof_invalid", "replayed");
      const again = await sendRedeem(reproved(good));
      if (op === "fetch") expect(again.status, again.body.toString()).to.equal(200);
      else expectProblem(again, "cap_already_used");
    });

    it(`${op}: one cap and proof twenty times at once succeed once`, async () => {
      const good = await goodRedeem(world, op, unused());
      const answers = await Promise.all(Array.from({ length: 20 }, () => sendRedeem(good)));
      expect(answers.filter((one) => one.status === 200)).to.have.length(1);
      for (const answer of answers.filter((one) => one.status !== 200)) {
        if (answer.code === "object_not_found" && op === "teardown") expectProblem(answer, "object_not_found");
        else expectProblem(answer, "proof_invalid", "replayed");
      }
    });
  }

  it("one store cap with twenty proofs at once writes once", async () => {
    const service = unused();
    const good = await store(service);
    const answers = await Promise.all(Array.from({ length: 20 }, () => sendRedeem(reproved(good))));
    expect(answers.filter((one) => one.status === 200)).to.have.length(1);
    for (const answer of answers.filter((one) => one.status !== 200)) expectProblem(answer, "cap_already_used");
    expect(storedVersion(world, service)).to.equal(1);
  });

  it("twenty stores at once: every 200 is a version of its own, every other a version_conflict", async () => {
    const service = unused();
    const goods = await Promise.all(Array.from({ length: 20 }, () => store(service)));
    const answers = await Promise.all(goods.map((good) => sendRedeem(good)));
    const written = answers.filter((one) => one.status === 200).map((one) => Number(one.json?.["version"]));
    expect(written.sort((a, b) => a - b)).to.deep.equal(written.map((_, i) => i + 1));
    expect(written.length).to.be.greaterThan(0);
    for (const answer of answers.filter((one) => one.status !== 200)) expectProblem(answer, "version_conflict");
    expect(storedVersion(world, service)).to.equal(written.length);
    expect((await sendRedeem(await ask("fetch", service))).status).to.equal(200);
  });

  it("twenty stores at once that all name the current version: one wins", async () => {
    const service = unused();
    expectWritten(await sendRedeem(await store(service)), 1);
    const goods = await Promise.all(Array.from({ length: 20 }, () => store(service, 1)));
    const answers = await Promise.all(goods.map((good) => sendRedeem(good)));
    expect(answers.filter((one) => one.status === 200)).to.have.length(1);
    for (const answer of answers.filter((one) => one.status !== 200)) expectProblem(answer, "version_conflict");
    expect(storedVersion(world, service)).to.equal(2);
  });

  it("takes a plaintext of 1 MiB, one of no byte, and one that is sealed to it", async () => {
    const service = unused();
    expectWritten(await sendRedeem(await store(service, 0, randomBytes(MAX_PLAINTEXT_BYTES))), 1);
    expectWritten(await sendRedeem(await store(service, 1, Buffer.alloc(0))), 2);
    const clear = await store(service);
    const info = Buffer.concat([Buffer.from(STORE_INFO), capRequestDigest(world.separator, clear.request)]);
    const payload = Buffer.from(encodeSealedPayload(clear.secret, clear.salt));
    const body = encodeSealedStoreBody(await hpkeSeal(world.stack.workerSealKey(), info, payload), 2);
    expectWritten(await sendRedeem(reproved({ ...clear, body })), 3);
    const { secret } = await world.fetch(world.agentDevice, { service });
    expect(secret).to.equal(clear.secret.toString());
  });

  it("object_corrupt for bytes that are not what was stored, and the honest bytes are read again", async () => {
    const service = unused();
    expectWritten(await sendRedeem(await store(service)), 1);
    const file = world.objectFile(service);
    const honest = readFileSync(file);
    const flipped = Buffer.from(honest);
    // another letter of the tag: still an object by its form
    flipped.write(flipped.at(-20) === 0x41 ? "B" : "A", flipped.length - 20);
    const spoiled: readonly (readonly [Buffer, string | undefined])[] = [
      [flipped, "rolled_back"],
      [Buffer.alloc(0), undefined],
      [Buffer.from("no object"), undefined],
      [honest.subarray(20), undefined],
    ];
    for (const [bytes, reason] of spoiled) {
      writeFileSync(file, bytes);
      for (const good of [
        await ask("fetch", service),
        await ask("rotate", service),
        await ask("teardown", service),
        await store(service),
      ]) {
        expectProblem(await sendRedeem(good), "object_corrupt", reason);
        expect(readFileSync(file).equals(bytes), "nothing is written over it").to.equal(true);
      }
    }
    writeFileSync(file, honest);
    expect((await sendRedeem(await ask("fetch", service))).status).to.equal(200);
  });
});

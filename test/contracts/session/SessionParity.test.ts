import { expect } from "chai";
import { randomBytes, randomInt } from "node:crypto";
import { ethers } from "hardhat";

import { type Hex, fromHex, toHex } from "../../../offchain/wire/bytes";
import { type Execution, encodeExecution, readExecution } from "../../../offchain/wire/execution";
import type { ExecutionReader } from "../../../typechain-types";
import { AccountWorld, testPasskey } from "../../helpers/account";
import {
  call,
  grant,
  rule,
  sessionOf,
  sessionOperation,
  signedByAgent,
  testAgent,
  wordOn,
} from "../../helpers/session";

/** A random execution: 1 to 4 calls, data of 0 to 70 bytes. */
function anyExecution(): Execution {
  const isBatch = randomInt(2) === 1;
  const calls = Array.from({ length: isBatch ? randomInt(1, 5) : 1 }, () => ({
    to: toHex(randomBytes(20)),
    value: BigInt(toHex(randomBytes(32))),
    data: toHex(randomBytes(randomInt(70))),
  }));
  return { isBatch, window: randomInt(2 ** 32), calls };
}

/** The bytes with a bit, a byte or a word changed, cut, lengthened, or with two words exchanged. */
function mutated(callData: Hex): Hex {
  const bytes = Buffer.from(fromHex(callData));
  const at = randomInt(bytes.length);
  const aligned = 4 + 32 * randomInt(Math.max(1, Math.floor((bytes.length - 4) / 32)));
  switch (randomInt(6)) {
    case 0:
      bytes[at] = (bytes[at] ?? 0) ^ (1 << randomInt(8));
      break;
    case 1:
      bytes[at] = randomInt(256);
      break;
    case 2:
      return toHex(bytes.subarray(0, at));
    case 3:
      return toHex(Buffer.concat([bytes, Buffer.alloc(randomInt(1, 65))]));
    case 4:
      bytes.fill(randomInt(2) === 0 ? 0 : 0xff, aligned, aligned + 32);
      break;
    default:
      if (aligned + 32 <= bytes.length) bytes.writeUInt16BE(32 * randomInt(20), aligned + 30);
  }
  return toHex(bytes);
}

describe("SessionKeyValidator: what is counted is what runs", function () {
  this.timeout(300_000);

  async function readBy(reader: ExecutionReader, callData: Hex): Promise<Omit<Execution, "isBatch"> | undefined> {
    try {
      const [window, calls] = await reader.read(callData);
      const read = calls.map(({ to, value, data }) => ({ to: to.toLowerCase() as Hex, value, data: data as Hex }));
      return { window: Number(window), calls: read };
    } catch {
      return undefined;
    }
  }

  it("Solidity reads exactly what TypeScript reads, and refuses exactly what it refuses", async () => {
    const reader = await ethers.deployContract("ExecutionReader");
    let accepted = 0;
    for (let n = 0; n < 1_200; n += 1) {
      const good = encodeExecution(anyExecution());
      const callData = n % 6 === 0 ? good : mutated(good);
      const expected = readExecution(callData);
      const rest = expected && { window: expected.window, calls: expected.calls };
      expect(await readBy(reader, callData), callData).to.deep.equal(rest);
      if (expected !== undefined) accepted += 1;
    }
    expect(accepted).to.be.within(200, 1_100);
  });

  it("both refuse lengths and offsets that wrap around", async () => {
    const reader = await ethers.deployContract("ExecutionReader");
    const [single, batch] = [false, true].map((isBatch) =>
      encodeExecution({ isBatch, window: 3, calls: [{ to: `0x${"11".repeat(20)}`, value: 5n, data: "0xa9059cbb" }] }),
    );
    const huge = [
      2n ** 256n - 1n,
      2n ** 256n - 31n,
      2n ** 256n - 32n,
      2n ** 255n,
      2n ** 64n,
      2n ** 32n,
      2n ** 32n - 1n,
    ];
    for (const whole of [single, batch]) {
      if (whole === undefined) throw new Error("no calldata");
      expect(await readBy(reader, whole)).to.not.equal(undefined);
      for (let at = 4; at + 32 <= (whole.length - 2) / 2; at += 32) {
        for (const value of huge) {
          const bytes = Buffer.from(fromHex(whole));
          bytes.write(value.toString(16).padStart(64, "0"), at, "hex");
          const read = readExecution(toHex(bytes));
          const expected = read && { window: read.window, calls: read.calls };
          expect(await readBy(reader, toHex(bytes)), `${at} ${value}`).to.deep.equal(expected);
        }
      }
    }
  });

  it("random operations: the calls recorded are the calls counted, and nothing else moves", async () => {
    const world = await AccountWorld.over("0.8");
    const account = await world.newAccount(testPasskey());
    const agent = testAgent();
    const recorder = await ethers.deployContract("CallRecorder");
    const selectors = ["0x11223344", "0x55667788", "0x00000000"] as const;
    await grant(
      world,
      account,
      await sessionOf(agent, {
        callsPerWindow: 60,

        rules: selectors.map((selector) => rule(recorder.target, selector, 100n, 900n)),
      }),
    );
    const spentOf = async (selector: string): Promise<bigint> =>
      (await world.sessions.ruleOf(account.target, agent.key, recorder.target, selector)).valueSpent;
    const startedWith = await ethers.provider.getBalance(account.target);
    const expected: [bigint, Hex][] = [];
    const refused = new Set<string>();
    // recording a call writes five slots and more
    const gas = { verificationGasLimit: 150_000n, callGasLimit: 700_000n };
    for (let n = 0; n < 60; n += 1) {
      const calls = Array.from({ length: randomInt(1, 5) }, () => {
        const selector = selectors[randomInt(3)] ?? "0x00000000";
        const data = selector === "0x00000000" ? "0x" : `${selector}${randomBytes(randomInt(40)).toString("hex")}`;
        const stranger = randomInt(12) === 0;
        return call(
          stranger ? toHex(randomBytes(20)) : recorder.target,
          data,
          BigInt(randomInt(randomInt(10) === 0 ? 130 : 60)),
        );
      });
      const operation = signedByAgent(world, await sessionOperation(world, account, calls, { gas }), agent);
      const word = await wordOn(world, operation);
      if (word !== "valid") {
        refused.add(word);
        continue;
      }
      await world.handle(operation);
      for (const { value, data } of calls) expected.push([value, data]);
    }
    const recorded = (await recorder.recordedCalls()).map(({ value, data }) => [value, data]);
    expect(recorded).to.deep.equal(expected);
    for (const selector of selectors) {
      const of = expected.filter(([, data]) => (selector === "0x00000000" ? data === "0x" : data.startsWith(selector)));
      const sum = of.reduce((total, [value]) => total + value, 0n);
      expect(await spentOf(selector)).to.equal(sum);
      expect(sum <= 900n).to.equal(true);
    }
    const { state } = await world.sessions.sessionOf(account.target, agent.key);
    expect(state.calls).to.equal(BigInt(expected.length));
    expect(expected.length).to.be.within(1, 60);
    expect([...refused]).to.include.members(["RuleUnknown", "LimitExceeded"]);
    const sum = expected.reduce((total, [value]) => total + value, 0n);
    expect(await ethers.provider.getBalance(account.target)).to.equal(startedWith - sum);
  });
});

import { time } from "@nomicfoundation/hardhat-toolbox/network-helpers";

import { ENTRY_POINT } from "../../offchain/chain/entry-point";
import type { ExecutionCall } from "../../offchain/wire/execution";
import { AccountWorld, testPasskey } from "./account";
import { type GasRow, executionGas } from "./gas-registry";
import {
  type TestAgent,
  asAccount,
  call,
  rule,
  sessionOf,
  sessionOperation,
  signedByAgent,
  testAgent,
} from "./session";

/**
 * Gas of grants (execution gas) and of whole `handleOps` transactions of one session operation on EntryPoint v0.8, each
 * of whose calls writes one slot and carries a value that is counted.
 */
export async function sessionGasRows(): Promise<readonly GasRow[]> {
  const world = await AccountWorld.over("0.8");
  // a time that is the same in every run, so that the windows, calldata and signatures are; its window has just begun
  await time.increaseTo(3_600_000_060);
  const account = await world.newAccount(testPasskey("gas session"));
  const sessions = world.sessions.connect(await asAccount(account));
  const write = world.target.interface.getFunction("write").selector;
  const granted = async (agent: TestAgent, others: number): Promise<number> => {
    const more = Array.from({ length: others }, (_, i) => rule(`0x${(i + 1).toString(16).padStart(40, "a")}`, write));
    const rules = [rule(world.target.target, write, 100n, 10_000n), ...more];
    return executionGas(await sessions.grant(await sessionOf(agent, { rules })));
  };
  const writes = (...words: readonly bigint[]): readonly ExecutionCall[] =>
    words.map((word) => call(world.target.target, world.target.interface.encodeFunctionData("write", [word]), 7n));
  const free = (word: bigint): readonly ExecutionCall[] => writes(word).map((made) => ({ ...made, value: 0n }));
  const gas = async (agent: TestAgent, calls: readonly ExecutionCall[]): Promise<number> => {
    const operation = await sessionOperation(world, account, calls);
    const receipt = await world.handle(signedByAgent(world, operation, agent));
    const event = receipt.logs
      .flatMap((log) => ENTRY_POINT.parseLog(log) ?? [])
      .find(({ name }) => name === "UserOperationEvent");
    if (event?.args["success"] !== true) throw new Error("the measured operation failed");
    return Number(receipt.gasUsed);
  };
  const [one, two, fifty] = [testAgent(1), testAgent(2), testAgent(3)];
  const first = await granted(one, 0);
  const later = await granted(two, 0);
  const again = await granted(two, 0);
  await granted(fifty, 49);
  const begin = await gas(one, writes(1n));
  const plain = await gas(one, writes(2n));
  const batch = await gas(one, writes(3n, 4n));
  const withoutValue = await gas(one, free(5n));
  await gas(fifty, writes(6n));
  return [
    { name: "session.grant.1", gas: first },
    { name: "session.grant.1.later", gas: later },
    { name: "session.grant.1.again", gas: again },
    { name: "session.call.first", gas: begin },
    { name: "session.call", gas: plain },
    { name: "session.call.novalue", gas: withoutValue },
    { name: "session.call.batch2", gas: batch },
    { name: "session.call.rules50", gas: await gas(fifty, writes(7n)) },
  ];
}

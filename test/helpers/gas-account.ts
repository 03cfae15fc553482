import { ethers } from "hardhat";

import { ENTRY_POINT } from "../../offchain/chain/entry-point";
import type { AccountCall } from "../../offchain/client/account-calls";
import type { Hex } from "../../offchain/wire/bytes";
import { AccountWorld, type TestPasskey, testPasskey } from "./account";
import type { GasRow } from "./gas-registry";

/** Gas of whole `handleOps` transactions of one operation that writes one slot, on EntryPoint v0.8. */
export async function accountGasRows(): Promise<readonly GasRow[]> {
  const world = await AccountWorld.over("0.8");
  const [first, added] = [testPasskey("gas 1"), testPasskey("gas 2")];
  const fresh = testPasskey("gas 3");
  const account = (await world.newAccount(first)).target as string;
  const gas = (by: TestPasskey, sender: string, calls: readonly AccountCall[], initCode?: Hex): Promise<number> =>
    measured(world, by, sender, calls, initCode);
  await gas(first, account, [world.write(1n)]);
  const call = await gas(first, account, [world.write(2n)]);
  const batch = await gas(first, account, [world.write(3n), world.write(4n)]);
  const { interface: abi } = await ethers.getContractAt("MasterAccount", account);
  await gas(first, account, [world.call(abi.encodeFunctionData("addPasskey", [added.contract]), account)]);
  await gas(added, account, [world.write(5n)]);
  const later = await gas(added, account, [world.write(6n)]);
  const create = await gas(fresh, await world.fundedAddress(fresh), [world.write(7n)], world.initCode(fresh));
  return [
    { name: "account.call", gas: call },
    { name: "account.call.added", gas: later },
    { name: "account.call.batch2", gas: batch },
    { name: "account.create", gas: create },
  ];
}

/** The same call on EntryPoint v0.7, as Heima has it (with its precompile at 3,450 gas in the world `prague`). */
export async function heimaGasRows(): Promise<readonly GasRow[]> {
  const world = await AccountWorld.over("0.7");
  const passkey = testPasskey("gas 1");
  const account = (await world.newAccount(passkey)).target as string;
  await measured(world, passkey, account, [world.write(1n)]);
  return [{ name: "account.call.heima", gas: await measured(world, passkey, account, [world.write(2n)]) }];
}

async function measured(
  world: AccountWorld,
  passkey: TestPasskey,
  sender: string,
  calls: readonly AccountCall[],
  initCode?: Hex,
): Promise<number> {
  const operation = await world.operation(sender, calls, initCode === undefined ? {} : { initCode });
  const receipt = await world.handle(world.signed(operation, passkey));
  const event = receipt.logs
    .flatMap((log) => ENTRY_POINT.parseLog(log) ?? [])
    .find(({ name }) => name === "UserOperationEvent");
  if (event?.args["success"] !== true) throw new Error("the measured operation failed");
  return Number(receipt.gasUsed);
}

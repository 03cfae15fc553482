import { time } from "@nomicfoundation/hardhat-toolbox/network-helpers";

import { testPasskey } from "./account";
import type { GasRow } from "./gas-registry";
import { ETHER, accountAddress, paymasterWorld, setBudget, sponsored } from "./paymaster";

/** Gas of whole `handleOps` transactions of one sponsored operation that writes one slot, on EntryPoint v0.8. */
export async function paymasterGasRows(): Promise<readonly GasRow[]> {
  const at = await paymasterWorld("0.8");
  // a time that is the same in every run, so that signatures and calldata are; the end lies in the same window
  await time.increaseTo(4_000_000_000);
  const terms = { validUntil: 4_000_003_000 };
  await setBudget(at, ETHER);
  const gas = async (word: bigint, more: Parameters<typeof sponsored>[1] = {}): Promise<number> =>
    Number((await at.world.handle(await sponsored(at, { calls: [at.world.write(word)], terms, ...more }))).gasUsed);
  const first = await gas(1n);
  const call = await gas(2n);
  const fresh = testPasskey("gas sponsored");
  const sender = await accountAddress(at.world, fresh);
  await setBudget(at, ETHER, { account: sender });
  const create = await gas(3n, { passkey: fresh, sender, initCode: at.world.initCode(fresh) });
  return [
    { name: "paymaster.call.first", gas: first },
    { name: "paymaster.call", gas: call },
    { name: "paymaster.create", gas: create },
  ];
}

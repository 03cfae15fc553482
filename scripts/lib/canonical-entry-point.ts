import { type JsonRpcProvider, concat } from "ethers";

import { ENTRY_POINT_ARTIFACT } from "../../ignition/modules/EntryPoint";
import type { EntryPointVersion } from "../../offchain/chain/deployment";
import { CANONICAL_ENTRY_POINT } from "../../offchain/chain/entry-point";
import type { Hex } from "../../offchain/wire/bytes";

/** The deterministic deployer that nearly every chain has: calldata are a salt and the code to create by CREATE2. */
const DEPLOYER: Hex = "0x4e59b44847b379578588920ca78fbf26c0b4956c";
const DEPLOYER_CODE: Hex =
  "0x7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffe03601600081602082378035828234f58015156039578182fd5b8082525050506014600cf3";

/** The salts that the releases were deployed with. */
const SALT: Readonly<Record<EntryPointVersion, Hex>> = {
  "0.7": "0x90d8084deab30c2a37c45e8d47f49f2f7965183cb6990a98943ef94940681de3",
  "0.8": "0x0a59dbff790c23c976a548690c27297883cc66b4c67024f9117b0238995e35e9",
};

/**
 * Puts an EntryPoint release where every other chain has it, on a Hardhat node: bundlers and clients know a release by
 * its address. The node's first account pays.
 */
export async function placeEntryPoint(provider: JsonRpcProvider, version: EntryPointVersion): Promise<void> {
  if ((await provider.getCode(CANONICAL_ENTRY_POINT[version])) !== "0x") return;
  await provider.send("hardhat_setCode", [DEPLOYER, DEPLOYER_CODE]);
  const payer = await provider.getSigner(0);
  const data = concat([SALT[version], ENTRY_POINT_ARTIFACT[version].bytecode]);
  await (await payer.sendTransaction({ to: DEPLOYER, data })).wait();
  if ((await provider.getCode(CANONICAL_ENTRY_POINT[version])) === "0x") {
    throw new Error(`EntryPoint ${version} is not at ${CANONICAL_ENTRY_POINT[version]}: another artifact?`);
  }
}

import { K3EpochCounter__factory } from "../../typechain-types";
import type { World } from "../drills/world";
import type { Hex } from "../../offchain/wire/bytes";

/** Makes this commitment the next epoch's, an hour later by the chain's clock; the world's honest caps name it from now on. */
export async function advanceEpoch(world: World, commitment: Hex): Promise<void> {
  await world.passTime(3_601);
  const counter = K3EpochCounter__factory.connect(world.stack.contracts.K3EpochCounter, world.developer);
  await (await counter.advanceEpoch(commitment)).wait();
  await world.nextBlock();
  world.epoch += 1;
}

/** Draws the next K3 into the stack's vault and makes it current. */
export async function nextEpoch(world: World): Promise<void> {
  await advanceEpoch(world, await world.stack.prepareEpoch());
}

import type { Wallet } from "ethers";

import { NO_END, serviceHash } from "../../offchain/wire/names";
import { startStack } from "../../scripts/lib/stack";
import { ScopeRegistry__factory } from "../../typechain-types";
import { World } from "../drills/world";
import { temporaryFolders } from "./temporary-folder";

const folders = temporaryFolders();
let starting: Promise<World> | undefined;

/** Every operation, classify included. */
const ALL_OPS = 15;

/**
 * One running stack for all files of a mocha run that ask for it, started by the first: real processes, a real node.
 * Whoever asks leaves it as it was found, the chain's clock and key epoch included.
 */
export function sharedWorld(): Promise<World> {
  starting ??= startStack({ dir: folders.make(), logLevel: "warn" }).then((stack) => World.over(stack));
  return starting;
}

/** Grants an agent every operation on these services of all three classes. */
export async function grantAll(
  world: World,
  wallet: Wallet,
  actor: string,
  services: readonly string[],
): Promise<void> {
  const scopes = ScopeRegistry__factory.connect(world.stack.contracts.ScopeRegistry, wallet);
  const grants = services.flatMap((service) =>
    [1, 2, 3].map((dataClass) => ({
      dataClass,
      serviceHash: serviceHash(service),
      ops: ALL_OPS,
      validUntil: BigInt(NO_END),
    })),
  );
  await (await scopes.setGrants(actor, grants)).wait();
}

// of the root suite: after the last file
after(async () => {
  const world = await starting?.catch(() => undefined);
  await world?.close();
  await world?.stack.stop();
  folders.removeAll();
});

import { readFile } from "node:fs/promises";
import { join } from "node:path";

import type { JsonRpcProvider } from "ethers";

/** Ignition's journal of one chain: its folder, and the contracts that it already deployed there. */
export interface Journal {
  readonly dir: string;
  /** Future id → address. */
  readonly deployed: Readonly<Record<string, string>>;
}

const MAX_DEPLOYMENTS = 1_000;

/**
 * The journal to go on with. A journal whose contracts are gone belongs to a node that was started afresh since: the
 * next free deployment id is used then, because Ignition would believe the journal and deploy nothing.
 * @param folder where the journals of all chains lie, `ignition/deployments` by custom
 */
export async function openJournal(folder: string, chainId: number, provider: JsonRpcProvider): Promise<Journal> {
  for (let count = 1; count <= MAX_DEPLOYMENTS; count += 1) {
    const id = count === 1 ? `chain-${chainId}` : `chain-${chainId}-${count}`;
    const dir = join(folder, id);
    const deployed = await readAddresses(dir);
    const codes = await Promise.all(Object.values(deployed).map((address) => provider.getCode(address)));
    if (!codes.includes("0x")) return { dir, deployed };
  }
  throw new Error(`too many old deployments: remove ${folder}`);
}

/** The addresses that a journal has by now. */
export async function readAddresses(dir: string): Promise<Readonly<Record<string, string>>> {
  const text = await readFile(join(dir, "deployed_addresses.json"), "utf8").catch(() => "{}");
  return JSON.parse(text) as Readonly<Record<string, string>>;
}

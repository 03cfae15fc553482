import { randomBytes } from "node:crypto";

import type { Hex } from "../../wire/bytes";
import { Secret } from "../../wire/secret";
import { k3Commitment } from "./k3";
import type { VaultUnlock } from "./keys/unlock";
import { type K3Ring, changeVaultFile } from "./sealed-file";

/**
 * Draws the K3 of the epoch after the last one in the file (1 where there is none) and returns what to commit to.
 * @throws VaultFileError where `isNew` and the file exists already, or it does not open; StoreUnavailable beside another writer
 */
export function prepareEpoch(file: string, unlock: VaultUnlock, isNew: boolean): { epoch: number; commitment: Hex } {
  const k3 = new Secret(randomBytes(32));
  let epoch = 0;
  changeVaultFile(file, unlock, isNew, (ring) => {
    epoch = nextEpoch(ring);
    return new Map([...ring, [epoch, k3]]);
  });
  return { epoch, commitment: k3Commitment(epoch, k3.reveal()) };
}

/** The epoch after the last one held. */
export function nextEpoch(held: ReadonlyMap<number, unknown>): number {
  return Math.max(0, ...held.keys()) + 1;
}

/** The commitment of each epoch in the file. */
export function commitments(ring: K3Ring): ReadonlyMap<number, Hex> {
  return new Map([...ring].map(([epoch, k3]) => [epoch, k3Commitment(epoch, k3.reveal())]));
}

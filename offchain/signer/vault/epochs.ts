import { randomBytes } from "node:crypto";

import type { Hex } from "../../wire/bytes";
import { Secret } from "../../wire/secret";
import { k3Commitment } from "./k3";
import { type K3Ring, openVaultFile, writeVaultFile } from "./sealed-file";

/** Draws the K3 of the epoch after the last one in the file (1 where there is none) and returns what to commit to. */
export function prepareEpoch(
  file: string,
  passphrase: Secret<Buffer>,
  isNew: boolean,
): { epoch: number; commitment: Hex } {
  const ring: K3Ring = isNew ? new Map() : openVaultFile(file, passphrase);
  const epoch = Math.max(0, ...ring.keys()) + 1;
  const k3 = new Secret(randomBytes(32));
  writeVaultFile(file, passphrase, new Map([...ring, [epoch, k3]]));
  return { epoch, commitment: k3Commitment(epoch, k3.reveal()) };
}

/** The commitment of each epoch in the file. */
export function commitments(ring: K3Ring): ReadonlyMap<number, Hex> {
  return new Map([...ring].map(([epoch, k3]) => [epoch, k3Commitment(epoch, k3.reveal())]));
}

import { timingSafeEqual } from "node:crypto";

import { orUnavailable } from "../../http/store-probes";
import { type Hex, fromHex } from "../../wire/bytes";
import { type Result, ok, refuse } from "../../wire/result";
import type { ObjectName } from "../../wire/stored-by";
import type { VaultParts } from "./parts";

/**
 * The commitment of an epoch's K3, if this vault holds the one that the chain was committed to; never that of a fresh
 * one. @see services note 4.3
 */
export async function usableEpoch(parts: VaultParts, epoch: number): Promise<Result<Hex>> {
  const held = parts.keys.commitments().get(epoch);
  if (held === undefined) return unavailable(parts, epoch, "this vault has no key for it");
  const commitment = await parts.chain.k3Commitment(epoch);
  if (!commitment.ok) return commitment;
  return timingSafeEqual(fromHex(held), fromHex(commitment.value))
    ? commitment
    : unavailable(parts, epoch, "this vault's key is not the one the chain was committed to");
}

/** The key of an object in a usable epoch, 32 bytes; the caller zeroes it. @see protocol 3.6 */
export async function objectKeyOf(parts: VaultParts, epoch: number, name: ObjectName): Promise<Result<Buffer>> {
  const usable = await usableEpoch(parts, epoch);
  if (!usable.ok) return usable;
  const key = await orUnavailable("signer_unavailable", parts.log, () => parts.keys.objectKey(epoch, name));
  if (!key.ok) return key;
  return key.value === undefined ? unavailable(parts, epoch, "its key is gone from this vault") : ok(key.value);
}

function unavailable(parts: VaultParts, epoch: number, why: string): Result<never> {
  parts.log.error({ epoch, why }, "no key for the epoch");
  return refuse("signer_unavailable", "The vault has no usable key for this epoch.");
}

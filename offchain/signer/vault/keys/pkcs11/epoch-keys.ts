import type { Handle } from "pkcs11js";

import { type Hex, toHex } from "../../../../wire/bytes";
import { k3Commitment, k3Prk } from "../../k3";
import { VaultKeysError } from "../vault-keys";
import { LABELS, importHmacKey } from "./objects";
import type { Token } from "./token";

const EPOCH_BYTES = 8;

/** PRK of one epoch, by handle, and what its K3 was committed to as. */
export interface EpochKey {
  readonly prk: Handle;
  readonly commitment: Hex;
}

/** Every epoch in the token. @throws VaultKeysError for two keys of one epoch */
export function readEpochKeys(token: Token): ReadonlyMap<number, EpochKey> {
  const { ck } = token;
  const found = new Map<number, EpochKey>();
  for (const prk of token.find(LABELS.k3, ck.CKO_SECRET_KEY)) {
    const id = token.read(prk, ck.CKA_ID);
    if (id.length !== EPOCH_BYTES + 32) throw new VaultKeysError("the token holds a key that names no epoch");
    const epoch = Number(id.readBigUInt64BE(0));
    if (found.has(epoch)) throw new VaultKeysError(`the token holds two keys of epoch ${String(epoch)}`);
    found.set(epoch, { prk, commitment: toHex(id.subarray(EPOCH_BYTES)) });
  }
  return found;
}

/**
 * Keeps PRK = HKDF-Extract(salt, K3); K3 itself is not in the token. One that is there is left as it is.
 * @throws VaultKeysError where another K3 of this epoch is held
 */
export function keepEpoch(token: Token, epoch: number, k3: Uint8Array): Hex {
  const commitment = k3Commitment(epoch, k3);
  const held = readEpochKeys(token).get(epoch);
  if (held?.commitment === commitment) return commitment;
  if (held !== undefined) {
    throw new VaultKeysError(`another key of epoch ${String(epoch)} is held: it is not replaced`);
  }
  const id = Buffer.alloc(EPOCH_BYTES + 32);
  id.writeBigUInt64BE(BigInt(epoch));
  id.write(commitment.slice(2), EPOCH_BYTES, "hex");
  const prk = k3Prk(k3);
  importHmacKey(token, LABELS.k3, id, prk);
  prk.fill(0);
  return commitment;
}

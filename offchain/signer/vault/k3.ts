import { createHash, createHmac, timingSafeEqual } from "node:crypto";

import { type Hex, fromHex, toHex } from "../../wire/bytes";
import type { ObjectName } from "../../wire/stored-by";

const SALT = Buffer.from("agentkeys.kek-salt.v2");

/** SHA-256("agentkeys-k3-commit" ‖ uint64 epoch ‖ K3): what the chain holds of an epoch's key. @see contracts note 2.3 */
export function k3Commitment(epoch: number, k3: Uint8Array): Hex {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(epoch));
  return toHex(createHash("sha256").update("agentkeys-k3-commit").update(number).update(k3).digest());
}

/** True when this K3 is the one that was committed to. */
export function matchesCommitment(epoch: number, k3: Uint8Array, commitment: Hex): boolean {
  return timingSafeEqual(fromHex(k3Commitment(epoch, k3)), fromHex(commitment));
}

/**
 * HKDF-SHA256 (RFC 5869) of K3 for one object, 32 bytes. Extract and one block of expand, written out because a
 * hardware module keeps the first and computes the second. @see protocol 3.6
 */
export function objectKey(k3: Uint8Array, name: ObjectName): Buffer {
  const prk = createHmac("sha256", SALT).update(k3).digest();
  const key = createHmac("sha256", prk)
    .update("agentkeys.object.v1")
    .update(fromHex(name.operatorOmni))
    .update(fromHex(name.actorOmni))
    .update(name.dataClass)
    .update(Buffer.from([0]))
    .update(name.service)
    .update(Buffer.from([1]))
    .digest();
  prk.fill(0);
  return key;
}

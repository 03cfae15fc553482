import { createHash, createHmac } from "node:crypto";

import { type Hex, fromHex, toHex } from "../../wire/bytes";
import type { ObjectName } from "../../wire/stored-by";

const SALT = Buffer.from("agentkeys.kek-salt.v2");

/** SHA-256("agentkeys-k3-commit" ‖ uint64 epoch ‖ K3): what the chain holds of an epoch's key. @see contracts note 2.3 */
export function k3Commitment(epoch: number, k3: Uint8Array): Hex {
  const number = Buffer.alloc(8);
  number.writeBigUInt64BE(BigInt(epoch));
  return toHex(createHash("sha256").update("agentkeys-k3-commit").update(number).update(k3).digest());
}

/** HKDF-Extract of RFC 5869 section 2.2 with SHA-256: 32 bytes. What a hardware module keeps of K3. */
export function hkdfExtract(salt: Uint8Array, ikm: Uint8Array): Buffer {
  return createHmac("sha256", salt).update(ikm).digest();
}

/** T(1) of RFC 5869 section 2.3 with SHA-256, the first 32 bytes of the output; `info` in parts. */
export function hkdfFirstBlock(prk: Uint8Array, info: readonly (Uint8Array | string)[]): Buffer {
  const mac = createHmac("sha256", prk);
  for (const part of info) mac.update(part);
  return mac.update(Buffer.from([1])).digest();
}

/** PRK = HKDF-Extract(salt, K3), 32 bytes: all that a hardware module keeps of K3. @see protocol 3.6 */
export function k3Prk(k3: Uint8Array): Buffer {
  return hkdfExtract(SALT, k3);
}

/** `info` of an object's key. @see protocol 3.6 */
export function objectInfo(name: ObjectName): readonly (Uint8Array | string)[] {
  return [
    "agentkeys.object.v1",
    fromHex(name.operatorOmni),
    fromHex(name.actorOmni),
    name.dataClass,
    Buffer.from([0]),
    name.service,
  ];
}

/**
 * HKDF-SHA256 (RFC 5869) of K3 for one object, 32 bytes. Extract and one block of expand, written out because a
 * hardware module keeps the first and computes the second. @see protocol 3.6
 */
export function objectKey(k3: Uint8Array, name: ObjectName): Buffer {
  const prk = k3Prk(k3);
  const key = hkdfFirstBlock(prk, objectInfo(name));
  prk.fill(0);
  return key;
}

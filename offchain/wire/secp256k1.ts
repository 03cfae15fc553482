import * as secp256k1 from "secp256k1";

import { type Hex, fromHex, toHex } from "./bytes";
import { keccak256 } from "./keccak";

// n / 2, big-endian: a larger s is the malleable twin and is refused.
const HALF_ORDER = Buffer.from("7fffffffffffffffffffffffffffffff5d576e7357a4501ddfe92f46681b20a0", "hex");

/** Address of a 32-byte secret, lowercase hex. */
export function addressOf(secret: Uint8Array): Hex {
  return addressOfPublicKey(secp256k1.publicKeyCreate(secret, false));
}

function addressOfPublicKey(uncompressed: Uint8Array): Hex {
  return toHex(keccak256(uncompressed.subarray(1)).subarray(12));
}

/** `r ‖ s ‖ v` over a 32-byte digest: RFC 6979 nonce, low s, v 27 or 28. @see protocol 3.2 */
export function signDigest(digest: Uint8Array, secret: Uint8Array): Hex {
  const { signature, recid } = secp256k1.ecdsaSign(digest, secret);
  return `${toHex(signature)}${(27 + recid).toString(16)}`;
}

/** The address that signed, or undefined for anything but 65 bytes with v in {27, 28}, low s and r, s in range. */
export function recoverAddress(digest: Uint8Array, signature: Hex): Hex | undefined {
  const bytes = fromHex(signature);
  if (bytes.length !== 65) return undefined;
  const v = bytes[64];
  if (v !== 27 && v !== 28) return undefined;
  if (bytes.compare(HALF_ORDER, 0, 32, 32, 64) > 0) return undefined;
  try {
    return addressOfPublicKey(secp256k1.ecdsaRecover(bytes.subarray(0, 64), v - 27, digest, false));
  } catch {
    return undefined;
  }
}

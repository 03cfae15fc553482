import { createHash, createHmac } from "node:crypto";

import { type Hex, fromHex, toHex } from "./bytes";

/** HMAC-SHA-256(key = 32-byte content salt, plaintext): what a store cap commits to. @see protocol 3.3 */
export function contentHash(salt: Hex, plaintext: Uint8Array): Hex {
  return toHex(createHmac("sha256", fromHex(salt)).update(plaintext).digest());
}

/** SHA-256, for `bodyHash` and the digest of a stored object. */
export function sha256Hex(bytes: Uint8Array): Hex {
  return toHex(createHash("sha256").update(bytes).digest());
}

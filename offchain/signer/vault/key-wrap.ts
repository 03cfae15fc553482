import { createCipheriv, createDecipheriv } from "node:crypto";

// RFC 3394 section 2.2.3.1
const INITIAL_VALUE = Buffer.from("a6a6a6a6a6a6a6a6", "hex");

/** AES-256 key wrap. @see RFC 3394, RFC 7518 section 4.4 (A256KW) */
export function wrapKey(wrapping: Uint8Array, key: Uint8Array): Buffer {
  const cipher = createCipheriv("id-aes256-wrap", wrapping, INITIAL_VALUE);
  return Buffer.concat([cipher.update(key), cipher.final()]);
}

// the check value and two blocks of 8 bytes (section 2.2.1: n >= 2)
const MIN_WRAPPED_BYTES = 24;

/** The wrapped key, or undefined when it was not wrapped under this one. */
export function unwrapKey(wrapping: Uint8Array, wrapped: Uint8Array): Buffer | undefined {
  // OpenSSL takes nothing at all for a wrapped nothing
  if (wrapped.length < MIN_WRAPPED_BYTES) return undefined;
  try {
    const decipher = createDecipheriv("id-aes256-wrap", wrapping, INITIAL_VALUE);
    return Buffer.concat([decipher.update(wrapped), decipher.final()]);
  } catch {
    return undefined;
  }
}

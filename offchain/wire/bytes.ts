/** `0x` and lowercase hex digits. */
export type Hex = `0x${string}`;

const BYTES32 = /^0x[0-9a-f]{64}$/;
const ADDRESS = /^0x[0-9a-f]{40}$/;
const SIGNATURE = /^0x[0-9a-f]{130}$/;

/** 32 zero bytes. */
export const ZERO32: Hex = `0x${"00".repeat(32)}`;

/** Exactly 32 bytes as lowercase hex. @see protocol 3.11 "Forms" */
export function isBytes32(value: unknown): value is Hex {
  return typeof value === "string" && BYTES32.test(value);
}

/** An address as lowercase hex (no checksum case on the wire). */
export function isAddressHex(value: unknown): value is Hex {
  return typeof value === "string" && ADDRESS.test(value);
}

/** 65 bytes as lowercase hex; says nothing of their values. */
export function isSignatureHex(value: unknown): value is Hex {
  return typeof value === "string" && SIGNATURE.test(value);
}

/** Bytes → lowercase hex with `0x`. */
export function toHex(bytes: Uint8Array): Hex {
  return `0x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("hex")}`;
}

/** Hex that has already been checked → bytes. */
export function fromHex(hex: Hex): Buffer {
  return Buffer.from(hex.slice(2), "hex");
}

/** Bytes → base64url without padding. @see RFC 4648 section 5 */
export function toBase64url(bytes: Uint8Array | string): string {
  return Buffer.from(bytes as Uint8Array).toString("base64url");
}

/** base64url without padding → bytes, or undefined where encoding the bytes again gives another text. */
export function fromBase64url(text: unknown): Buffer | undefined {
  if (typeof text !== "string") return undefined;
  const bytes = Buffer.from(text, "base64url");
  return bytes.toString("base64url") === text ? bytes : undefined;
}

import type { Hex } from "../wire/bytes";

/** r and s, each in [1, n−1]. */
export interface EcdsaSignature {
  /** r ‖ s, 64 bytes (IEEE P1363). */
  readonly bytes: Buffer;
}

// FIPS 186-5 / SEC 2, curve secp256r1
const P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** True for an affine point of P-256 with both coordinates below the prime and x not 0, which the account reads as "none". */
export function isOnP256(point: { readonly x: Hex; readonly y: Hex }): boolean {
  const x = BigInt(point.x);
  const y = BigInt(point.y);
  if (x === 0n || x >= P || y >= P) return false;
  return (y * y) % P === (x * x * x + (P - 3n) * x + B) % P;
}

const SEQUENCE = 0x30;
const INTEGER = 0x02;

/**
 * `Ecdsa-Sig-Value ::= SEQUENCE { r INTEGER, s INTEGER }` (RFC 3279 section 2.2.3) in DER (X.690): every length in one
 * byte, every integer positive and as short as it can be, nothing behind. Written out because OpenSSL takes more.
 * @returns undefined for anything else, r or s of 0 or above n−1 included
 */
export function readDerSignature(der: Uint8Array): EcdsaSignature | undefined {
  const bytes = Buffer.from(der.buffer, der.byteOffset, der.byteLength);
  // two integers of at most 2 + 33 bytes: a length never needs its long form
  if (bytes[0] !== SEQUENCE || bytes[1] !== bytes.length - 2) return undefined;
  const r = readInteger(bytes, 2);
  const s = r === undefined ? undefined : readInteger(bytes, r.end);
  if (r === undefined || s?.end !== bytes.length) return undefined;
  return { bytes: Buffer.concat([r.word, s.word]) };
}

function readInteger(bytes: Buffer, at: number): { readonly word: Buffer; readonly end: number } | undefined {
  const length = bytes[at + 1];
  if (bytes[at] !== INTEGER || length === undefined || length < 1 || length > 33) return undefined;
  const end = at + 2 + length;
  if (end > bytes.length) return undefined;
  const [first = 0, second = 0] = bytes.subarray(at + 2, at + 4);
  const isNegative = first >= 0x80;
  const hasNeedlessZero = length > 1 && first === 0 && second < 0x80;
  if (isNegative || hasNeedlessZero || (length === 33 && first !== 0)) return undefined;
  const word = Buffer.alloc(32);
  const value = bytes.subarray(length === 33 ? at + 3 : at + 2, end);
  value.copy(word, 32 - value.length);
  return isInOrder(word) ? { word, end } : undefined;
}

function isInOrder(word: Buffer): boolean {
  const value = BigInt(`0x${word.toString("hex")}`);
  return value > 0n && value < N;
}

import { createECDH, randomBytes } from "node:crypto";

import { p256 } from "@noble/curves/p256";

/** Prime of P-256. */
export const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
/** Order of P-256. */
export const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
/** The highest low `s`. */
export const MAX_S = (N - 1n) / 2n;

/** An affine point. */
export interface Point {
  readonly x: bigint;
  readonly y: bigint;
}

/** What a verifier is asked, five words as they are sent. */
export interface Question extends Point {
  readonly hash: bigint;
  readonly r: bigint;
  readonly s: bigint;
}

/** A point of noble's, which has infinity too. */
export type CurvePoint = InstanceType<typeof p256.ProjectivePoint>;

/** The generator. */
export const G = p256.ProjectivePoint.BASE;

/** Least residue that is not negative. */
export function mod(value: bigint, modulus = N): bigint {
  const residue = value % modulus;
  return residue < 0n ? residue + modulus : residue;
}

/** Inverse modulo a prime; throws for zero. */
export function inverse(value: bigint, prime = N): bigint {
  let [a, b, u, v] = [mod(value, prime), prime, 1n, 0n];
  if (a === 0n) throw new RangeError("zero has no inverse");
  while (a !== 0n) [a, b, u, v] = [b % a, a, v - (b / a) * u, u];
  return mod(v, prime);
}

/** A scalar from 1 to the order less one. */
export function randomScalar(): bigint {
  return mod(BigInt(`0x${randomBytes(40).toString("hex")}`), N - 1n) + 1n;
}

/** An affine point as noble's; throws off the curve. */
export function pointOf(point: Point): CurvePoint {
  const found = p256.ProjectivePoint.fromAffine(point);
  found.assertValidity();
  return found;
}

/** One of the two points with this x, undefined where there is none. */
export function pointAt(x: bigint): CurvePoint | undefined {
  const square = mod(x ** 3n - 3n * x + p256.CURVE.b, P);
  let [y, base] = [1n, square];
  for (let exponent = (P + 1n) / 4n; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) y = (y * base) % P;
    base = (base * base) % P;
  }
  return (y * y) % P === square ? p256.ProjectivePoint.fromAffine({ x, y }) : undefined;
}

/** k·G for k not 0 modulo the order, by OpenSSL. */
export function timesG(k: bigint): Point {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(mod(k).toString(16).padStart(64, "0"), "hex");
  const point = ecdh.getPublicKey("hex");
  return { x: BigInt(`0x${point.slice(2, 66)}`), y: BigInt(`0x${point.slice(66)}`) };
}

/** The 160 bytes of the precompile's input. */
export function encodeQuestion({ hash, r, s, x, y }: Question): string {
  return `0x${[hash, r, s, x, y].map((word) => word.toString(16).padStart(64, "0")).join("")}`;
}

/** What noble answers, high `s` refused. */
export function nobleAnswers({ hash, r, s, x, y }: Question): boolean {
  const key = Buffer.from(`04${encodeQuestion({ hash: 0n, r: 0n, s: 0n, x, y }).slice(-128)}`, "hex");
  try {
    const digest = Buffer.from(hash.toString(16).padStart(64, "0"), "hex");
    return p256.verify(new p256.Signature(r, s), digest, key, { lowS: true });
  } catch {
    return false; // noble throws for fields out of their range and for keys off the curve
  }
}

import { type KeyObject, createHash, createPublicKey } from "node:crypto";

import { fromBase64url, toBase64url } from "./bytes";
import { type JsonValue, isJsonObject, readJsonObject } from "./json";

/** A public P-256 key as the broker publishes it. @see RFC 7517 */
export interface PublicJwk {
  readonly kty: "EC";
  readonly crv: "P-256";
  readonly x: string;
  readonly y: string;
  readonly kid: string;
  readonly use: "sig";
  readonly alg: "ES256";
}

/** `/.well-known/jwks.json`. */
export interface Jwks {
  readonly keys: readonly PublicJwk[];
}

/** The JWK of a P-256 key; its `kid` is the RFC 7638 thumbprint. */
export function publicJwk(key: KeyObject): PublicJwk {
  const { x, y } = createPublicKey(
    key.type === "private" ? key : { key: key.export({ format: "jwk" }), format: "jwk" },
  ).export({ format: "jwk" });
  if (x === undefined || y === undefined) throw new TypeError("not an elliptic curve key");
  const thumbprint = createHash("sha256")
    .update(JSON.stringify({ crv: "P-256", kty: "EC", x, y }))
    .digest();
  return { kty: "EC", crv: "P-256", x, y, kid: toBase64url(thumbprint), use: "sig", alg: "ES256" };
}

/** Reads a key set: kid → key. Keys that are not ES256 signing keys are passed over; undefined when it is no key set. */
export function parseJwks(bytes: Uint8Array): ReadonlyMap<string, KeyObject> | undefined {
  const read = readJsonObject(bytes);
  const keys = read.ok ? read.value["keys"] : undefined;
  if (!Array.isArray(keys)) return undefined;
  const found = new Map<string, KeyObject>();
  for (const one of keys as readonly JsonValue[]) {
    if (!isJsonObject(one)) return undefined;
    const { kty, crv, x, y, kid, use, alg } = one;
    if (kty !== "EC" || crv !== "P-256" || use !== "sig" || alg !== "ES256" || typeof kid !== "string") continue;
    if (fromBase64url(x)?.length !== 32 || fromBase64url(y)?.length !== 32) continue;
    try {
      found.set(
        kid,
        createPublicKey({ key: { kty: "EC", crv: "P-256", x: x as string, y: y as string }, format: "jwk" }),
      );
    } catch {
      continue;
    }
  }
  return found;
}

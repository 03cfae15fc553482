import { type KeyObject, createHash, generateKeyPairSync, randomUUID, sign } from "node:crypto";

import { toBase64url } from "../../offchain/wire/bytes";

/** An ES256 key of a client and its public JWK. */
export interface DpopKey {
  readonly key: KeyObject;
  readonly jwk: Readonly<Record<string, string>>;
  /** RFC 7638 thumbprint. */
  readonly jkt: string;
}

/** A fresh one. */
export function dpopKey(): DpopKey {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { crv, kty, x, y } = publicKey.export({ format: "jwk" });
  if (crv === undefined || kty === undefined || x === undefined || y === undefined) throw new Error("no P-256 key");
  const jwk = { crv, kty, x, y };
  return { key: privateKey, jwk, jkt: toBase64url(createHash("sha256").update(JSON.stringify(jwk)).digest()) };
}

/** A DPoP proof with its own `jti`. @see RFC 9449 §4.2 */
export function dpopProof(holder: DpopKey, url: string, accessToken?: string): string {
  const ath = accessToken === undefined ? {} : { ath: toBase64url(createHash("sha256").update(accessToken).digest()) };
  const claims = { jti: randomUUID(), htm: "POST", htu: url, iat: Math.floor(Date.now() / 1_000), ...ath };
  return es256({ typ: "dpop+jwt", alg: "ES256", jwk: holder.jwk }, claims, holder.key);
}

/** A compact JWS. @see RFC 7515 */
export function es256(header: object, claims: object, key: KeyObject): string {
  const part = (value: object): string => toBase64url(Buffer.from(JSON.stringify(value)));
  const signed = `${part(header)}.${part(claims)}`;
  return `${signed}.${toBase64url(sign("sha256", Buffer.from(signed), { key, dsaEncoding: "ieee-p1363" }))}`;
}

import { type KeyObject, createPublicKey } from "node:crypto";

import type { Handle, Template } from "pkcs11js";

import { toBase64url } from "../../../../wire/bytes";
import { type SigningUse, VaultKeysError } from "../vault-keys";
import type { Token } from "./token";

/** Labels of what the vault keeps in a token. */
export const LABELS = {
  /** PRK of an epoch's K3; its CKA_ID is epoch(8) ‖ commitment(32), so that one call keeps all of it. */
  k3: "agentkeys.k3",
  /** HMAC keys of credentials; their CKA_ID is the kid. */
  tokenSecret: "agentkeys.token-secret",
  signing: (use: SigningUse) => `agentkeys.es256.${use}`,
  /** AES key that wraps the seeds. */
  wrap: "agentkeys.wrap",
  /** Agent seed ‖ state key under the wrap key. */
  seeds: "agentkeys.seeds",
  /** Dates of the token secrets, and whose state it is; written last at creation. */
  book: "agentkeys.book",
  /** Sequence number of the vault's state. */
  stateSequence: "agentkeys.state-sequence",
} as const;

const KEY_BYTES = 32;
/** DER of the object identifier of P-256 (RFC 5480 §2.1.1.1). */
const P256 = Buffer.from("06082a8648ce3d030107", "hex");

/** What every key is: kept by the token, never shown, never wrapped, never changed. */
function kept(token: Token, label: string, id: Buffer): Template {
  const { ck } = token;
  return [
    { type: ck.CKA_TOKEN, value: true },
    { type: ck.CKA_PRIVATE, value: true },
    { type: ck.CKA_SENSITIVE, value: true },
    { type: ck.CKA_EXTRACTABLE, value: false },
    { type: ck.CKA_MODIFIABLE, value: false },
    { type: ck.CKA_LABEL, value: label },
    { type: ck.CKA_ID, value: id },
  ];
}

function secretKey(token: Token, type: number, label: string, id: Buffer): Template {
  const { ck } = token;
  return [
    { type: ck.CKA_CLASS, value: ck.CKO_SECRET_KEY },
    { type: ck.CKA_KEY_TYPE, value: type },
    ...kept(token, label, id),
  ];
}

/** Keeps an HMAC key whose bytes were drawn outside. */
export function importHmacKey(token: Token, label: string, id: Buffer, key: Buffer): Handle {
  const { ck } = token;
  const template = secretKey(token, ck.CKK_GENERIC_SECRET, label, id);
  return token.create([...template, { type: ck.CKA_SIGN, value: true }, { type: ck.CKA_VALUE, value: key }]);
}

/** Has the token draw an HMAC key of 32 bytes. */
export function drawHmacKey(token: Token, label: string, id: Buffer): Handle {
  const { ck } = token;
  const template = secretKey(token, ck.CKK_GENERIC_SECRET, label, id);
  const drawn: Template = [
    { type: ck.CKA_SIGN, value: true },
    { type: ck.CKA_VALUE_LEN, value: KEY_BYTES },
  ];
  return token.generate(ck.CKM_GENERIC_SECRET_KEY_GEN, [...template, ...drawn]);
}

/** Has the token draw the AES-256 key that wraps the seeds. */
export function drawWrapKey(token: Token, label: string): Handle {
  const { ck } = token;
  return token.generate(ck.CKM_AES_KEY_GEN, [
    ...secretKey(token, ck.CKK_AES, label, Buffer.from(label)),
    { type: ck.CKA_VALUE_LEN, value: KEY_BYTES },
    { type: ck.CKA_ENCRYPT, value: true },
    { type: ck.CKA_DECRYPT, value: true },
  ]);
}

/** Has the token draw a P-256 pair. The public half is private too: nobody adds another without the PIN. */
export function drawSigningPair(token: Token, label: string): void {
  const { ck } = token;
  const id = Buffer.from(label);
  const type = { type: ck.CKA_KEY_TYPE, value: ck.CKK_EC };
  token.generatePair(
    ck.CKM_EC_KEY_PAIR_GEN,
    [
      { type: ck.CKA_CLASS, value: ck.CKO_PUBLIC_KEY },
      type,
      { type: ck.CKA_TOKEN, value: true },
      { type: ck.CKA_PRIVATE, value: true },
      { type: ck.CKA_LABEL, value: label },
      { type: ck.CKA_ID, value: id },
      { type: ck.CKA_EC_PARAMS, value: P256 },
      { type: ck.CKA_VERIFY, value: true },
    ],
    [
      { type: ck.CKA_CLASS, value: ck.CKO_PRIVATE_KEY },
      type,
      ...kept(token, label, id),
      { type: ck.CKA_SIGN, value: true },
    ],
  );
}

/** The one object of this label and class; undefined where there is none. @throws VaultKeysError for several */
export function only(token: Token, label: string, objectClass: number): Handle | undefined {
  const [object, ...more] = token.find(label, objectClass);
  if (more.length > 0) throw new VaultKeysError(`the token holds several objects ${label}`);
  return object;
}

/** As `only`, and it must be there. @throws VaultKeysError */
export function must(token: Token, label: string, objectClass: number): Handle {
  const object = only(token, label, objectClass);
  if (object === undefined) throw new VaultKeysError(`the token lacks its object ${label}`);
  return object;
}

/** The public half of a signing pair. CKA_EC_POINT is a DER OCTET STRING around 04 ‖ x ‖ y. @throws VaultKeysError */
export function publicKeyOf(token: Token, label: string): KeyObject {
  const { ck } = token;
  const value = token.read(must(token, label, ck.CKO_PUBLIC_KEY), ck.CKA_EC_POINT);
  const point = value.subarray(-65);
  if (point.length !== 65 || point[0] !== 4) throw new VaultKeysError(`the token's ${label} is no P-256 point`);
  const [x, y] = [toBase64url(point.subarray(1, 33)), toBase64url(point.subarray(33))];
  return createPublicKey({ key: { kty: "EC", crv: "P-256", x, y }, format: "jwk" });
}

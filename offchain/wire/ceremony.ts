import { createHash } from "node:crypto";

import { type Hex, ZERO32, fromHex, isAddressHex, isBytes32 } from "./bytes";
import { addressWord, bytes32Word, stringWord, typedDigest, typeHash, uintWord } from "./eip712";
import { type JsonValue, isJsonObject, isWholeNumber } from "./json";

const OPERATIONS = ["create", "refresh", "revoke"] as const;

/** What a passkey of the operator allows the signer to do once. @see protocol 3.8 */
export type CeremonyOperation = (typeof OPERATIONS)[number];

/** What the owner sees and the passkey signs. @see protocol 3.8 */
export interface Ceremony {
  readonly operation: CeremonyOperation;
  readonly operatorOmni: Hex;
  /** The operator's master account. */
  readonly account: Hex;
  /** The key that is refreshed or revoked; empty for `create`. */
  readonly keyId: string;
  /** The new key's label; empty for `refresh` and `revoke`. */
  readonly label: string;
  /** The device that the credential will be issued to; zero for `revoke`. */
  readonly deviceKeyHash: Hex;
  /** The signer's public base URL. */
  readonly signerOrigin: string;
  /** Unix seconds; the signer's word, at most 300 s after the ceremony was begun. */
  readonly expiresAt: number;
}

/** The part of a ceremony that its operation uses. */
export type CeremonySubject =
  | { readonly operation: "create"; readonly label: string; readonly deviceKeyHash: Hex }
  | { readonly operation: "refresh"; readonly keyId: string; readonly deviceKeyHash: Hex }
  | { readonly operation: "revoke"; readonly keyId: string };

/** The part that is the same whatever the operation. */
export type CeremonyPlace = Pick<Ceremony, "operatorOmni" | "account" | "signerOrigin" | "expiresAt">;

/** The EIP-712 type of a ceremony. */
export const CEREMONY_TYPE =
  "Ceremony(string operation,bytes32 operatorOmni,address account,string keyId,string label,bytes32 deviceKeyHash,string signerOrigin,uint64 expiresAt)";

const TYPE_HASH = typeHash(CEREMONY_TYPE);
const CHALLENGE_PREFIX = Buffer.from("agentkeys-ceremony-v1", "ascii");

/** True for one of the three operations. */
export function isCeremonyOperation(value: unknown): value is CeremonyOperation {
  return OPERATIONS.some((one) => one === value);
}

/** A whole ceremony: what its operation does not use is empty. */
export function ceremonyOf(subject: CeremonySubject, place: CeremonyPlace): Ceremony {
  const { operatorOmni, account, signerOrigin, expiresAt } = place;
  const empty = { keyId: "", label: "", deviceKeyHash: ZERO32 };
  return { ...empty, ...subject, operatorOmni, account, signerOrigin, expiresAt };
}

/** The EIP-712 digest, 32 bytes. `separator` comes from `domainSeparator`. */
export function ceremonyDigest(separator: Uint8Array, ceremony: Ceremony): Buffer {
  return typedDigest(separator, TYPE_HASH(), [
    stringWord(ceremony.operation),
    bytes32Word(ceremony.operatorOmni),
    addressWord(ceremony.account),
    stringWord(ceremony.keyId),
    stringWord(ceremony.label),
    bytes32Word(ceremony.deviceKeyHash),
    stringWord(ceremony.signerOrigin),
    uintWord(ceremony.expiresAt),
  ]);
}

/**
 * SHA-256("agentkeys-ceremony-v1" ‖ nonce ‖ digest), 32 bytes: what the client hands to the authenticator. It is always
 * computed, by client and vault alike: a challenge that somebody sends could be the hash of a user operation.
 */
export function ceremonyChallenge(nonce: Hex, digest: Uint8Array): Buffer {
  return createHash("sha256").update(CHALLENGE_PREFIX).update(fromHex(nonce)).update(digest).digest();
}

/** A ceremony as a service passes it on, `snake_case`; undefined where a member is missing or has the wrong form. */
export function readCeremony(value: JsonValue | undefined): Ceremony | undefined {
  if (!isJsonObject(value)) return undefined;
  const { operation, operator_omni, account, key_id, label, device_key_hash, signer_origin, expires_at } = value;
  if (!isCeremonyOperation(operation) || !isBytes32(operator_omni) || !isAddressHex(account)) return undefined;
  if (typeof key_id !== "string" || typeof label !== "string" || !isBytes32(device_key_hash)) return undefined;
  if (typeof signer_origin !== "string" || !isWholeNumber(expires_at)) return undefined;
  return {
    operation,
    operatorOmni: operator_omni,
    account,
    keyId: key_id,
    label,
    deviceKeyHash: device_key_hash,
    signerOrigin: signer_origin,
    expiresAt: expires_at,
  };
}

/** A WebAuthn assertion as it travels: four base64url texts. */
export interface AssertionText {
  /** The raw credential id. */
  readonly credentialId: string;
  readonly authenticatorData: string;
  /** The exact bytes that were hashed. */
  readonly clientDataJSON: string;
  /** ASN.1 DER, s in either half. */
  readonly signature: string;
}

/** The four members of an assertion, of which nothing but that they are strings is known yet. */
export function readAssertionText(value: JsonValue | undefined): AssertionText | undefined {
  if (!isJsonObject(value)) return undefined;
  const { credentialId, authenticatorData, clientDataJSON, signature } = value;
  if (typeof credentialId !== "string" || typeof authenticatorData !== "string") return undefined;
  if (typeof clientDataJSON !== "string" || typeof signature !== "string") return undefined;
  return { credentialId, authenticatorData, clientDataJSON, signature };
}

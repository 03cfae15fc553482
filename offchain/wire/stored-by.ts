import { type Hex, isBytes32, isSignatureHex } from "./bytes";
import type { CapRequest } from "./cap-request";
import { type JsonObject, type JsonValue, isJsonObject, isWholeNumber } from "./json";
import type { DataClass } from "./names";

/** Who stored a version, provable by anyone: the device's own store cap without the names. @see protocol 3.4, 3.6 */
export interface StoredBy {
  readonly device_key_hash: Hex;
  readonly content_hash: Hex;
  readonly k3_epoch: number;
  readonly issued_at: number;
  readonly expires_at: number;
  readonly nonce: Hex;
  readonly client_sig: Hex;
}

/** What an object is called: an operator's actor, a class, a service. */
export interface ObjectName {
  readonly operatorOmni: Hex;
  readonly actorOmni: Hex;
  readonly dataClass: DataClass;
  readonly service: string;
}

/** The evidence that a cap leaves behind in what it stored. */
export function storedBy(cap: CapRequest, clientSig: Hex): StoredBy {
  return {
    device_key_hash: cap.deviceKeyHash,
    content_hash: cap.contentHash,
    k3_epoch: cap.k3Epoch,
    issued_at: cap.issuedAt,
    expires_at: cap.expiresAt,
    nonce: cap.nonce,
    client_sig: clientSig,
  };
}

/** The store cap rebuilt from the names that the reader asked for. */
export function storeRequestOf(name: ObjectName, by: StoredBy): CapRequest {
  return {
    operatorOmni: name.operatorOmni,
    actorOmni: name.actorOmni,
    deviceKeyHash: by.device_key_hash,
    service: name.service,
    op: "store",
    dataClass: name.dataClass,
    contentHash: by.content_hash,
    k3Epoch: by.k3_epoch,
    issuedAt: by.issued_at,
    expiresAt: by.expires_at,
    nonce: by.nonce,
  };
}

/** Reads the evidence, or undefined where a member is missing or has the wrong form. */
export function parseStoredBy(value: JsonValue | undefined): StoredBy | undefined {
  if (!isJsonObject(value)) return undefined;
  const { device_key_hash, content_hash, k3_epoch, issued_at, expires_at, nonce, client_sig }: JsonObject = value;
  if (!isBytes32(device_key_hash) || !isBytes32(content_hash) || !isBytes32(nonce)) return undefined;
  if (!isWholeNumber(k3_epoch) || !isWholeNumber(issued_at) || !isWholeNumber(expires_at)) return undefined;
  if (!isSignatureHex(client_sig)) return undefined;
  return { device_key_hash, content_hash, k3_epoch, issued_at, expires_at, nonce, client_sig };
}

/** True when both name the same store by the same device. */
export function sameStoredBy(a: StoredBy, b: StoredBy): boolean {
  return (
    a.device_key_hash === b.device_key_hash &&
    a.content_hash === b.content_hash &&
    a.k3_epoch === b.k3_epoch &&
    a.issued_at === b.issued_at &&
    a.expires_at === b.expires_at &&
    a.nonce === b.nonce &&
    a.client_sig === b.client_sig
  );
}

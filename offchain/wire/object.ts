import { createCipheriv, createDecipheriv, createHmac, randomBytes, timingSafeEqual } from "node:crypto";

import { type Hex, fromBase64url, isBytes32, toBase64url } from "./bytes";
import { type JsonObject, isWholeNumber, readJsonObject } from "./json";
import { isDataClass, isService } from "./names";
import { type ObjectName, type StoredBy, parseStoredBy } from "./stored-by";

/** `typ` of a stored object and of what teardown leaves in its place. */
export const OBJECT_TYP = "agentkeys-object";
export const TOMBSTONE_TYP = "agentkeys-tombstone";

/** Every member of each header: one that we do not write (`crit`, `zip`, `epk`) may mean something to another reader. */
const OBJECT_MEMBERS = [
  ...["alg", "enc", "typ", "kid", "operator_omni", "actor_omni", "data_class", "service"],
  ...["version", "content_salt", "stored_by"],
];
const TOMBSTONE_MEMBERS = ["typ", "operator_omni", "actor_omni", "data_class", "service", "version", "removed_by"];

/** Bytes of a content key: 32 for HMAC-SHA-512, 32 for AES-256-CBC. @see RFC 7518 section 5.2.5 */
export const CONTENT_KEY_BYTES = 64;

/** The protected header of one version of one object. @see protocol 3.6 */
export interface ObjectHeader {
  readonly name: ObjectName;
  /** K3 epoch whose object key wraps the content key. */
  readonly epoch: number;
  /** Counts up by one, from 1. */
  readonly version: number;
  readonly contentSalt: Hex;
  readonly storedBy: StoredBy;
}

/** A compact JWE taken apart; nothing in it is authenticated yet. */
export interface ParsedObject {
  readonly header: ObjectHeader;
  /** base64url of the protected header, as stored: the additional authenticated data. */
  readonly headerText: string;
  /** base64url of the wrapped content key. */
  readonly encryptedKey: string;
  readonly iv: Buffer;
  readonly ciphertext: Buffer;
  readonly tag: Buffer;
}

/** What teardown leaves: names and version only, so that versions never restart. */
export interface Tombstone {
  readonly name: ObjectName;
  readonly version: number;
  /** The teardown cap, for the record. */
  readonly removedBy: StoredBy;
}

/** base64url of the protected header. */
export function encodeObjectHeader(header: ObjectHeader): string {
  return toBase64url(
    JSON.stringify({
      alg: "A256KW",
      enc: "A256CBC-HS512",
      typ: OBJECT_TYP,
      kid: `k3:${String(header.epoch)}`,
      operator_omni: header.name.operatorOmni,
      actor_omni: header.name.actorOmni,
      data_class: header.name.dataClass,
      service: header.name.service,
      version: header.version,
      content_salt: header.contentSalt,
      stored_by: header.storedBy,
    }),
  );
}

/**
 * Reads a protected header, or undefined where anything is missing, of the wrong form, of another algorithm, or a member
 * is there that we do not write. @see RFC 7516 §4.1.13 (`crit`), §4.1.3 (`zip`)
 */
export function parseObjectHeader(text: string): ObjectHeader | undefined {
  const bytes = fromBase64url(text);
  const read = bytes === undefined ? undefined : readJsonObject(bytes);
  if (!read?.ok || !hasOnly(read.value, OBJECT_MEMBERS)) return undefined;
  const { alg, enc, typ, kid, version, content_salt, stored_by } = read.value;
  if (alg !== "A256KW" || enc !== "A256CBC-HS512" || typ !== OBJECT_TYP || typeof kid !== "string") return undefined;
  const epoch = /^k3:([1-9][0-9]{0,14})$/.exec(kid)?.[1];
  const name = parseName(read.value);
  const by = parseStoredBy(stored_by);
  if (epoch === undefined || name === undefined || by === undefined) return undefined;
  if (!isWholeNumber(version) || version < 1 || !isBytes32(content_salt)) return undefined;
  return { name, epoch: Number(epoch), version, contentSalt: content_salt, storedBy: by };
}

/** Encrypts one version under its own content key: compact JWE, A256CBC-HS512. @see RFC 7516, RFC 7518 section 5.2.5 */
export function encryptObject(
  headerText: string,
  encryptedKey: string,
  contentKey: Uint8Array,
  plaintext: Uint8Array,
): Buffer {
  const iv = randomBytes(16);
  const cipher = createCipheriv("aes-256-cbc", contentKey.subarray(32, 64), iv);
  const ciphertext = Buffer.concat([cipher.update(plaintext), cipher.final()]);
  const tag = tagOf(headerText, iv, ciphertext, contentKey);
  return Buffer.from([headerText, encryptedKey, toBase64url(iv), toBase64url(ciphertext), toBase64url(tag)].join("."));
}

/** Takes a stored object apart, or undefined where it is none. */
export function parseObject(bytes: Uint8Array): ParsedObject | undefined {
  const parts = Buffer.from(bytes).toString("latin1").split(".");
  const [headerText, encryptedKey, ivText, ciphertextText, tagText] = parts;
  if (parts.length !== 5 || headerText === undefined || encryptedKey === undefined) return undefined;
  const header = parseObjectHeader(headerText);
  const iv = fromBase64url(ivText);
  const ciphertext = fromBase64url(ciphertextText);
  const tag = fromBase64url(tagText);
  if (header === undefined || fromBase64url(encryptedKey) === undefined) return undefined;
  if (iv?.length !== 16 || ciphertext === undefined || tag?.length !== 32) return undefined;
  return { header, headerText, encryptedKey, iv, ciphertext, tag };
}

/** Authenticates, then decrypts; undefined when the content key or any byte is not the one that was stored. */
export function decryptObject(object: ParsedObject, contentKey: Uint8Array): Buffer | undefined {
  if (contentKey.length !== CONTENT_KEY_BYTES) return undefined;
  const tag = tagOf(object.headerText, object.iv, object.ciphertext, contentKey);
  if (!timingSafeEqual(tag, object.tag)) return undefined;
  try {
    const decipher = createDecipheriv("aes-256-cbc", contentKey.subarray(32, 64), object.iv);
    return Buffer.concat([decipher.update(object.ciphertext), decipher.final()]);
  } catch {
    return undefined;
  }
}

/** The bytes of a tombstone: a header and four empty parts. */
export function encodeTombstone(tombstone: Tombstone): Buffer {
  const header = JSON.stringify({
    typ: TOMBSTONE_TYP,
    operator_omni: tombstone.name.operatorOmni,
    actor_omni: tombstone.name.actorOmni,
    data_class: tombstone.name.dataClass,
    service: tombstone.name.service,
    version: tombstone.version,
    removed_by: tombstone.removedBy,
  });
  return Buffer.from(`${toBase64url(header)}....`);
}

/** Reads a tombstone, or undefined where the bytes are something else. */
export function parseTombstone(bytes: Uint8Array): Tombstone | undefined {
  const parts = Buffer.from(bytes).toString("latin1").split(".");
  if (parts.length !== 5 || parts.slice(1).some((part) => part !== "")) return undefined;
  const header = fromBase64url(parts[0]);
  const read = header === undefined ? undefined : readJsonObject(header);
  if (!read?.ok || read.value["typ"] !== TOMBSTONE_TYP || !hasOnly(read.value, TOMBSTONE_MEMBERS)) return undefined;
  const name = parseName(read.value);
  const removedBy = parseStoredBy(read.value["removed_by"]);
  const version = read.value["version"];
  if (name === undefined || removedBy === undefined || !isWholeNumber(version) || version < 1) return undefined;
  return { name, version, removedBy };
}

/** True when both are the same object. */
export function sameName(a: ObjectName, b: ObjectName): boolean {
  return (
    a.operatorOmni === b.operatorOmni &&
    a.actorOmni === b.actorOmni &&
    a.dataClass === b.dataClass &&
    a.service === b.service
  );
}

function hasOnly(header: JsonObject, members: readonly string[]): boolean {
  return Object.keys(header).every((member) => members.includes(member));
}

function parseName(header: JsonObject): ObjectName | undefined {
  const { operator_omni, actor_omni, data_class, service } = header;
  if (!isBytes32(operator_omni) || !isBytes32(actor_omni)) return undefined;
  if (!isDataClass(data_class) || !isService(service)) return undefined;
  return { operatorOmni: operator_omni, actorOmni: actor_omni, dataClass: data_class, service };
}

function tagOf(headerText: string, iv: Uint8Array, ciphertext: Uint8Array, contentKey: Uint8Array): Buffer {
  const aad = Buffer.from(headerText, "latin1");
  const bits = Buffer.alloc(8);
  bits.writeBigUInt64BE(BigInt(aad.length) * 8n);
  const mac = createHmac("sha512", contentKey.subarray(0, 32));
  return mac.update(aad).update(iv).update(ciphertext).update(bits).digest().subarray(0, 32);
}

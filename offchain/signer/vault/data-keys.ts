import { randomBytes } from "node:crypto";

import { burnOnce } from "../../http/burn";
import { type Redemption, replayEntries } from "../../verify/redeem";
import { fromBase64url, toBase64url } from "../../wire/bytes";
import { type DataKeysAnswer, type DataKeysRequest, parseDataKeysRequest } from "../../wire/data-keys";
import { CONTENT_KEY_BYTES, type ObjectHeader, parseObjectHeader, sameName } from "../../wire/object";
import { type Result, ok, refuse } from "../../wire/result";
import { type ObjectName, sameStoredBy, storedBy } from "../../wire/stored-by";
import { objectKeyOf } from "./epoch-key";
import { unwrapKey, wrapKey } from "./key-wrap";
import type { VaultParts } from "./parts";
import { verifyWorkerWords } from "./worker-words";

/**
 * Content keys for the one version that a device asks to read or write. The vault runs the whole list itself: the
 * pinned worker's path, cap, proof, chain facts by its own RPCs, its own replay memory, and what the header says.
 * Body shape, size and `contentHash` need the body and are the worker's; the device signed `body_hash`.
 * @see protocol 3.7
 */
export async function dataKeys(parts: VaultParts, caller: string, body: Buffer): Promise<Result<DataKeysAnswer>> {
  const parsed = parseDataKeysRequest(body);
  if (!parsed.ok) return parsed;
  const words = parsed.value;
  const verified = await verifyWorkerWords(parts, caller, words);
  if (!verified.ok) return verified;
  const { op } = verified.value.cap;
  if (op === "teardown" || op === "classify") return refuse("cap_op_mismatch", "This operation needs no content key.");
  const burned = await burnOnce(parts, "the vault", replayEntries("signer", verified.value));
  if (!burned.ok) return burned;
  if (op === "store") return drawKey(parts, verified.value, words);
  return op === "fetch" ? openKey(parts, verified.value, words) : replaceKey(parts, verified.value, words);
}

/** fetch: the header as read must name the cap's own object and a known epoch. */
async function openKey(parts: VaultParts, one: Redemption, words: DataKeysRequest): Promise<Result<DataKeysAnswer>> {
  const header = headerOf(one, words.header, one.facts.k3Epoch);
  if (!header.ok) return header;
  const contentKey = await unwrap(parts, header.value, words.encrypted_key);
  if (!contentKey.ok) return contentKey;
  return ok({ content_key: reveal(contentKey.value), encrypted_key: words.encrypted_key ?? "" });
}

/** store: the header as it will be written, at the current epoch, with the cap itself as evidence. */
async function drawKey(parts: VaultParts, one: Redemption, words: DataKeysRequest): Promise<Result<DataKeysAnswer>> {
  const header = headerOf(one, words.header, one.facts.k3Epoch);
  if (!header.ok) return header;
  if (header.value.epoch !== one.facts.k3Epoch) return refuse("k3_epoch_mismatch", "A write is for the current epoch.");
  if (!sameStoredBy(header.value.storedBy, storedBy(one.cap, one.clientSig))) {
    return refuse("request_malformed", "The header does not carry the cap that stores it.");
  }
  return wrapFresh(parts, header.value);
}

/** rotate: the old key opens, a new one is drawn; who stored what stays as it was. */
async function replaceKey(parts: VaultParts, one: Redemption, words: DataKeysRequest): Promise<Result<DataKeysAnswer>> {
  if (words.next_header === undefined) return refuse("request_malformed", "The header of the next version is missing.");
  const before = headerOf(one, words.header, one.facts.k3Epoch);
  if (!before.ok) return before;
  const after = headerOf(one, words.next_header, one.facts.k3Epoch);
  if (!after.ok) return after;
  if (after.value.epoch !== one.facts.k3Epoch) return refuse("k3_epoch_mismatch", "A write is for the current epoch.");
  const isSame =
    sameStoredBy(before.value.storedBy, after.value.storedBy) &&
    before.value.contentSalt === after.value.contentSalt &&
    after.value.version === before.value.version + 1;
  if (!isSame) return refuse("request_malformed", "A rotation changes epoch and version and nothing else.");
  const previous = await unwrap(parts, before.value, words.encrypted_key);
  if (!previous.ok) return previous;
  const fresh = await wrapFresh(parts, after.value);
  return fresh.ok ? ok({ ...fresh.value, previous_content_key: reveal(previous.value) }) : fresh;
}

function headerOf(one: Redemption, text: string, currentEpoch: number): Result<ObjectHeader> {
  const header = parseObjectHeader(text);
  if (header === undefined) return refuse("object_corrupt", "The header is not that of an object.");
  const { operatorOmni, actorOmni, dataClass, service } = one.cap;
  const name: ObjectName = { operatorOmni, actorOmni, dataClass, service };
  if (!sameName(header.name, name)) return refuse("object_corrupt", "The header names another object than the cap.");
  if (header.epoch > currentEpoch) return refuse("object_corrupt", "The header names an epoch that is not yet.");
  return ok(header);
}

async function unwrap(parts: VaultParts, header: ObjectHeader, text: string | undefined): Promise<Result<Buffer>> {
  const wrapped = fromBase64url(text);
  if (wrapped === undefined) return refuse("request_malformed", "The wrapped content key is missing.");
  const key = await objectKeyOf(parts, header.epoch, header.name);
  if (!key.ok) return key;
  const contentKey = unwrapKey(key.value, wrapped);
  key.value.fill(0);
  if (contentKey?.length === CONTENT_KEY_BYTES) return ok(contentKey);
  return refuse("object_corrupt", "The content key was not wrapped for this object.");
}

async function wrapFresh(parts: VaultParts, header: ObjectHeader): Promise<Result<DataKeysAnswer>> {
  const key = await objectKeyOf(parts, header.epoch, header.name);
  if (!key.ok) return key;
  const contentKey = randomBytes(CONTENT_KEY_BYTES);
  const wrapped = wrapKey(key.value, contentKey);
  key.value.fill(0);
  return ok({ content_key: reveal(contentKey), encrypted_key: toBase64url(wrapped) });
}

/** The text that leaves the vault; the bytes do not stay behind. */
function reveal(contentKey: Buffer): string {
  const text = toBase64url(contentKey);
  contentKey.fill(0);
  return text;
}

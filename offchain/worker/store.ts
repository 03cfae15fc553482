import { randomBytes } from "node:crypto";

import { fromBase64url } from "../wire/bytes";
import { contentHash } from "../wire/content-hash";
import { hpkeOpen } from "../wire/hpke";
import { encodeObjectHeader, encryptObject } from "../wire/object";
import { STORE_INFO, type StoreBody, type StorePayload, type WriteAnswer, parseSealedPayload } from "../wire/redeem";
import { type Result, ok, refuse } from "../wire/result";
import { storedBy } from "../wire/stored-by";
import { readCurrent } from "./current";
import type { WorkerParts } from "./parts";
import { type ProvedRequest, burn } from "./redemption";
import { writeVersion } from "./write";

/** Writes the next version, under a content key that the vault draws for it alone. @see protocol 3.4, 3.6 */
export async function storeObject(
  parts: WorkerParts,
  proved: ProvedRequest,
  body: StoreBody,
): Promise<Result<WriteAnswer>> {
  const opened = await openPayload(parts, proved, body);
  if (!opened.ok) return opened;
  const { plaintext, contentSalt } = opened.value;
  if (contentHash(contentSalt, plaintext) !== proved.cap.contentHash) {
    return refuse("content_hash_mismatch", "The payload is not the one that the device signed.");
  }
  const current = await readCurrent(parts, proved);
  if (!current.ok) return current;
  if (body.ifVersion !== undefined && body.ifVersion !== current.value.version) {
    return refuse("version_conflict", "if_version is not the current version; nothing was burned.");
  }
  const burned = await burn(parts, proved);
  if (!burned.ok) return burned;
  const header = encodeObjectHeader({
    name: proved.name,
    epoch: proved.cap.k3Epoch,
    version: current.value.version + 1,
    contentSalt,
    storedBy: storedBy(proved.cap, proved.clientSig),
  });
  const keys = await parts.signer.dataKeys({ ...proved.words, header });
  if (!keys.ok) return keys;
  const contentKey = fromBase64url(keys.value.content_key) ?? randomBytes(0);
  const bytes = encryptObject(header, keys.value.encrypted_key, contentKey, plaintext);
  contentKey.fill(0);
  plaintext.fill(0);
  return writeVersion(parts, proved, current.value, bytes);
}

async function openPayload(parts: WorkerParts, proved: ProvedRequest, body: StoreBody): Promise<Result<StorePayload>> {
  if (!("sealed" in body.payload)) return ok(body.payload);
  const info = Buffer.concat([Buffer.from(STORE_INFO), proved.capDigest]);
  const clear = await hpkeOpen(parts.sealKey, info, body.payload.sealed);
  if (clear === undefined) return refuse("payload_invalid", "The sealed payload does not open with this worker's key.");
  return parseSealedPayload(clear);
}

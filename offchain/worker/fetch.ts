import { fromBase64url, toBase64url } from "../wire/bytes";
import { ZERO32 } from "../wire/bytes";
import { hpkeSeal } from "../wire/hpke";
import { decryptObject } from "../wire/object";
import { type FetchAnswer, REPLY_INFO } from "../wire/redeem";
import { type Result, ok, refuse } from "../wire/result";
import { readCurrent } from "./current";
import type { WorkerParts } from "./parts";
import { type ProvedRequest, auditIntent, auditOutcome, burn } from "./redemption";

/** Reads one version for the device that asked, sealed to the key it named. @see protocol 3.4 */
export async function fetchObject(
  parts: WorkerParts,
  proved: ProvedRequest,
): Promise<Result<FetchAnswer | { readonly sealed: string }>> {
  const burned = await burn(parts, proved);
  if (!burned.ok) return burned;
  const current = await readCurrent(parts, proved);
  if (!current.ok) return current;
  const { object } = current.value;
  if (object === undefined) return refuse("object_not_found", "Nothing is stored under this name.");
  const keys = await parts.signer.dataKeys({
    ...proved.words,
    header: object.headerText,
    encrypted_key: object.encryptedKey,
  });
  if (!keys.ok) return keys;
  const intent = await auditIntent(parts, proved, object.header.version);
  if (!intent.ok) return intent;
  const contentKey = fromBase64url(keys.value.content_key) ?? Buffer.alloc(0);
  const plaintext = decryptObject(object, contentKey);
  contentKey.fill(0);
  const result = plaintext === undefined ? "corrupt" : "read";
  const audited = await auditOutcome(parts, proved, { result, version: object.header.version });
  if (plaintext === undefined) return refuse("object_corrupt", "The object does not open with its content key.");
  if (!audited.ok) return audited;
  const answer: FetchAnswer = {
    payload_b64: toBase64url(plaintext),
    content_salt: object.header.contentSalt,
    version: object.header.version,
    stored_by: object.header.storedBy,
  };
  plaintext.fill(0);
  return proved.proof.sealTo === ZERO32 ? ok(answer) : seal(proved, answer);
}

async function seal(proved: ProvedRequest, answer: FetchAnswer): Promise<Result<{ readonly sealed: string }>> {
  const info = Buffer.concat([Buffer.from(REPLY_INFO), proved.proofDigest]);
  const clear = Buffer.from(JSON.stringify(answer));
  const sealed = await hpkeSeal(proved.proof.sealTo, info, clear);
  clear.fill(0);
  return ok({ sealed: toBase64url(sealed) });
}

import { fromBase64url } from "../wire/bytes";
import { decryptObject, encodeObjectHeader, encryptObject } from "../wire/object";
import { type WriteAnswer } from "../wire/redeem";
import { type Result, refuse } from "../wire/result";
import { readCurrent } from "./current";
import type { WorkerParts } from "./parts";
import { type ProvedRequest, burn } from "./redemption";
import { writeVersion } from "./write";

/** Writes the same plaintext as a new version under the current epoch; who stored it stays who stored it. @see protocol 3.7 */
export async function rotateObject(parts: WorkerParts, proved: ProvedRequest): Promise<Result<WriteAnswer>> {
  const current = await readCurrent(parts, proved);
  if (!current.ok) return current;
  const { object } = current.value;
  if (object === undefined) return refuse("object_not_found", "Nothing is stored under this name.");
  const burned = await burn(parts, proved);
  if (!burned.ok) return burned;
  const nextHeader = encodeObjectHeader({
    ...object.header,
    epoch: proved.cap.k3Epoch,
    version: current.value.version + 1,
  });
  const keys = await parts.signer.dataKeys({
    ...proved.words,
    header: object.headerText,
    encrypted_key: object.encryptedKey,
    next_header: nextHeader,
  });
  if (!keys.ok) return keys;
  const before = fromBase64url(keys.value.previous_content_key);
  const after = fromBase64url(keys.value.content_key);
  const plaintext = before === undefined ? undefined : decryptObject(object, before);
  before?.fill(0);
  if (plaintext === undefined || after === undefined) {
    return refuse("object_corrupt", "The object does not open with its content key.");
  }
  const bytes = encryptObject(nextHeader, keys.value.encrypted_key, after, plaintext);
  plaintext.fill(0);
  after.fill(0);
  return writeVersion(parts, proved, current.value, bytes);
}

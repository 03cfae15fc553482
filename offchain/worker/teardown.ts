import { encodeTombstone } from "../wire/object";
import { type WriteAnswer } from "../wire/redeem";
import { type Result, refuse } from "../wire/result";
import { storedBy } from "../wire/stored-by";
import { readCurrent } from "./current";
import type { WorkerParts } from "./parts";
import { type ProvedRequest, burn } from "./redemption";
import { writeVersion } from "./write";

/** Leaves a tombstone in the object's place; the vault is not asked. @see protocol 3.6 */
export async function teardownObject(parts: WorkerParts, proved: ProvedRequest): Promise<Result<WriteAnswer>> {
  const current = await readCurrent(parts, proved);
  if (!current.ok) return current;
  if (current.value.object === undefined) return refuse("object_not_found", "Nothing is stored under this name.");
  const burned = await burn(parts, proved);
  if (!burned.ok) return burned;
  const bytes = encodeTombstone({
    name: proved.name,
    version: current.value.version + 1,
    removedBy: storedBy(proved.cap, proved.clientSig),
  });
  return writeVersion(parts, proved, current.value, bytes);
}

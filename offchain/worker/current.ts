import { orUnavailable } from "../http/store-probes";
import type { StoredObject } from "../store/objects";
import { sha256Hex } from "../wire/content-hash";
import { type ParsedObject, type Tombstone, parseObject, parseTombstone, sameName } from "../wire/object";
import { type Result, ok, refuse } from "../wire/result";
import type { WorkerParts } from "./parts";
import type { ProvedRequest } from "./redemption";

/** What lies under a name now, agreed to by object store and database. `version` 0: nothing was ever stored. */
export interface Current {
  readonly version: number;
  readonly stored: StoredObject | undefined;
  readonly object: ParsedObject | undefined;
  readonly tombstone: Tombstone | undefined;
}

/**
 * Reads the current version and holds it against the worker's own record: lower, missing, or the same version with
 * other bytes is `object_corrupt` (`rolled_back`); higher is what a crash left between the two and is recorded.
 * @see protocol 3.6
 */
export async function readCurrent(parts: WorkerParts, proved: ProvedRequest): Promise<Result<Current>> {
  const read = await orUnavailable("storage_unavailable", parts.log, async () => ({
    record: await parts.versions.get(proved.path),
    stored: await parts.objects.get(proved.path),
  }));
  if (!read.ok) return read;
  const { record, stored } = read.value;
  if (stored === undefined) {
    return record === undefined
      ? ok({ version: 0, stored, object: undefined, tombstone: undefined })
      : rolledBack("The store holds nothing where this worker stored a version.");
  }
  const object = parseObject(stored.bytes);
  const tombstone = object === undefined ? parseTombstone(stored.bytes) : undefined;
  const name = object?.header.name ?? tombstone?.name;
  const version = object?.header.version ?? tombstone?.version;
  if (name === undefined || version === undefined) return refuse("object_corrupt", "What is stored is no object.");
  if (record !== undefined && version < record.version) return rolledBack("An older version lies in the store.");
  const digest = sha256Hex(stored.bytes);
  if (record?.version === version && record.digest !== digest) return rolledBack("The version has other bytes.");
  if (!sameName(name, proved.name)) return refuse("object_corrupt", "What is stored bears another name.");
  if (record?.version !== version) {
    const kept = await orUnavailable("storage_unavailable", parts.log, () =>
      parts.versions.set(proved.path, { version, digest }),
    );
    if (!kept.ok) return kept;
  }
  return ok({ version, stored, object, tombstone });
}

function rolledBack(detail: string): Result<never> {
  return refuse("object_corrupt", detail, "rolled_back");
}

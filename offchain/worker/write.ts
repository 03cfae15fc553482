import { orUnavailable } from "../http/store-probes";
import { sha256Hex } from "../wire/content-hash";
import type { WriteAnswer } from "../wire/redeem";
import { type Result, ok, refuse } from "../wire/result";
import type { Current } from "./current";
import type { WorkerParts } from "./parts";
import { type ProvedRequest, auditIntent, auditOutcome } from "./redemption";

/** Intent, compare-and-swap, the worker's own record, outcome: the end of every write. @see protocol 3.4 */
export async function writeVersion(
  parts: WorkerParts,
  proved: ProvedRequest,
  current: Current,
  bytes: Buffer,
): Promise<Result<WriteAnswer>> {
  const version = current.version + 1;
  const intent = await auditIntent(parts, proved, version);
  if (!intent.ok) return intent;
  const digest = sha256Hex(bytes);
  const written = await orUnavailable("storage_unavailable", parts.log, async () => {
    const outcome = await parts.objects.put(proved.path, bytes, current.stored?.tag);
    if (outcome === "written") await parts.versions.set(proved.path, { version, digest });
    return outcome;
  });
  if (!written.ok) return written;
  const audited = await auditOutcome(parts, proved, { result: written.value, version, digest });
  if (written.value === "conflict") return refuse("version_conflict", "Another write came first: read, and mint anew.");
  return audited.ok ? ok({ version, digest }) : audited;
}

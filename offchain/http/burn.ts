import type { ReplayStore } from "../store/replay";
import type { ReplayEntry } from "../wire/replay-entry";
import { type Result, ok, refuse } from "../wire/result";
import type { Logger } from "./log";
import { orUnavailable } from "./store-probes";

/** Whose memory it is, and where the store's trouble is logged. */
export interface BurnParts {
  readonly replay: ReplayStore;
  readonly log: Logger;
}

/**
 * Sets all entries or none: a proof's and, for writes, its cap's. The first that is not fresh answers: `cap_already_used`
 * for a cap's, `proof_invalid` (`replayed`, or `stale` where it is older than the store) for a proof's;
 * `replay_store_unavailable` where the store does not answer. `owner` is who remembers, as "this worker".
 * @see protocol 3.2, 3.11
 */
export async function burnOnce(
  { replay, log }: BurnParts,
  owner: string,
  entries: readonly ReplayEntry[],
): Promise<Result<undefined>> {
  const answer = await orUnavailable("replay_store_unavailable", log, () => replay.setOnce(entries));
  if (!answer.ok) return answer;
  if (answer.value.outcome === "fresh") return ok(undefined);
  if (entries[answer.value.index]?.kind === "cap") {
    return refuse("cap_already_used", `This cap was used, or is older than ${owner}'s memory: mint anew.`);
  }
  return answer.value.outcome === "replayed"
    ? refuse("proof_invalid", "This proof was seen before.", "replayed")
    : refuse("proof_invalid", `This proof is older than ${owner}'s memory.`, "stale");
}

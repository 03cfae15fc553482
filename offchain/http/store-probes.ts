import type { ReplayStore } from "../store/replay";
import { StoreUnavailable } from "../store/unavailable";
import type { ProblemCode } from "../wire/problem";
import { type Result, ok, refuse } from "../wire/result";
import type { Logger } from "./log";

/** `/readyz` waits until what is made now is younger than the store's start fence. @see services note 4 */
export function replayFenceIsPast(replay: ReplayStore, now: number): Result<unknown> {
  if (now > replay.fence) return ok(undefined);
  return refuse("replay_store_unavailable", "Just started: what was made before its memory began is still refused.");
}

/** Turns the store's one exception into a refusal; anything else is a bug and goes on. */
export async function orUnavailable<T>(code: ProblemCode, log: Logger, act: () => Promise<T>): Promise<Result<T>> {
  try {
    return ok(await act());
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    log.error({ err: error }, code);
    return refuse(code, "A store did not answer; trying again later may work.");
  }
}

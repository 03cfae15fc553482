import { setTimeout as sleep } from "node:timers/promises";

import { StoreUnavailable } from "../../../store/unavailable";

const PATIENCE_MS = 10_000;
const STEP_MS = 50;

/** Does something that needs the folder's lock, waiting up to ten seconds for another writer to finish. */
export async function whenFree<T>(act: () => T): Promise<T> {
  const until = performance.now() + PATIENCE_MS;
  for (;;) {
    try {
      return act();
    } catch (error) {
      if (!(error instanceof StoreUnavailable) || performance.now() > until) throw error;
      await sleep(STEP_MS);
    }
  }
}

import type { ReplayStore } from "./replay";
import { FENCE_SECONDS, ReplaySet, keyOf } from "./replay-set";

const EXPIRE_MS = 30_000;

/**
 * Replay memory that ends with the process: for tests and for comparing speeds, never for production.
 * `fenced: false` leaves the start fence out, so that a test need not wait for it.
 */
export function memoryReplay(options: { readonly now: () => number; readonly fenced?: boolean }): ReplayStore {
  const { now } = options;
  const set = new ReplaySet(options.fenced === false ? -1 : now() + FENCE_SECONDS);
  const timer = setInterval(() => {
    set.expire(now());
  }, EXPIRE_MS).unref();
  return {
    fence: set.fence,
    setOnce: (entries) => Promise.resolve(set.check(entries, entries.map(keyOf))),
    close() {
      clearInterval(timer);
      return Promise.resolve();
    },
  };
}

import type { ReplayStore } from "./replay";
import { FENCE_SECONDS, ReplaySet } from "./replay-set";

/** Replay memory that ends with the process: for tests and for comparing speeds, never for production. */
export function memoryReplay(options: { readonly now: () => number; readonly fenced?: boolean }): ReplayStore {
  const { now } = options;
  const set = new ReplaySet(options.fenced === false ? -1 : now() + FENCE_SECONDS);
  const timer = setInterval(() => set.expire(now()), 30_000).unref();
  return {
    fence: set.fence,
    setOnce: (entries) => Promise.resolve(set.check(entries)),
    close() {
      clearInterval(timer);
      return Promise.resolve();
    },
  };
}

import type { ReplayEntry } from "../wire/replay-entry";

export type { ReplayEntry } from "../wire/replay-entry";

/** `fresh`: all were unseen and are set now. Otherwise none was set, and `index` names the first that refused. */
export type ReplayAnswer =
  | { readonly outcome: "fresh" }
  /** Seen before. */
  | { readonly outcome: "replayed"; readonly index: number }
  /** Made before this store could vouch for it (start fence). */
  | { readonly outcome: "fenced"; readonly index: number };

/** Atomic check-and-set of all entries or none, durable before it answers. Throws `StoreUnavailable`. */
export interface ReplayStore {
  setOnce(entries: readonly ReplayEntry[]): Promise<ReplayAnswer>;
  /** Unix seconds: what was issued at or before it is fenced; `/readyz` waits until the clock has passed it. */
  readonly fence: number;
  close(): Promise<void>;
}

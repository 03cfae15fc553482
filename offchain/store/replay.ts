import type { Hex } from "../wire/bytes";

/** One thing that may be seen once. @see protocol 3.2 */
export interface ReplayEntry {
  readonly receiver: "broker" | `worker:${string}` | "signer";
  readonly kind: "proof" | "cap";
  /** Device key hash. */
  readonly device: Hex;
  readonly nonce: Hex;
  /** When the device says it made it, Unix seconds: what the start fence looks at. */
  readonly issuedAt: number;
  /** Unix seconds until which the entry must be remembered: `issued_at` + 125 for a proof, `expires_at` + 60 for a cap. */
  readonly keepUntil: number;
}

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

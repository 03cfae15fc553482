import type { Hex } from "./bytes";

/** One thing that may be seen once. @see protocol 3.2 */
export interface ReplayEntry {
  readonly receiver: "broker" | `worker:${string}` | "signer" | "signer:audit";
  readonly kind: "proof" | "cap";
  /** Device key hash. */
  readonly device: Hex;
  readonly nonce: Hex;
  /** When the device says it made it, Unix seconds: what the start fence looks at. */
  readonly issuedAt: number;
  /** Unix seconds until which the entry must be remembered: `issued_at` + 125 for a proof, `expires_at` + 60 for a cap. */
  readonly keepUntil: number;
}

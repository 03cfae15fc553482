import type { KmsLimits } from "../../offchain/signer/vault/kms/limits";

/** Counts nothing. */
export const noLimits: KmsLimits = {
  takeSignature: () => undefined,
  sourceRetryAfter: () => undefined,
  noteUnproved: () => undefined,
};

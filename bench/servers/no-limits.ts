import type { SourceLimits } from "../../offchain/signer/front/source-limits";
import type { KmsLimits } from "../../offchain/signer/vault/kms/limits";

/** Counts nothing. */
export const noLimits: KmsLimits & SourceLimits = {
  takeSignature: () => undefined,
  retryAfter: () => undefined,
  enter: () => Promise.resolve(undefined),
  leave: () => undefined,
};

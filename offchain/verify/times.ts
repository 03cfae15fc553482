/** Seconds that a sender's clock may be ahead of the receiver's. @see protocol 3.1 */
export const AHEAD_SECONDS = 5;

/** Seconds that something may be old at its first receipt. @see protocol 3.1 */
export const BEHIND_SECONDS = 60;

/** Longest life of a cap. @see protocol 3.3 */
export const MAX_CAP_SECONDS = 300;

/** Seconds that a cap at a worker or vault may be ahead of its clock. @see protocol 3.11 */
export const CAP_AHEAD_SECONDS = 10;

/** Seconds after `issued_at` for which a proof's nonce is remembered. @see protocol 3.2 */
export const PROOF_KEPT_SECONDS = 125;

/** Seconds after `expires_at` for which a burned cap is remembered. @see protocol 3.2 */
export const CAP_KEPT_SECONDS = 60;

/** True for what was made within the window of a first receipt. */
export function isFresh(issuedAt: number, now: number): boolean {
  return issuedAt <= now + AHEAD_SECONDS && issuedAt >= now - BEHIND_SECONDS;
}

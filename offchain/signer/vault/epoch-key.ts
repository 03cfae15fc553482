import { type Result, ok, refuse } from "../../wire/result";
import { matchesCommitment } from "./k3";
import type { VaultParts } from "./parts";

/** K3 of an epoch, if it is the one that the chain was committed to; never a fresh one. @see services note 4.3 */
export async function epochKey(parts: VaultParts, epoch: number): Promise<Result<Buffer>> {
  const k3 = parts.ring().get(epoch)?.reveal();
  if (k3 === undefined) return unavailable(parts, epoch, "this vault has no key for it");
  const commitment = await parts.chain.k3Commitment(epoch);
  if (!commitment.ok) return commitment;
  return matchesCommitment(epoch, k3, commitment.value)
    ? ok(k3)
    : unavailable(parts, epoch, "this vault's key is not the one the chain was committed to");
}

function unavailable(parts: VaultParts, epoch: number, why: string): Result<never> {
  parts.log.error({ epoch, why }, "no key for the epoch");
  return refuse("signer_unavailable", "The vault has no usable key for this epoch.");
}

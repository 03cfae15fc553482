import { burnOnce } from "../../http/burn";
import { proofEntry } from "../../verify/proof";
import { AUDIT_ROW_TYPE, parseAuditRowRequest } from "../../wire/audit-row";
import { type Result, ok } from "../../wire/result";
import type { VaultParts } from "./parts";
import { signedJwt } from "./sts";
import { verifyWorkerWords } from "./worker-words";

/**
 * Signs a row of a worker's audit log. The vault composes it from what it verified by itself; what came of the request is
 * marked as the worker's word. One row a proof: the worker cannot have two outcomes signed. @see protocol 3.7
 */
export async function auditRow(
  parts: VaultParts,
  caller: string,
  body: Buffer,
): Promise<Result<{ readonly row: string }>> {
  const parsed = parseAuditRowRequest(body);
  if (!parsed.ok) return parsed;
  const { outcome, ...words } = parsed.value;
  const verified = await verifyWorkerWords(parts, caller, words);
  if (!verified.ok) return verified;
  const { cap, proof, facts } = verified.value;
  const burned = await burnOnce(parts, "the vault", [proofEntry("signer:audit", proof)]);
  if (!burned.ok) return burned;
  const claims = {
    iss: parts.publicOrigin,
    iat: parts.now(),
    op: cap.op,
    data_class: cap.dataClass,
    operator_omni: cap.operatorOmni,
    actor_omni: cap.actorOmni,
    device_key_hash: cap.deviceKeyHash,
    service: cap.service,
    cap_nonce: cap.nonce,
    proof_nonce: proof.nonce,
    block_number: facts.blockNumber,
    block_hash: facts.blockHash,
    outcome: { claimed_by: caller.slice("URI:".length), ...outcome },
  };
  return ok({ row: await signedJwt(parts, "audit", AUDIT_ROW_TYPE, claims) });
}

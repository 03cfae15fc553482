import type { RequestContext } from "../http/routes";
import { burnOnce } from "../http/burn";
import { orUnavailable } from "../http/store-probes";
import { type Redemption, replayEntries, verifyRedemption } from "../verify/redeem";
import type { AuditOutcome } from "../wire/audit-row";
import { ZERO32 } from "../wire/bytes";
import { sha256Hex } from "../wire/content-hash";
import type { DataKeysRequest } from "../wire/data-keys";
import { objectPath } from "../wire/names";
import { isLoopbackOrigin } from "../wire/origin";
import { PROOF_HEADER } from "../wire/request-proof";
import type { RedeemRoute } from "../wire/redeem";
import { type Result, ok, refuse } from "../wire/result";
import type { ObjectName } from "../wire/stored-by";
import type { WorkerParts } from "./parts";

/** A request whose device, cap, proof and chain facts hold; content, replay store and object come next. */
export interface ProvedRequest extends Redemption {
  readonly name: ObjectName;
  readonly path: string;
  readonly requestId: string;
  /** The device's words for the vault, the object's header aside. */
  readonly words: Omit<DataKeysRequest, "header">;
}

/** The list of protocol 3.4 up to the chain facts, by this worker for itself. */
export async function prove(
  parts: WorkerParts,
  route: RedeemRoute,
  request: RequestContext,
): Promise<Result<ProvedRequest>> {
  const capText = request.header("authorization");
  const proofText = request.header(PROOF_HEADER);
  const target = parts.origin + route.path;
  const bodyHash = sha256Hex(request.body);
  const verified = await verifyRedemption({
    capText,
    proofText,
    method: request.method,
    target,
    bodyHash,
    route,
    audience: `agentkeys:worker:${parts.dataClass}`,
    issuer: parts.brokerOrigin,
    brokerKey: (kid) => parts.brokerKeys.key(kid),
    separator: parts.separator,
    now: parts.now(),
    chain: parts.chain,
    cache: parts.cache,
    capPopRequired: parts.capPopRequired,
  });
  if (!verified.ok) return verified;
  const { cap, proof } = verified.value;
  if (cap.op === "fetch" && proof.sealTo === ZERO32 && !isLoopbackOrigin(parts.origin)) {
    return refuse("request_malformed", "Beyond loopback a fetch must name a key that its answer is sealed to.");
  }
  const { operatorOmni, actorOmni, dataClass, service } = cap;
  return ok({
    ...verified.value,
    name: { operatorOmni, actorOmni, dataClass, service },
    path: objectPath(actorOmni, dataClass, service),
    requestId: request.requestId,
    words: { cap: capText, proof: proofText, method: request.method, target, body_hash: bodyHash },
  });
}

/** Sets the proof's nonce and, for writes, the cap's in one step; a refusal by either sets neither. @see protocol 3.11 */
export function burn(parts: WorkerParts, proved: ProvedRequest): Promise<Result<undefined>> {
  return burnOnce(parts, "this worker", replayEntries(`worker:${parts.dataClass}`, proved));
}

/** What is about to happen, durable before it does. @see protocol 3.4 (durable audit intent) */
export function auditIntent(parts: WorkerParts, proved: ProvedRequest, version: number): Promise<Result<void>> {
  return append(parts, proved, "intent", { version });
}

/**
 * What came of it; the answer waits for it. The vault is asked to sign a row of its own over the same request, kept with
 * the worker's: evidence where the vault answers. Where it does not, the row says so, and the request goes on: what the
 * order of protocol 3.4 asks to be durable is this worker's own row. @see protocol 3.7 "sign/audit-row"
 */
export async function auditOutcome(
  parts: WorkerParts,
  proved: ProvedRequest,
  outcome: AuditOutcome,
): Promise<Result<void>> {
  const { result, version, digest } = outcome;
  const signed = await parts.signer.auditRow({ ...proved.words, outcome });
  if (!signed.ok) parts.log.warn({ requestId: proved.requestId, code: signed.failure.code }, "the row is not signed");
  return append(parts, proved, result, {
    ...(version === undefined ? {} : { version }),
    ...(digest === undefined ? {} : { digest }),
    ...(signed.ok ? { signed: signed.value.row } : { unsigned: signed.failure.code }),
  });
}

function append(
  parts: WorkerParts,
  proved: ProvedRequest,
  event: string,
  more: Readonly<Record<string, string | number>>,
): Promise<Result<void>> {
  const { cap, requestId, facts } = proved;
  const row = {
    time: parts.now(),
    event,
    request: requestId,
    op: cap.op,
    class: cap.dataClass,
    operator: cap.operatorOmni,
    actor: cap.actorOmni,
    device: cap.deviceKeyHash,
    service: cap.service,
    cap: cap.nonce,
    block: facts.blockNumber,
    ...more,
  };
  return orUnavailable("audit_unavailable", parts.log, () => parts.audit.append(row));
}

import { type Redemption, verifyRedemption } from "../../verify/redeem";
import type { DataKeysRequest } from "../../wire/data-keys";
import { REDEEM_ROUTES, type RedeemRoute } from "../../wire/redeem";
import { type Result, ok, refuse } from "../../wire/result";
import { workerName } from "../../wire/service-routes";
import type { VaultParts } from "./parts";

/** The device's own words as a worker hands them on. */
export type WorkerWords = Pick<DataKeysRequest, "cap" | "proof" | "method" | "target" | "body_hash">;

/**
 * The whole list of protocol 3.4 up to the chain facts, by the vault for itself: the pinned worker's path, cap, proof,
 * chain facts by its own RPCs; then whether the caller is the worker of that class. @see protocol 3.7
 */
export async function verifyWorkerWords(
  parts: VaultParts,
  caller: string,
  words: WorkerWords,
): Promise<Result<Redemption>> {
  const pinned = pinnedRoute(parts, words);
  if (!pinned.ok) return pinned;
  const route = pinned.value;
  const verified = await verifyRedemption({
    capText: words.cap,
    proofText: words.proof,
    method: words.method,
    target: words.target,
    bodyHash: words.body_hash,
    route,
    audience: `agentkeys:worker:${String(route.dataClass)}`,
    issuer: parts.brokerOrigin,
    brokerKey: (kid) => parts.brokerKeys.key(kid),
    separator: parts.separator,
    now: parts.now(),
    chain: parts.chain,
    cache: parts.cache,
  });
  if (!verified.ok || caller === workerName(String(route.dataClass))) return verified;
  return refuse("caller_not_allowed", "The caller is the worker of another class.");
}

/** POST to a listed path of a pinned worker. */
function pinnedRoute(parts: VaultParts, words: WorkerWords): Result<RedeemRoute> {
  const route = REDEEM_ROUTES.find((one) => {
    const origin = one.dataClass === undefined ? undefined : parts.workerOrigins.get(one.dataClass);
    return origin !== undefined && words.target === origin + one.path;
  });
  if (route !== undefined && words.method === "POST") return ok(route);
  return refuse("proof_invalid", "The request was not made for a worker that this vault knows.", "mismatch");
}

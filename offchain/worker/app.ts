import type { RequestListener } from "node:http";

import { CONTROL_LIMIT, type RequestContext, type Route, serviceApp } from "../http/routes";
import { orUnavailable, replayFenceIsPast } from "../http/store-probes";
import { PROOF_HEADER } from "../wire/request-proof";
import { REDEEM_ROUTES, type RedeemRoute, parseEmptyBody, parseStoreBody } from "../wire/redeem";
import type { Result } from "../wire/result";
import { fetchObject } from "./fetch";
import type { WorkerParts } from "./parts";
import { prove } from "./redemption";
import { rotateObject } from "./rotate";
import { storeObject } from "./store";
import { teardownObject } from "./teardown";

/** Body limit of `store`: 1 MiB of plaintext in base64url, with its salt. @see protocol 3.1 */
export const STORE_LIMIT = 1_572_864;

/** The worker of one data class: checks a cap as if the broker were hostile. @see services note 4.2 */
export function workerApp(parts: WorkerParts): RequestListener {
  const routes = REDEEM_ROUTES.filter((route) => route.dataClass === parts.dataClass).map((route): Route => ({
    method: "POST",
    path: route.path,
    limit: route.op === "store" ? STORE_LIMIT : CONTROL_LIMIT,
    single: ["authorization", PROOF_HEADER],
    handle: (request) => redeem(parts, route, request),
  }));
  const probes = {
    chain: () => parts.chain.ready(),
    "broker keys": () => Promise.resolve(parts.brokerKeys.ready()),
    replay: () => Promise.resolve(replayFenceIsPast(parts.replay, parts.now())),
    objects: () => orUnavailable("storage_unavailable", parts.log, () => parts.objects.get(".ready")),
    signer: () => parts.signer.ready(),
  };
  return serviceApp({ routes, log: parts.log, metrics: parts.metrics, probes });
}

/** Shape first, then the list; what is left of the order is the operation's own. @see protocol 3.4 */
async function redeem(parts: WorkerParts, route: RedeemRoute, request: RequestContext): Promise<Result<unknown>> {
  if (route.op === "store") {
    const body = parseStoreBody(request.body);
    if (!body.ok) return body;
    const proved = await prove(parts, route, request);
    return proved.ok ? storeObject(parts, proved.value, body.value) : proved;
  }
  const body = parseEmptyBody(request.body);
  if (!body.ok) return body;
  const proved = await prove(parts, route, request);
  if (!proved.ok) return proved;
  if (route.op === "fetch") return fetchObject(parts, proved.value);
  return route.op === "teardown" ? teardownObject(parts, proved.value) : rotateObject(parts, proved.value);
}

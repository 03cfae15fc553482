import type { RequestListener } from "node:http";

import type { ChainReader } from "../chain/reader";
import type { Logger } from "../http/log";
import type { Metrics } from "../http/metrics";
import { CONTROL_LIMIT, type Route, serviceApp } from "../http/routes";
import type { SignerClient } from "../http/signer-client";
import { replayFenceIsPast } from "../http/store-probes";
import type { ReplayStore } from "../store/replay";
import { StoreUnavailable } from "../store/unavailable";
import { verifyMint } from "../verify/mint";
import { capAudience, encodeCap } from "../wire/cap";
import { MINT_ROUTES, type MintAnswer, type MintRoute } from "../wire/mint";
import { parseEmptyBody } from "../wire/redeem";
import { PROOF_HEADER } from "../wire/request-proof";
import { type Result, ok, refuse } from "../wire/result";
import { STS_ROUTES, type StsAnswer } from "../wire/sts";
import type { KeyRing } from "./keys";

/** What a broker is made of. It holds K1 and nothing that decrypts. */
export interface BrokerParts {
  /** Its public base URL: `iss` of every cap. */
  readonly origin: string;
  readonly separator: Uint8Array;
  readonly chain: ChainReader;
  readonly replay: ReplayStore;
  readonly keys: KeyRing;
  /** Where tokens for object stores come from; undefined where no signer is configured. */
  readonly signer?: Pick<SignerClient, "stsCredentials"> | undefined;
  /** Unix seconds. */
  readonly now: () => number;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Checks and countersigns caps; publishes its keys. @see protocol 3.3 */
export function brokerApp(parts: BrokerParts): RequestListener {
  const mints = MINT_ROUTES.map((route): Route => ({
    method: "POST",
    path: route.path,
    limit: CONTROL_LIMIT,
    handle: (request) => mint(parts, route, request.body),
  }));
  const { signer } = parts;
  const tokens = signer === undefined ? [] : STS_ROUTES.map((route) => stsRoute(route.path, parts.origin, signer));
  const jwks: Route = {
    method: "GET",
    path: "/.well-known/jwks.json",
    limit: 0,
    cacheControl: "max-age=60",
    handle: () => ok(parts.keys.jwks(parts.now())),
  };
  const probes = {
    chain: () => parts.chain.ready(),
    replay: () => Promise.resolve(replayFenceIsPast(parts.replay, parts.now())),
  };
  return serviceApp({ routes: [...mints, ...tokens, jwks], log: parts.log, metrics: parts.metrics, probes });
}

/** Shape → times → client_sig → lifetime → chain facts → nonce burned → sign. */
async function mint(parts: BrokerParts, route: MintRoute, body: Buffer): Promise<Result<MintAnswer>> {
  const { separator, chain, origin } = parts;
  const proved = await verifyMint({ route, body, separator, now: parts.now(), chain });
  if (!proved.ok) return proved;
  const { cap, clientSig, burn } = proved.value;
  try {
    const { outcome } = await parts.replay.setOnce([burn]);
    if (outcome === "replayed") return refuse("cap_already_used", "A cap was already minted for this nonce.");
    if (outcome === "fenced") return refuse("cap_pop_invalid", "The cap request is older than this broker's memory.");
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    parts.log.error({ err: error }, "the replay store failed");
    return refuse("replay_store_unavailable", "The nonce could not be burned; no cap was made.");
  }
  const { kid, key } = parts.keys.current(parts.now());
  const aud = capAudience(cap.op, cap.dataClass);
  return ok({ cap: encodeCap({ iss: origin, aud, request: cap, clientSig }, kid, key), expires_at: cap.expiresAt });
}

/**
 * Hands the device's request for a token on as it came: the vault decides, and names the actor by the chain.
 * @see protocol 3.7
 */
function stsRoute(path: string, origin: string, signer: NonNullable<BrokerParts["signer"]>): Route {
  return {
    method: "POST",
    path,
    limit: CONTROL_LIMIT,
    single: [PROOF_HEADER],
    async handle(request): Promise<Result<StsAnswer>> {
      const empty = parseEmptyBody(request.body);
      if (!empty.ok) return empty;
      return signer.stsCredentials({
        proof: request.header(PROOF_HEADER),
        method: request.method,
        target: origin + path,
        body: request.body.toString("utf8"),
      });
    },
  };
}

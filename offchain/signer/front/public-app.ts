import type { RequestListener } from "node:http";

import type { Logger } from "../../http/log";
import type { Metrics } from "../../http/metrics";
import { KMS_LIMIT, type RequestContext, type Route, serviceApp } from "../../http/routes";
import { KMS_PATHS } from "../../wire/kms";
import { PROOF_HEADER } from "../../wire/request-proof";
import { type Result, failure } from "../../wire/result";
import type { VaultClient } from "./vault-client";

/** Limits by source; they hold what has proved nothing away from the vault. */
export interface SourceLimits {
  /** Seconds for which this source is refused. */
  sourceRetryAfter(source: string): number | undefined;
  /** Counts one request that proved nothing. */
  noteUnproved(source: string): void;
}

/** What the public face is made of. */
export interface PublicParts {
  readonly vault: VaultClient;
  readonly limits: SourceLimits;
  readonly log: Logger;
  readonly metrics: Metrics;
}

const KEYS_MAX_AGE = "max-age=60";
/** What a caller is refused with who has shown neither a device nor a credential. */
const UNPROVED = new Set(["request_malformed", "proof_invalid", "credential_invalid"]);

/**
 * The signer as agents and clouds see it: `/kms/*` handed to the vault as received, and K2's public half. No client
 * certificates here: the device's proof is what counts, and the vault judges it. @see protocol 3.7, 3.8
 */
export function publicApp(parts: PublicParts): RequestListener {
  const { vault, log, metrics } = parts;
  const agents = Object.values(KMS_PATHS).map((path): Route => ({
    method: "POST",
    path,
    limit: KMS_LIMIT,
    optional: ["authorization", PROOF_HEADER],
    admit: (source) => tooMany(parts.limits, source),
    handle: (request) => passOn(parts, path, request),
  }));
  const documents = ["/.well-known/openid-configuration", "/.well-known/jwks.json"].map((path): Route => ({
    method: "GET",
    path,
    limit: 0,
    cacheControl: KEYS_MAX_AGE,
    handle: () => vault.ask(`GET ${path}`, "public", Buffer.alloc(0)),
  }));
  const probes = { vault: () => vault.ask("GET /readyz", "public", Buffer.alloc(0)) };
  return serviceApp({ routes: [...agents, ...documents], log, metrics, probes });
}

async function passOn(parts: PublicParts, path: string, request: RequestContext): Promise<Result<unknown>> {
  const authorization = request.optionalHeader("authorization");
  const proof = request.optionalHeader(PROOF_HEADER);
  const answer = await parts.vault.ask(`POST ${path}`, "public", request.body, {
    ...(authorization === undefined ? {} : { authorization }),
    ...(proof === undefined ? {} : { proof }),
  });
  if (!answer.ok && UNPROVED.has(answer.failure.code)) parts.limits.noteUnproved(request.remoteAddress);
  return answer;
}

function tooMany(limits: SourceLimits, source: string) {
  const retryAfter = limits.sourceRetryAfter(source);
  if (retryAfter === undefined) return undefined;
  return { ...failure("rate_limited", "Too many requests from there proved nothing."), retryAfter };
}

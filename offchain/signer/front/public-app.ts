import type { RequestListener } from "node:http";

import type { Logger } from "../../http/log";
import type { Metrics } from "../../http/metrics";
import { KMS_LIMIT, type RequestContext, type Route, serviceApp } from "../../http/routes";
import { KMS_PATHS } from "../../wire/kms";
import { PROOF_HEADER } from "../../wire/request-proof";
import { type Failure, type Result, failure } from "../../wire/result";
import type { SourceLimits } from "./source-limits";
import type { VaultClient } from "./vault-client";

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
    admit: (source) => tooMany(parts.limits.retryAfter(source)),
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
  const source = request.remoteAddress;
  const refused = tooMany(await parts.limits.enter(source));
  if (refused !== undefined) return { ok: false, failure: refused };
  let isProved = false;
  try {
    const answer = await askVault(parts.vault, path, request);
    isProved = answer.ok || !UNPROVED.has(answer.failure.code);
    return answer;
  } finally {
    parts.limits.leave(source, isProved);
  }
}

function askVault(vault: VaultClient, path: string, request: RequestContext): Promise<Result<unknown>> {
  const authorization = request.optionalHeader("authorization");
  const proof = request.optionalHeader(PROOF_HEADER);
  return vault.ask(`POST ${path}`, "public", request.body, {
    ...(authorization === undefined ? {} : { authorization }),
    ...(proof === undefined ? {} : { proof }),
  });
}

function tooMany(retryAfter: number | undefined): Failure | undefined {
  if (retryAfter === undefined) return undefined;
  return { ...failure("rate_limited", "Too many requests from there proved nothing."), retryAfter };
}

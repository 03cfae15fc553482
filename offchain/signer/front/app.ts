import type { RequestListener } from "node:http";

import type { Logger } from "../../http/log";
import type { Metrics } from "../../http/metrics";
import { CONTROL_LIMIT, type RequestContext, type Route, serviceApp } from "../../http/routes";
import { type Result, refuse } from "../../wire/result";
import { SERVICE_ROUTES } from "../../wire/service-routes";
import type { VaultClient } from "./vault-client";

/** What the front is made of: it holds TLS keys and no secret of the vault. */
export interface FrontParts {
  readonly vault: VaultClient;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Terminates mTLS, enforces sizes and callers, and hands each request as received to the vault. @see protocol 3.7 */
export function frontApp(parts: FrontParts): RequestListener {
  const { vault, log, metrics } = parts;
  const routes = SERVICE_ROUTES.map(({ method, path, callers }): Route => ({
    method,
    path,
    limit: method === "GET" ? 0 : CONTROL_LIMIT,
    handle: (request) => {
      const caller = callerOf(request, callers);
      return caller.ok ? vault.ask(`${method} ${path}`, caller.value, request.body) : caller;
    },
  }));
  const probes = { vault: () => vault.ask("GET /readyz", "front", Buffer.alloc(0)) };
  return serviceApp({ routes, log, metrics, probes });
}

/** Exactly one URI name and no other, compared whole. */
function callerOf(request: RequestContext, callers: readonly string[]): Result<string> {
  const name = request.tlsPeer()?.subjectAltName;
  if (name !== undefined && callers.includes(name)) return { ok: true, value: name };
  return refuse("caller_not_allowed", "The client certificate names no caller of this route.");
}

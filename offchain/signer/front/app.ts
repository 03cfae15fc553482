import type { RequestListener } from "node:http";

import type { Logger } from "../../http/log";
import type { Metrics } from "../../http/metrics";
import { CONTROL_LIMIT, type RequestContext, type Route, serviceApp } from "../../http/routes";
import { AUDIT_KEYS_PATH, AUDIT_ROW_PATH } from "../../wire/audit-row";
import { DATA_KEYS_PATH } from "../../wire/data-keys";
import { type Result, refuse } from "../../wire/result";
import { STS_CREDENTIALS_PATH } from "../../wire/sts";
import { VERIFY_K10_PATH, VERIFY_K11_PATH } from "../../wire/verify-routes";
import type { VaultClient } from "./vault-client";

const WORKERS = ["credentials", "memory", "config"].map((one) => `URI:spiffe://agentkeys/worker/${one}`);
const BROKER = "URI:spiffe://agentkeys/broker";
const SERVICES = [...WORKERS, "URI:spiffe://agentkeys/worker/classify", BROKER];

/** What the front is made of: it holds TLS keys and no secret of the vault. */
export interface FrontParts {
  readonly vault: VaultClient;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Terminates mTLS, enforces sizes and callers, and hands each request as received to the vault. @see protocol 3.7 */
export function frontApp(parts: FrontParts): RequestListener {
  const { vault, log, metrics } = parts;
  const passOn = (method: "GET" | "POST", path: string, callers: readonly string[]): Route => ({
    method,
    path,
    limit: method === "GET" ? 0 : CONTROL_LIMIT,
    handle: (request) => {
      const caller = callerOf(request, callers);
      return caller.ok ? vault.ask(`${method} ${path}`, caller.value, request.body) : caller;
    },
  });
  const routes = [
    passOn("POST", DATA_KEYS_PATH, WORKERS),
    passOn("POST", AUDIT_ROW_PATH, WORKERS),
    passOn("POST", STS_CREDENTIALS_PATH, [BROKER]),
    passOn("POST", VERIFY_K10_PATH, SERVICES),
    passOn("POST", VERIFY_K11_PATH, SERVICES),
    passOn("GET", "/v1/epoch", SERVICES),
    passOn("GET", AUDIT_KEYS_PATH, SERVICES),
  ];
  const probes = { vault: () => vault.ask("GET /readyz", "front", Buffer.alloc(0)) };
  return serviceApp({ routes, log, metrics, probes });
}

/** Exactly one URI name and no other, compared whole. */
function callerOf(request: RequestContext, callers: readonly string[]): Result<string> {
  const name = request.tlsPeer()?.subjectAltName;
  if (name !== undefined && callers.includes(name)) return { ok: true, value: name };
  return refuse("caller_not_allowed", "The client certificate names no caller of this route.");
}

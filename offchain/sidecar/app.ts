import { randomUUID } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";

import { discardAndClose } from "../http/body";
import { checkFraming } from "../http/framing";
import type { Logger } from "../http/log";
import { sendProblem } from "../http/problem";
import { type Failure, type Result, failure } from "../wire/result";
import type { CredentialCache } from "./cache";
import type { Admission } from "./callers";
import { type UpstreamAgent, agentFor, forward, upstreamPath } from "./proxy";
import type { UpstreamEntry } from "./services";

/** What a sidecar is made of. */
export interface SidecarParts {
  readonly services: ReadonlyMap<string, UpstreamEntry>;
  readonly cache: CredentialCache;
  /** Reads a credential as this machine's device, with every check of the reader. */
  readonly load: (service: string) => Promise<Result<Buffer>>;
  /** Whether what is cached may still be used: asked of the chain at each call, answered once per block. */
  readonly stillAllowed: (service: string) => Promise<Result<unknown>>;
  readonly log: Logger;
  /** Milliseconds for name, TCP and TLS of an upstream; 10,000 by default. */
  readonly connectMs?: number;
}

/** `/{service}/…` forwarded to the service's pinned upstream with its credential. @see services note 4.4 */
export function sidecarHandler(parts: SidecarParts, admits: Admission): RequestListener {
  const agents = new Map<string, UpstreamAgent>();
  for (const [service, entry] of parts.services) agents.set(service, agentFor(entry));
  return (request, response) => {
    const started = performance.now();
    const requestId = randomUUID();
    void call(parts, agents, admits, request, response)
      .catch((error: unknown): Failure => {
        parts.log.error({ err: error, requestId }, "internal error");
        return failure("internal_error", "The cause is in the sidecar's log under this request id.");
      })
      .then((refused) => {
        if (refused !== undefined) {
          const isUnread = !request.complete;
          if (isUnread) discardAndClose(request, response);
          sendProblem(response, refused, requestId, isUnread);
        }
        const ms = Math.round((performance.now() - started) * 100) / 100;
        const service = request.url?.split("/")[1] ?? "";
        const named = parts.services.has(service) ? service : "unlisted";
        parts.log.info({ requestId, service: named, status: response.statusCode, code: refused?.code ?? "ok", ms });
      });
  };
}

async function call(
  parts: SidecarParts,
  agents: ReadonlyMap<string, UpstreamAgent>,
  admits: Admission,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Failure | undefined> {
  const denied = admits(request);
  if (denied !== undefined) return denied;
  const framing = checkFraming(request);
  if (!framing.ok) return framing.failure;
  const [, service = "", rest = ""] = /^\/([^/?]*)(.*)$/.exec(request.url ?? "") ?? [];
  const entry = parts.services.get(service);
  const agent = agents.get(service);
  if (entry === undefined || agent === undefined) return failure("route_not_found", "No such service is configured.");
  if (["TRACE", "CONNECT"].includes(request.method ?? "") || request.headers.upgrade !== undefined) {
    return failure("route_not_found", "This method or upgrade is not forwarded.");
  }
  const path = upstreamPath(entry, rest);
  if (!path.ok) return path.failure;
  const held = await parts.cache.get(service, () => parts.load(service));
  if (!held.ok) return held.failure;
  const { secret, isCold } = held.value;
  try {
    if (!isCold) {
      const allowed = await parts.stillAllowed(service);
      if (!allowed.ok) {
        parts.cache.drop(service);
        return allowed.failure;
      }
    }
    const limit = parts.connectMs === undefined ? {} : { connectMs: parts.connectMs };
    return await forward({ entry, agent, path: path.value, secret, incoming: request, outgoing: response, ...limit });
  } finally {
    secret.fill(0);
  }
}

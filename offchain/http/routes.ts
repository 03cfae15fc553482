import { randomUUID } from "node:crypto";
import type { IncomingMessage, RequestListener, ServerResponse } from "node:http";
import { TLSSocket } from "node:tls";

import express, { type Request, type Response } from "express";

import { type Failure, type Result, failure, ok, refuse } from "../wire/result";
import { checkMediaType, discardAndClose, rawValues, readBody } from "./body";
import { checkFraming } from "./framing";
import { type Probe, readiness } from "./health";
import type { Logger } from "./log";
import type { Metrics } from "./metrics";
import { sendProblem } from "./problem";

/** Body limit of control routes. @see protocol 3.1 */
export const CONTROL_LIMIT = 64 * 1024;

/** Body limit of `/kms/*`. @see protocol 3.1 */
export const KMS_LIMIT = 256 * 1024;

/** One request as a route's handler sees it: read whole, nothing interpreted. */
export interface RequestContext {
  readonly method: string;
  /** As listed, and as it came. */
  readonly path: string;
  readonly body: Buffer;
  readonly requestId: string;
  readonly remoteAddress: string;
  /** The value of a header that the route lists as single. */
  header(name: SingleHeader): string;
  /** The whole value of a header that the route lists as optional; undefined where none came. */
  optionalHeader(name: SingleHeader): string | undefined;
  /** URI names of the client's certificate and how many other names it has; undefined without mTLS. */
  tlsPeer(): TlsPeer | undefined;
}

/** Headers of which exactly one must come, on the routes that take them. */
export type SingleHeader = "authorization" | "agentkeys-proof";

/** Who a client certificate says it is. */
export interface TlsPeer {
  /** `subjectAltName` as Node gives it, e.g. `URI:spiffe://agentkeys/broker`. */
  readonly subjectAltName: string;
}

/** One listed method and path. */
export interface Route {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** Bytes. */
  readonly limit: number;
  readonly single?: readonly SingleHeader[];
  /** At most one of each; the handler reads the value. */
  readonly optional?: readonly SingleHeader[];
  /** Answers hold a secret: `cache-control: no-store`. Otherwise the route's own value, where it has one. */
  readonly cacheControl?: string;
  /** Asked before anything of the request is looked at, for limits by source; a failure answers. */
  admit?(remoteAddress: string): Failure | undefined;
  handle(request: RequestContext): Promise<Result<unknown>> | Result<unknown>;
}

/** What a service's face is made of. */
export interface ServiceFace {
  readonly routes: readonly Route[];
  readonly log: Logger;
  readonly metrics: Metrics;
  /** What `/readyz` asks. */
  readonly probes: Readonly<Record<string, Probe>>;
}

/**
 * The HTTP face that all services share: listed routes and nothing else, bodies read under their limit, one problem
 * writer, request ids, metrics, one log line a request. Precedence as protocol 3.11: route, media type, header
 * counts, size while reading, then the handler.
 */
export function serviceApp(face: ServiceFace): RequestListener {
  const app = express();
  app.disable("x-powered-by").disable("etag").enable("case sensitive routing").enable("strict routing");
  const routes = new Map([...face.routes, ...ownRoutes(face)].map((one) => [`${one.method} ${one.path}`, one]));
  const onRequest: RequestListener = (request, response) => {
    void answer(face, routes, request, response);
  };
  app.use(onRequest);
  // Express passes by every handler when it cannot read a request-target, and would answer in HTML by itself
  return (request, response) => {
    app(request as Request, response as Response, () => {
      onRequest(request, response);
    });
  };
}

async function answer(
  face: ServiceFace,
  routes: ReadonlyMap<string, Route>,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const started = performance.now();
  const requestId = randomUUID();
  // the request-target as it came, byte for byte: Express keeps it untouched only here
  const target = (request as { originalUrl?: string }).originalUrl ?? request.url ?? "";
  const route = routes.get(`${request.method ?? ""} ${target}`);
  let result: Result<unknown> | undefined;
  try {
    result = await decide(route, request, requestId);
  } catch (error) {
    face.log.error({ err: error, requestId }, "internal error");
    result = refuse("internal_error", "The cause is in the service's log under this request id.");
  }
  if (result === undefined) return;
  if (result.ok) sendJson(response, result.value, requestId, route?.cacheControl);
  else refuseWith(request, response, result.failure, requestId);
  const code = result.ok ? "ok" : result.failure.code;
  const seconds = (performance.now() - started) / 1_000;
  const path = route?.path ?? "unlisted";
  face.metrics.request(path, response.statusCode, code, seconds);
  if (!result.ok && result.failure.reason === "replayed") face.metrics.replayRefused("proof");
  if (code === "cap_already_used") face.metrics.replayRefused("cap");
  face.log.info({ requestId, route: path, status: response.statusCode, code, ms: Math.round(seconds * 1e5) / 100 });
}

/** Undefined when the sender went away before there was anything to answer. */
async function decide(
  route: Route | undefined,
  request: IncomingMessage,
  requestId: string,
): Promise<Result<unknown> | undefined> {
  const framing = checkFraming(request);
  if (!framing.ok) return framing;
  if (route === undefined)
    return refuse("route_not_found", "No such method and path; paths are matched byte for byte.");
  const denied = route.admit?.(request.socket.remoteAddress ?? "");
  if (denied !== undefined) return { ok: false, failure: denied };
  const media = checkMediaType(request);
  if (!media.ok) return media;
  const headers = singleHeaders(route, request);
  if (!headers.ok) return headers;
  const body = await readBody(request, route.limit);
  if (body?.ok !== true) return body;
  return route.handle({
    method: route.method,
    path: route.path,
    body: body.value,
    requestId,
    remoteAddress: request.socket.remoteAddress ?? "",
    header: (name) => headers.value.get(name) ?? "",
    optionalHeader: (name) => headers.value.get(name),
    tlsPeer: () => tlsPeerOf(request),
  });
}

/** Exactly one of each, counted on the raw headers. @see protocol 3.11 "Codes" */
function singleHeaders(route: Route, request: IncomingMessage): Result<ReadonlyMap<string, string>> {
  const values = new Map<string, string>();
  for (const name of route.single ?? []) {
    const found = rawValues(request, name);
    const [value] = found;
    const refused = name === "authorization" ? authorizationFailure(found) : proofFailure(found);
    if (refused !== undefined) return { ok: false, failure: refused };
    values.set(name, name === "authorization" ? (value ?? "").slice("AgentKeys ".length) : (value ?? ""));
  }
  for (const name of route.optional ?? []) {
    const [value, ...more] = rawValues(request, name);
    if (more.length > 0) {
      const refused = name === "authorization" ? authorizationFailure([]) : proofFailure(["", ""]);
      if (refused !== undefined) return { ok: false, failure: refused };
    }
    if (value !== undefined) values.set(name, value);
  }
  return ok(values);
}

function authorizationFailure(values: readonly string[]): Failure | undefined {
  if (values.length === 1 && /^AgentKeys [^ ]+$/.test(values[0] ?? "")) return undefined;
  return failure("credential_invalid", "There must be exactly one Authorization header, with the scheme AgentKeys.");
}

function proofFailure(values: readonly string[]): Failure | undefined {
  if (values.length === 1) return undefined;
  return values.length === 0
    ? failure("proof_invalid", "There is no AgentKeys-Proof header.", "missing")
    : failure("proof_invalid", "There is more than one AgentKeys-Proof header.", "malformed");
}

function tlsPeerOf(request: IncomingMessage): TlsPeer | undefined {
  if (!(request.socket instanceof TLSSocket) || !request.socket.authorized) return undefined;
  const { subjectaltname } = request.socket.getPeerCertificate();
  return subjectaltname === undefined ? undefined : { subjectAltName: subjectaltname };
}

function sendJson(response: ServerResponse, value: unknown, requestId: string, cacheControl = "no-store"): void {
  const isText = typeof value === "string";
  const body = isText ? value : JSON.stringify(value);
  response.writeHead(200, {
    "content-type": isText ? "text/plain; version=0.0.4" : "application/json",
    "content-length": Buffer.byteLength(body),
    "cache-control": cacheControl,
    "x-request-id": requestId,
  });
  response.end(body);
}

function refuseWith(request: IncomingMessage, response: ServerResponse, why: Failure, requestId: string): void {
  const isUnread = !request.complete;
  if (isUnread) discardAndClose(request, response);
  sendProblem(response, why, requestId, isUnread);
}

function ownRoutes(face: ServiceFace): readonly Route[] {
  const ready = readiness(face.probes);
  const get = (path: string, handle: Route["handle"]): Route => ({ method: "GET", path, limit: 0, handle });
  return [
    get("/healthz", () => ok({ alive: true })),
    get("/readyz", () => ready()),
    get("/metrics", async () => ok(await face.metrics.registry.metrics())),
  ];
}

import { Agent as HttpAgent, type IncomingMessage, type ServerResponse, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { pipeline } from "node:stream";

import { type Failure, type Result, failure, ok, refuse } from "../wire/result";
import { decodersFor } from "./content-coding";
import { requestHeaders, responseHeaders } from "./headers";
import { redactorOf } from "./redactor";
import { isPrivateAddress, publicLookup } from "./resolve";
import type { UpstreamEntry } from "./services";

/** Milliseconds for name, TCP and TLS. */
const CONNECT_MS = 10_000;
/** Milliseconds without a byte from the upstream; models think for minutes. */
const IDLE_MS = 900_000;

/** Connections to one upstream, kept alive. */
export type UpstreamAgent = HttpAgent | HttpsAgent;

/** The agent of an entry: its own roots, and addresses checked where they must be public. */
export function agentFor(entry: UpstreamEntry): UpstreamAgent {
  const lookup = entry.allowPrivate ? {} : { lookup: publicLookup() };
  const options = { keepAlive: true, maxSockets: 256, ...lookup };
  if (entry.upstream.protocol === "http:") return new HttpAgent(options);
  return new HttpsAgent({ ...options, ...(entry.ca === undefined ? {} : { ca: entry.ca }) });
}

/**
 * The upstream path of what follows `/{service}`; refused where some server could read it as another path: dot
 * segments (with parameters too), separators and control characters in escapes (escaped again too), a fragment.
 */
export function upstreamPath(entry: UpstreamEntry, rest: string): Result<string> {
  const [path = "", ...query] = rest.split("?");
  const hasEscapes = /%(25)*(2e|2f|5c|[01][0-9a-f]|7f)|\\/i.test(path);
  const hasDots = path.split("/").some((part) => /^\.{1,2}(;|$)/.test(part));
  if (hasEscapes || hasDots || /[^\x21-\x7e]|#/.test(rest)) {
    return refuse("request_malformed", "The path may not hold dot segments, encoded separators or a fragment.");
  }
  const prefix = entry.upstream.pathname.replace(/\/$/, "");
  return ok([prefix + (path === "" ? "/" : path), ...query].join("?"));
}

/** One call on its way. */
export interface Call {
  readonly entry: UpstreamEntry;
  readonly agent: UpstreamAgent;
  /** As `upstreamPath` gives it. */
  readonly path: string;
  /** Left alone until the promise settles. */
  readonly secret: Buffer;
  readonly incoming: IncomingMessage;
  readonly outgoing: ServerResponse;
  /** Milliseconds for name, TCP and TLS; 10,000 by default. */
  readonly connectMs?: number;
}

/** Sends one call on with the credential in its place, and streams the answer back without it. */
export function forward(call: Call): Promise<Failure | undefined> {
  const { entry, agent, path, incoming, outgoing } = call;
  const credential = call.secret.toString("latin1");
  if (!/^[\x20-\x7e]+$/.test(credential)) {
    return Promise.resolve(failure("payload_invalid", "The stored credential cannot be a header's value."));
  }
  const host = entry.upstream.hostname.replace(/^\[|\]$/g, "");
  if (!entry.allowPrivate && isIP(host) !== 0 && isPrivateAddress(host)) {
    return Promise.resolve(failure("request_malformed", "The entry's upstream is a private address."));
  }
  // the caller may have left while its credential was fetched
  if (outgoing.destroyed) return Promise.resolve(undefined);
  const redactor = redactorOf(credential);
  const send = entry.upstream.protocol === "http:" ? httpRequest : httpsRequest;
  return new Promise((resolve) => {
    const method = incoming.method ?? "GET";
    const headers = requestHeaders(entry, incoming, credential);
    const request = send(entry.upstream, { agent, method, path, headers, timeout: IDLE_MS });
    limitConnecting(request, entry, call.connectMs ?? CONNECT_MS);
    request.once("response", (response: IncomingMessage) => {
      const decoders = decodersFor(response, method);
      if (decoders === undefined) {
        request.destroy();
        resolve(failure("upstream_unavailable", "The upstream answered in a coding that cannot be searched."));
        return;
      }
      outgoing.writeHead(response.statusCode ?? 502, responseHeaders(response, redactor));
      // the head is an answer of its own: an event stream may be silent for long
      outgoing.flushHeaders();
      pipeline([response, ...decoders, redactor.stream(), outgoing], () => {
        // an upstream may answer before it has read everything
        if (!request.writableFinished) request.destroy();
        incoming.unpipe(request).resume();
        resolve(undefined);
      });
    });
    request.once("timeout", () => request.destroy(new Error("timeout")));
    // once the answer has begun, the pipeline ends it; until then this is all that the caller will hear
    request.on("error", () => {
      if (!outgoing.headersSent) resolve(failure("upstream_unavailable", "The upstream did not answer."));
    });
    request.once("close", () => {
      if (!outgoing.headersSent) resolve(failure("upstream_unavailable", "The upstream gave no answer."));
    });
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) request.destroy();
    });
    incoming.pipe(request);
  });
}

function limitConnecting(request: ReturnType<typeof httpRequest>, entry: UpstreamEntry, ms: number): void {
  request.once("socket", (socket) => {
    if (request.reusedSocket) return;
    const timer = setTimeout(() => request.destroy(new Error("timeout")), ms);
    const stop = (): void => {
      clearTimeout(timer);
    };
    socket.once(entry.upstream.protocol === "http:" ? "connect" : "secureConnect", stop).once("close", stop);
  });
}

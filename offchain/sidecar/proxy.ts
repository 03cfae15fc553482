import { Agent as HttpAgent, type IncomingMessage, type ServerResponse, request as httpRequest } from "node:http";
import { Agent as HttpsAgent, request as httpsRequest } from "node:https";
import { isIP } from "node:net";
import { pipeline } from "node:stream";

import { type Failure, type Result, failure, ok, refuse } from "../wire/result";
import { redactText, redactor } from "./redactor";
import { isPrivateAddress, publicLookup } from "./resolve";
import type { UpstreamEntry } from "./services";

/** Never passed on: they speak of one connection, of proxies, or of encodings that the response's check cannot read. */
const NOT_PASSED_ON = new Set([
  "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
  "transfer-encoding", "upgrade", "host", "accept-encoding", "range", "expect", "forwarded", "via",
  "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip", "agentkeys-token", "authorization",
  "x-api-key", "api-key", "x-goog-api-key",
]); // prettier-ignore

const CONNECT_MS = 10_000;

/** Connections to one upstream, kept alive. */
export type UpstreamAgent = HttpAgent | HttpsAgent;

/** The agent of an entry: its own roots, and addresses checked where they must be public. */
export function agentFor(entry: UpstreamEntry): UpstreamAgent {
  const lookup = entry.allowPrivate ? {} : { lookup: publicLookup };
  const options = { keepAlive: true, maxSockets: 256, ...lookup };
  if (entry.upstream.protocol === "http:") return new HttpAgent(options);
  return new HttpsAgent({ ...options, ...(entry.ca === undefined ? {} : { ca: entry.ca }) });
}

/** The upstream path of a caller's path behind `/{service}`; refused where it could leave the prefix. */
export function upstreamPath(entry: UpstreamEntry, rest: string): Result<string> {
  const [path = "", ...query] = rest.split("?");
  if (/%2e|%2f|%5c|\\|[^\x21-\x7e]/i.test(path) || path.split("/").some((part) => part === ".." || part === ".")) {
    return refuse("request_malformed", "The path may not hold dot segments or encoded separators.");
  }
  const prefix = entry.upstream.pathname.replace(/\/$/, "");
  return ok([prefix + (path === "" ? "/" : path), ...query].join("?"));
}

/** Sends one call on with the credential in its place, and streams the answer back without it. */
export function forward(
  entry: UpstreamEntry,
  agent: UpstreamAgent,
  path: string,
  secret: Buffer,
  incoming: IncomingMessage,
  outgoing: ServerResponse,
): Promise<Failure | undefined> {
  const credential = secret.toString("utf8");
  if (/[\r\n\0]/.test(credential)) {
    return Promise.resolve(failure("payload_invalid", "The stored credential cannot be a header's value."));
  }
  const host = entry.upstream.hostname.replace(/^\[|\]$/g, "");
  if (!entry.allowPrivate && isIP(host) !== 0 && isPrivateAddress(host)) {
    return Promise.resolve(failure("request_malformed", "The entry's upstream is a private address."));
  }
  const send = entry.upstream.protocol === "http:" ? httpRequest : httpsRequest;
  return new Promise((resolve) => {
    const request = send(
      entry.upstream,
      {
        agent,
        method: incoming.method,
        path,
        headers: requestHeaders(entry, incoming, credential),
        timeout: CONNECT_MS,
      },
      (response) => {
        request.setTimeout(0);
        outgoing.writeHead(response.statusCode ?? 502, responseHeaders(response, credential));
        pipeline(response, redactor(Buffer.from(secret)), outgoing, () => {
          resolve(undefined);
        });
      },
    );
    request.once("timeout", () => request.destroy(new Error("timeout")));
    request.once("error", () => {
      resolve(outgoing.headersSent ? undefined : failure("upstream_unavailable", "The upstream did not answer."));
      if (outgoing.headersSent) outgoing.destroy();
    });
    outgoing.once("close", () => {
      if (!outgoing.writableFinished) request.destroy();
    });
    incoming.pipe(request);
  });
}

/** The caller's headers without what is not its own to send; the entry's header replaced in every spelling. */
function requestHeaders(
  entry: UpstreamEntry,
  incoming: IncomingMessage,
  credential: string,
): Record<string, string | string[]> {
  const named = connectionNamed(incoming.headers.connection);
  const headers: Record<string, string | string[]> = { host: entry.upstream.host, "accept-encoding": "identity" };
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value === undefined || NOT_PASSED_ON.has(name) || named.has(name) || name === entry.header) continue;
    headers[name] = value;
  }
  // a function, so that "$&" in a credential stays what it is
  headers[entry.header] = entry.format.replace("{credential}", () => credential);
  return headers;
}

function responseHeaders(response: IncomingMessage, credential: string): Record<string, string | string[]> {
  const named = connectionNamed(response.headers.connection);
  const headers: Record<string, string | string[]> = {};
  for (const [name, value] of Object.entries(response.headers)) {
    // the length may change where the credential is taken out
    if (value === undefined || NOT_PASSED_ON.has(name) || named.has(name) || name === "content-length") continue;
    headers[name] = Array.isArray(value)
      ? value.map((one) => redactText(one, credential))
      : redactText(value, credential);
  }
  return headers;
}

function connectionNamed(value: string | undefined): ReadonlySet<string> {
  return new Set(
    (value ?? "")
      .toLowerCase()
      .split(",")
      .map((one) => one.trim()),
  );
}

import type { IncomingMessage } from "node:http";

import type { Redactor } from "./redactor";
import type { UpstreamEntry } from "./services";

/** Headers as Node's client and server take them. */
export type Headers = Record<string, string | string[]>;

/** They speak of one connection: RFC 9110 §7.6.1, and what `Connection` names. */
const HOP_BY_HOP = [
  "connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings",
]; // prettier-ignore
/** They speak of proxies on the way, and some servers believe them about host or path. */
const OF_PROXIES = [
  "forwarded", "via", "x-real-ip", "x-client-ip", "x-cluster-client-ip", "true-client-ip", "x-original-host",
  "x-original-url", "x-rewrite-url", "x-host",
]; // prettier-ignore
const PREFIXES_OF_PROXIES = ["proxy-", "x-forwarded-"];
/** Where callers put credentials and tokens of their own. */
const OF_CALLERS = ["authorization", "agentkeys-token", "x-api-key", "api-key", "x-goog-api-key"];
/** Set anew, answered by this side, or asking for encodings and parts that the check of the answer cannot read. */
const SET_ANEW = ["host", "content-length", "expect", "accept-encoding", "range", "if-range"];

const NEVER_FROM_CALLERS = new Set([...HOP_BY_HOP, ...OF_PROXIES, "proxy", ...OF_CALLERS, ...SET_ANEW]);
const NEVER_FROM_UPSTREAMS = new Set([...HOP_BY_HOP, ...OF_PROXIES, "content-length", "content-encoding", "alt-svc"]);

/** True for a header that no entry may carry its credential in: it belongs to the connection, not to the request. */
export function isConnectionHeader(name: string): boolean {
  return [...HOP_BY_HOP, ...SET_ANEW].includes(name) || name.startsWith("proxy-");
}

/** The caller's headers without what is not its own to send; the entry's header replaced in every spelling. */
export function requestHeaders(entry: UpstreamEntry, incoming: IncomingMessage, credential: string): Headers {
  const headers: Headers = { host: entry.upstream.host, "accept-encoding": "identity", ...framing(incoming) };
  copy(incoming, headers, (name) => NEVER_FROM_CALLERS.has(name) || name === entry.header);
  // a function, so that "$&" in a credential stays what it is
  headers[entry.header] = entry.format.replaceAll("{credential}", () => credential);
  return headers;
}

/** The upstream's headers without those of its connection, and without the credential. */
export function responseHeaders(response: IncomingMessage, redactor: Redactor): Headers {
  const headers: Headers = {};
  copy(response, headers, (name) => NEVER_FROM_UPSTREAMS.has(name));
  for (const [name, value] of Object.entries(headers)) {
    headers[name] = Array.isArray(value) ? value.map((one) => redactor.text(one)) : redactor.text(value);
  }
  return headers;
}

/**
 * The body is framed as it came, whatever `Connection` names: Node would send the body of a GET or DELETE without any
 * framing, and the upstream would read it as the next request. @see RFC 9112 §6.3
 */
function framing(incoming: IncomingMessage): Headers {
  if (incoming.headers["transfer-encoding"] !== undefined) return { "transfer-encoding": "chunked" };
  const length = incoming.headers["content-length"];
  return length === undefined ? {} : { "content-length": length };
}

/** `_` counts as `-`: gateways that make variables of headers read both alike. */
function copy(message: IncomingMessage, into: Headers, isLeftOut: (name: string) => boolean): void {
  const named = connectionNamed(message.headers.connection);
  for (const [name, value] of Object.entries(message.headers)) {
    const plain = name.replaceAll("_", "-");
    const isOfProxies = PREFIXES_OF_PROXIES.some((prefix) => plain.startsWith(prefix));
    if (value === undefined || isOfProxies || isLeftOut(plain) || named.has(name)) continue;
    into[name] = value;
  }
}

function connectionNamed(value = ""): ReadonlySet<string> {
  return new Set(
    value
      .toLowerCase()
      .split(",")
      .map((one) => one.trim()),
  );
}

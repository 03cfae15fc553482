import type { IncomingMessage } from "node:http";

import { type Result, ok, refuse } from "../wire/result";
import { rawValues } from "./body";

/**
 * What Node's parser lets through although a receiver must not act on it: another major version, no or several
 * `Host`, a transfer coding that is not understood. All `request_malformed`. @see RFC 9112 §3.2, §6.1
 */
export function checkFraming(request: IncomingMessage): Result<undefined> {
  const { httpVersion } = request;
  if (httpVersion !== "1.1" && httpVersion !== "1.0") return malformed("The request is not HTTP/1.1.");
  const hosts = rawValues(request, "host").length;
  if (hosts > 1 || (hosts === 0 && httpVersion === "1.1")) return malformed("There must be exactly one Host header.");
  const codings = rawValues(request, "transfer-encoding");
  if (codings.length > 1 || (codings[0] ?? "chunked").toLowerCase() !== "chunked") {
    return malformed("The only transfer coding is chunked.");
  }
  return ok(undefined);
}

function malformed(detail: string): Result<never> {
  return refuse("request_malformed", detail);
}

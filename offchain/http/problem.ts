import type { ServerResponse } from "node:http";

import { PROBLEMS, problemDocument } from "../wire/problem";
import type { Failure } from "../wire/result";

/** Seconds that a refused caller is told to wait with 429 and 503, where who refuses knows no better. */
const RETRY_AFTER = 5;

/** The one writer of problem documents. @see RFC 9457, protocol 3.9 */
export function sendProblem(response: ServerResponse, failure: Failure, requestId: string, close = false): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const { status } = PROBLEMS[failure.code];
  const body = JSON.stringify(problemDocument(failure, requestId));
  const headers: Record<string, string | number> = {
    "content-type": "application/problem+json",
    "content-length": Buffer.byteLength(body),
    "cache-control": "no-store",
    "x-request-id": requestId,
  };
  if (status === 401) headers["www-authenticate"] = `AgentKeys error="${failure.code}"`;
  if (status === 429 || status === 503) headers["retry-after"] = failure.retryAfter ?? RETRY_AFTER;
  if (close) headers["connection"] = "close";
  response.writeHead(status, headers);
  response.end(body);
}

import type { IncomingMessage, ServerResponse } from "node:http";

import { type Result, ok, refuse } from "../wire/result";

const DISCARD_BYTES = 64 * 1024;
const DISCARD_MS = 500;

/** Exactly `application/json`, or nothing before an empty body; no parameters, no content coding. @see protocol 3.11 */
export function checkMediaType(request: IncomingMessage): Result<undefined> {
  const types = rawValues(request, "content-type");
  const [type] = types;
  if (rawValues(request, "content-encoding").length > 0)
    return unsupported("A body with a content coding is not read.");
  if (types.length > 1) return unsupported("There is more than one Content-Type.");
  if (type === undefined) {
    return hasBody(request) ? unsupported("A body needs Content-Type: application/json.") : ok(undefined);
  }
  return type.toLowerCase() === "application/json"
    ? ok(undefined)
    : unsupported("The only media type is application/json, without parameters.");
}

/** Reads at most `limit` bytes; more is `request_too_large` at once. Undefined when the sender went away. */
export function readBody(request: IncomingMessage, limit: number): Promise<Result<Buffer> | undefined> {
  const declared = Number(request.headers["content-length"] ?? 0);
  if (declared > limit) return Promise.resolve(tooLarge(limit));
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const done = (result: Result<Buffer> | undefined): void => {
      request.off("data", onData).off("end", onEnd).off("close", onGone).off("error", onGone);
      resolve(result);
    };
    const onData = (chunk: Buffer): void => {
      size += chunk.length;
      if (size > limit) {
        request.pause();
        done(tooLarge(limit));
      } else chunks.push(chunk);
    };
    const onEnd = (): void => {
      done(ok(chunks.length === 1 && chunks[0] !== undefined ? chunks[0] : Buffer.concat(chunks, size)));
    };
    const onGone = (): void => {
      done(undefined);
    };
    request.on("data", onData).on("end", onEnd).on("close", onGone).on("error", onGone);
  });
}

/**
 * After an answer that came before the body's end: half-close, discard at most 64 KiB, close after at most 500 ms.
 * What comes after the 64 KiB is not read, so that a sender who writes without pause is held back instead of reset,
 * and can read why. @see protocol 3.11 "Precedence"
 */
export function discardAndClose(request: IncomingMessage, response: ServerResponse): void {
  const { socket } = request;
  // Node destroys the socket once the answer is written, and the reset would take the answer from who is still sending
  socket.destroySoon = () => socket.end();
  let left = DISCARD_BYTES;
  const timer = setTimeout(() => socket.destroy(), DISCARD_MS);
  socket.once("close", () => {
    clearTimeout(timer);
  });
  request.on("data", (chunk: Buffer) => {
    left -= chunk.length;
    if (left <= 0) request.pause();
  });
  request.on("error", () => undefined);
  const halfClose = (): void => {
    socket.end();
    request.resume();
  };
  if (response.writableFinished) halfClose();
  else response.once("finish", halfClose);
}

/** Every value of a header as it came in, before Node joins or drops any. */
export function rawValues(request: IncomingMessage, name: string): string[] {
  const values: string[] = [];
  const raw = request.rawHeaders;
  for (let i = 0; i < raw.length; i += 2) {
    if (raw[i]?.toLowerCase() === name) values.push(raw[i + 1] ?? "");
  }
  return values;
}

function hasBody(request: IncomingMessage): boolean {
  return request.headers["transfer-encoding"] !== undefined || Number(request.headers["content-length"] ?? 0) > 0;
}

function tooLarge(limit: number): Result<never> {
  return refuse("request_too_large", `The body is larger than ${String(limit)} bytes.`);
}

function unsupported(detail: string): Result<never> {
  return refuse("media_type_unsupported", detail);
}

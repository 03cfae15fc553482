import { type Socket, connect } from "node:net";

import type { Answer } from "./http";

/** One request, written byte for byte: what a library would repair or refuse is sent as it stands. */
export interface RawRequest {
  readonly method: string;
  /** The request-target as it goes on the wire. */
  readonly target: string;
  readonly version?: string;
  /** In this order, duplicates kept. */
  readonly headers: readonly (readonly [string, string])[];
  readonly body?: string | Uint8Array;
  /** `length` by default; `none` writes the body without announcing it. */
  readonly framing?: "length" | "chunked" | "none";
  /** Instead of `Host: test`: other values, or none. */
  readonly hosts?: readonly string[];
  /** Half-closes after writing: a sender that says no more. */
  readonly endAfter?: boolean;
  /** After the body, this chunk again and again until there is an answer (chunked framing, without an end). */
  readonly endless?: Uint8Array;
}

/** The first final answer on the connection. */
export interface RawAnswer extends Answer {
  /** The server said that it closes, and then did. */
  readonly isClosed: boolean;
}

/** The bytes of a request. */
export function encodeRequest(request: RawRequest): Buffer {
  const { method, target, version = "HTTP/1.1", hosts = ["test"], framing = "length" } = request;
  const body = Buffer.from(request.body ?? "");
  const announced: (readonly [string, string])[] = [];
  const isChunked = framing === "chunked" || request.endless !== undefined;
  if (isChunked) announced.push(["Transfer-Encoding", "chunked"]);
  else if (framing === "length" && request.body !== undefined) announced.push(["Content-Length", String(body.length)]);
  const lines = [...hosts.map((host) => ["Host", host] as const), ...request.headers, ...announced];
  const head = `${method} ${target} ${version}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n`;
  if (!isChunked) return Buffer.concat([Buffer.from(head, "latin1"), body]);
  const end = request.endless === undefined ? [Buffer.from("0\r\n\r\n")] : [];
  return Buffer.concat([Buffer.from(head, "latin1"), ...(body.length > 0 ? [chunk(body)] : []), ...end]);
}

/** Sends over a connection of its own. Throws when the connection ends without an answer. */
export function exchange(origin: string, request: RawRequest): Promise<RawAnswer> {
  return exchangeBytes(origin, encodeRequest(request), request);
}

/** As `exchange`, for bytes that need not be a request at all. */
export function exchangeBytes(
  origin: string,
  bytes: Uint8Array,
  options: Pick<RawRequest, "method" | "endAfter" | "endless"> = { method: "" },
): Promise<RawAnswer> {
  const { hostname, port } = new URL(origin);
  return new Promise((resolve, reject) => {
    const socket = connect(Number(port), hostname);
    let received = Buffer.alloc(0);
    let isDone = false;
    const finish = (isClosed: boolean): void => {
      if (isDone) return;
      const answer = parseAnswer(received, options.method === "HEAD", isClosed);
      if (answer === undefined) {
        if (!isClosed) return;
        reject(new Error(`the connection ended without an answer: ${received.toString("latin1").slice(0, 200)}`));
      } else if (!isClosed && answer.headers["connection"] === "close") {
        return;
      } else resolve(answer);
      isDone = true;
      socket.destroy();
    };
    socket.on("data", (data: Buffer) => {
      received = Buffer.concat([received, data]);
      finish(false);
    });
    // a reset after the answer is how a server ends an upload that it does not want
    socket
      .on("error", () => undefined)
      .on("close", () => {
        finish(true);
      });
    socket.write(bytes);
    if (options.endAfter === true) socket.end();
    if (options.endless !== undefined) keepWriting(socket, chunk(options.endless), () => isDone || received.length > 0);
  });
}

function keepWriting(socket: Socket, bytes: Buffer, isAnswered: () => boolean): void {
  const go = (): void => {
    if (!isAnswered() && socket.writable) socket.write(bytes, go);
  };
  go();
}

function chunk(bytes: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from(`${bytes.length.toString(16)}\r\n`), bytes, Buffer.from("\r\n")]);
}

/** Undefined until there is a whole final answer; 1xx are passed over. Services answer with Content-Length only. */
function parseAnswer(received: Buffer, isHead: boolean, isClosed: boolean): RawAnswer | undefined {
  const end = received.indexOf("\r\n\r\n");
  if (end < 0) return undefined;
  const [statusLine = "", ...lines] = received.subarray(0, end).toString("latin1").split("\r\n");
  const status = Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(statusLine)?.[1]);
  if (status < 200) return parseAnswer(received.subarray(end + 4), isHead, isClosed);
  const headers: Record<string, string> = {};
  for (const line of lines) {
    const colon = line.indexOf(":");
    headers[line.slice(0, colon).toLowerCase()] = line.slice(colon + 1).trim();
  }
  const length = isHead ? 0 : Number(headers["content-length"] ?? 0);
  const body = received.subarray(end + 4, end + 4 + length);
  if (body.length < length) return undefined;
  let json: Record<string, unknown> | undefined;
  try {
    json = JSON.parse(body.toString()) as Record<string, unknown>;
  } catch {
    json = undefined;
  }
  const text = (member: string): string | undefined => (typeof json?.[member] === "string" ? json[member] : undefined);
  return { status, headers, body, json, code: text("code"), reason: text("reason"), isClosed };
}

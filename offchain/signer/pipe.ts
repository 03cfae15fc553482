import type { Duplex } from "node:stream";

/** Largest frame: a request's body with its envelope. */
const MAX_FRAME_BYTES = 512 * 1024;
/** A frame's length, big-endian. */
const HEAD_BYTES = 4;

/** What the front hands over: the request as received, and who the certificate says sent it. */
export interface PipeRequest {
  readonly id: number;
  readonly route: string;
  /** `subjectAltName` of the client certificate; the vault believes it no more than the front. */
  readonly caller: string;
  /** base64 of the body. */
  readonly body: string;
  /** On the routes for agents: the whole values as they came, at most one of each. */
  readonly headers?: { readonly authorization?: string; readonly proof?: string };
}

/** What the vault answers: a value, or a refusal. */
export interface PipeAnswer {
  readonly id: number;
  readonly ok: boolean;
  readonly value?: unknown;
  readonly failure?: unknown;
}

/**
 * Frames of a 4-byte big-endian length and JSON over an inherited pipe. A frame that is too long or no JSON ends the
 * pipe: its other end is broken or hostile.
 */
export function framed(
  pipe: Duplex,
  onFrame: (frame: unknown) => void,
  onBroken: (why: string) => void,
): (frame: object) => boolean {
  let chunks: Buffer[] = [];
  let size = 0;
  // bytes with which the next frame, or its length, is whole
  let needed = HEAD_BYTES;
  const breakOff = (why: string): void => {
    pipe.destroy();
    onBroken(why);
  };
  pipe.on("data", (chunk: Buffer) => {
    chunks.push(chunk);
    size += chunk.length;
    if (size < needed) return;
    let buffer = chunks.length === 1 ? chunk : Buffer.concat(chunks, size);
    needed = HEAD_BYTES;
    while (buffer.length >= HEAD_BYTES) {
      const length = buffer.readUInt32BE(0);
      if (length > MAX_FRAME_BYTES) {
        breakOff("a frame is too long");
        return;
      }
      needed = HEAD_BYTES + length;
      if (buffer.length < needed) break;
      let frame: unknown;
      try {
        frame = JSON.parse(buffer.toString("utf8", HEAD_BYTES, needed)) as unknown;
      } catch {
        breakOff("a frame is not JSON");
        return;
      }
      buffer = buffer.subarray(needed);
      needed = HEAD_BYTES;
      onFrame(frame);
    }
    chunks = buffer.length === 0 ? [] : [buffer];
    size = buffer.length;
  });
  pipe.on("error", (error) => {
    onBroken(error.message);
  });
  pipe.on("close", () => {
    onBroken("the pipe is closed");
  });
  return (frame) => {
    const json = Buffer.from(JSON.stringify(frame));
    const head = Buffer.alloc(HEAD_BYTES);
    head.writeUInt32BE(json.length);
    return pipe.write(Buffer.concat([head, json]));
  };
}

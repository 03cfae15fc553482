import type { IncomingMessage } from "node:http";
import type { Transform } from "node:stream";
import { createBrotliDecompress, createGunzip, createInflate } from "node:zlib";

const DECODERS: Readonly<Record<string, () => Transform>> = {
  gzip: createGunzip,
  "x-gzip": createGunzip,
  deflate: createInflate,
  br: createBrotliDecompress,
};

/**
 * What an answer must pass before it can be searched: nothing, or the decoder of a coding that was not asked for.
 * Undefined for a coding that cannot be read. @see RFC 9110 §8.4
 */
export function decodersFor(response: IncomingMessage, method: string): readonly Transform[] | undefined {
  const coding = (response.headers["content-encoding"] ?? "identity").trim().toLowerCase();
  const hasBody = method !== "HEAD" && ![204, 304].includes(response.statusCode ?? 0);
  if (coding === "identity" || !hasBody) return [];
  const decoder = Object.hasOwn(DECODERS, coding) ? DECODERS[coding] : undefined;
  return decoder === undefined ? undefined : [decoder()];
}

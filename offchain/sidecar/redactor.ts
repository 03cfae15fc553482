import { Transform, type TransformCallback } from "node:stream";

import { type Pattern, patternsOf } from "./spellings";

const REDACTED = Buffer.from("[redacted]");

/** Takes one secret out of an answer, in every form of `patternsOf`. */
export interface Redactor {
  /**
   * For a body: also across chunk borders. Holds back only bytes at the end of a chunk that may be the beginning of
   * the secret, so an event that is complete goes on at once.
   */
  stream(): Transform;
  /** For a header's value. */
  text(value: string): string;
}

/** @param secret printable ASCII, not empty */
export function redactorOf(secret: string): Redactor {
  if (secret === "") throw new RangeError("an empty secret is everywhere");
  const patterns = patternsOf(secret);
  const isFirst = new Uint8Array(256);
  for (const pattern of patterns) for (const spelling of pattern[0] ?? []) isFirst[spelling[0] ?? 0] = 1;

  /** Cleans what can be judged; `rest` is the possible beginning of a secret, empty when nothing follows. */
  function clean(bytes: Buffer, isEnd: boolean): { readonly out: Buffer; readonly rest: Buffer } {
    const out: Buffer[] = [];
    let done = 0;
    let at = 0;
    while (at < bytes.length) {
      const found = isFirst[bytes[at] ?? 0] === 1 ? longestAt(bytes, at, patterns) : undefined;
      if (typeof found === "number") {
        out.push(bytes.subarray(done, at), REDACTED);
        done = at = found;
      } else if (found === "unfinished" && !isEnd) break;
      else at += 1;
    }
    if (done === 0 && at === bytes.length) return { out: bytes, rest: Buffer.alloc(0) };
    out.push(bytes.subarray(done, at));
    return { out: Buffer.concat(out), rest: Buffer.from(bytes.subarray(at)) };
  }

  return {
    stream() {
      let held: Buffer = Buffer.alloc(0);
      return new Transform({
        transform(chunk: Buffer, _encoding, done: TransformCallback) {
          const { out, rest } = clean(held.length === 0 ? chunk : Buffer.concat([held, chunk]), false);
          held = rest;
          done(null, out);
        },
        flush(done: TransformCallback) {
          done(null, clean(held, true).out);
        },
      });
    },
    text: (value) => clean(Buffer.from(value, "latin1"), true).out.toString("latin1"),
  };
}

/** Where the longest match ends, or whether one may still come about with more bytes. */
function longestAt(bytes: Buffer, at: number, patterns: readonly Pattern[]): number | "unfinished" | undefined {
  let longest: number | "unfinished" | undefined;
  for (const pattern of patterns) {
    const found = matchAt(bytes, at, pattern);
    if (typeof found === "number") longest = typeof longest === "number" ? Math.max(longest, found) : found;
    else longest ??= found;
  }
  return longest;
}

/** One spelling may begin another ("%" and "%25"): every way through the tokens is followed. */
function matchAt(bytes: Buffer, at: number, pattern: Pattern): number | "unfinished" | undefined {
  let ends = [at];
  let isUnfinished = false;
  for (const token of pattern) {
    const next: number[] = [];
    for (const from of ends) {
      for (const spelling of token) {
        const length = Math.min(spelling.length, bytes.length - from);
        if (bytes.compare(spelling, 0, length, from, from + length) !== 0) continue;
        if (length === spelling.length) next.push(from + length);
        else isUnfinished = true;
      }
    }
    if (next.length === 0) return isUnfinished ? "unfinished" : undefined;
    ends = next;
  }
  return Math.max(...ends);
}

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
  const nextCandidate = candidatesOf(patterns);

  /** Cleans what can be judged; `rest` is the possible beginning of a secret, empty when nothing follows. */
  function clean(bytes: Buffer, isEnd: boolean): { readonly out: Buffer; readonly rest: Buffer } {
    const out: Buffer[] = [];
    let done = 0;
    let at = 0;
    while ((at = nextCandidate(bytes, at)) < bytes.length) {
      const { end, isUnfinished } = longestAt(bytes, at, patterns);
      // also behind a match: "%" may be the beginning of "%25", and what follows it belongs to the secret
      if (isUnfinished && !isEnd) break;
      if (end === undefined) at += 1;
      else {
        out.push(bytes.subarray(done, at), REDACTED);
        done = at = end;
      }
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

/**
 * Finds the next place where a match may begin, by its first two bytes: an expression over latin1 text, since the
 * engine searches ten times faster than a loop does. The last byte has no second one and is always a candidate.
 */
function candidatesOf(patterns: readonly Pattern[]): (bytes: Buffer, from: number) => number {
  const pairs = new Set<string>();
  for (const [first = [], second = []] of patterns) {
    for (const spelling of first) {
      const nexts = spelling.length > 1 || second.length === 0 ? [spelling.subarray(1)] : second;
      for (const next of nexts) pairs.add(escaped(spelling.subarray(0, 1)) + escaped(next.subarray(0, 1)));
    }
  }
  const expression = new RegExp([...pairs].join("|"), "g");
  let text = "";
  let source: Buffer | undefined;
  return (bytes, from) => {
    if (bytes !== source) [source, text] = [bytes, bytes.toString("latin1")];
    expression.lastIndex = from;
    return expression.exec(text)?.index ?? Math.max(from, bytes.length - 1);
  };
}

function escaped(byte: Buffer): string {
  return byte.length === 0 ? "" : `\\x${byte.toString("hex")}`;
}

/** A match at one place. */
interface Match {
  /** Where the longest ends; undefined where there is none. */
  readonly end: number | undefined;
  /** One, or a longer one, may still come about with more bytes. */
  readonly isUnfinished: boolean;
}

function longestAt(bytes: Buffer, at: number, patterns: readonly Pattern[]): Match {
  let longest: number | undefined;
  let isUnfinished = false;
  for (const pattern of patterns) {
    const found = matchAt(bytes, at, pattern);
    if (found.end !== undefined) longest = Math.max(longest ?? 0, found.end);
    isUnfinished ||= found.isUnfinished;
  }
  return { end: longest, isUnfinished };
}

/** One spelling may begin another ("%" and "%25"): every way through the tokens is followed. */
function matchAt(bytes: Buffer, at: number, pattern: Pattern): Match {
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
    if (next.length === 0) return { end: undefined, isUnfinished };
    ends = next;
  }
  return { end: Math.max(...ends), isUnfinished };
}

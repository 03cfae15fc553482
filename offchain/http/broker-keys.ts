import type { KeyObject } from "node:crypto";
import { readFileSync, statSync } from "node:fs";

import { request } from "undici";

import { parseJwks } from "../wire/jwks";
import { type Result, ok, refuse } from "../wire/result";

/** Milliseconds. @see protocol 3.3 */
export interface FollowerTiming {
  /** How often the key set is asked for; it may be used for 60 s. */
  readonly refreshMs: number;
  /** After a question without an answer. */
  readonly retryMs: number;
  /** Without any answer for this long, no cap is believed. */
  readonly maxAgeMs: number;
  /** For one whole answer. */
  readonly answerMs: number;
}

const TIMING: FollowerTiming = { refreshMs: 30_000, retryMs: 2_000, maxAgeMs: 300_000, answerMs: 5_000 };
const MAX_BYTES = 64 * 1024;

/** The broker's live keys as a receiver knows them. */
export interface BrokerKeys {
  /** Undefined for a key id that the broker does not publish. */
  key(kid: string): KeyObject | undefined;
  ready(): Result<unknown>;
  close(): void;
}

type Keys = ReadonlyMap<string, KeyObject>;

/** Follows `/.well-known/jwks.json` of the configured broker; redirects are not followed. */
export async function brokerKeysFromOrigin(origin: string, timing = TIMING): Promise<BrokerKeys> {
  let keys: Keys = new Map();
  let readAt = -Infinity;
  let timer: NodeJS.Timeout | undefined;
  let isClosed = false;

  async function refresh(): Promise<void> {
    const fetched = await fetchKeys(origin, timing.answerMs);
    if (fetched !== undefined) {
      keys = fetched;
      readAt = performance.now();
    }
    if (isClosed) return;
    timer = setTimeout(() => void refresh(), fetched === undefined ? timing.retryMs : timing.refreshMs);
  }
  await refresh();

  const isYoung = (): boolean => performance.now() - readAt < timing.maxAgeMs;
  return {
    key: (kid) => (isYoung() ? keys.get(kid) : undefined),
    ready: () =>
      isYoung() ? ok(undefined) : refuse("upstream_unavailable", "The broker's key set could not be read."),
    close() {
      isClosed = true;
      clearTimeout(timer);
    },
  };
}

/** Keys pinned in a file, read again when it changes. */
export function brokerKeysFromFile(file: string): BrokerKeys {
  let keys: Keys = new Map();
  let stamp = "";
  let checkedAt = -Infinity;

  function look(): Keys {
    if (performance.now() - checkedAt < 1_000) return keys;
    checkedAt = performance.now();
    try {
      const { mtimeMs, ino } = statSync(file);
      if (`${String(mtimeMs)}/${String(ino)}` !== stamp) {
        keys = parseJwks(readFileSync(file)) ?? keys;
        stamp = `${String(mtimeMs)}/${String(ino)}`;
      }
    } catch {
      // gone for the moment of a replacement: what was pinned stays pinned
    }
    return keys;
  }

  return {
    key: (kid) => look().get(kid),
    ready: () => (look().size > 0 ? ok(undefined) : refuse("upstream_unavailable", "The pinned key set holds no key.")),
    close: () => undefined,
  };
}

async function fetchKeys(origin: string, answerMs: number): Promise<Keys | undefined> {
  try {
    const signal = AbortSignal.timeout(answerMs);
    const answer = await request(`${origin}/.well-known/jwks.json`, { signal });
    const chunks: Buffer[] = [];
    let size = 0;
    for await (const chunk of answer.body as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > MAX_BYTES) return undefined;
      chunks.push(chunk);
    }
    return answer.statusCode === 200 ? parseJwks(Buffer.concat(chunks)) : undefined;
  } catch {
    return undefined;
  }
}

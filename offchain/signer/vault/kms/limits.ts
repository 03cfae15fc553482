import { isIP, isIPv6 } from "node:net";

/** A window's size and how much may happen in it. */
export interface WindowOptions {
  /** Most takes of one key in any span of the window's length. */
  readonly limit: number;
  readonly windowMs: number;
  /** Most keys that are remembered at a time. */
  readonly maxKeys: number;
  /** Milliseconds of a clock that never goes back, such as `performance.now()`. */
  readonly now: () => number;
}

/** An exact sliding window per key: in no span of its length are there more takes than the limit. */
export interface SlidingWindow {
  /** Whole seconds until `take` may succeed again; undefined when it would now. */
  retryAfter(key: string): number | undefined;
  /** Takes of this key that are left in the window. */
  room(key: string): number;
  /** Counts one, whatever `retryAfter` says. */
  take(key: string): void;
}

/**
 * Remembers the times of the last `limit` takes of each key, so memory is bounded by `limit × maxKeys` numbers. A key whose
 * takes have all slid out is forgotten; when every place is held by a live one, a new key waits for the first to go:
 * forgetting a live one would let whoever brings many keys start afresh.
 */
export function slidingWindow({ limit, windowMs, maxKeys, now }: WindowOptions): SlidingWindow {
  // in the order of their last take, so that the first to be forgotten is the first in the map
  const takes = new Map<string, number[]>();

  /** Drops what has slid out of the window of this key. */
  function live(key: string, since: number): readonly number[] {
    const times = takes.get(key);
    if (times === undefined) return [];
    const firstLive = times.findIndex((time) => time > since);
    times.splice(0, firstLive === -1 ? times.length : firstLive);
    return times;
  }

  function forgetTheDead(since: number): void {
    for (const [key, times] of takes) {
      const last = times.at(-1);
      if (last !== undefined && last > since) return;
      takes.delete(key);
    }
  }

  function secondsUntil(time: number | undefined, at: number): number {
    return Math.max(1, Math.ceil(((time ?? at) + windowMs - at) / 1000));
  }

  return {
    retryAfter(key) {
      const at = now();
      const times = live(key, at - windowMs);
      if (times.length >= limit) return secondsUntil(times.at(-limit), at);
      forgetTheDead(at - windowMs);
      if (takes.has(key) || takes.size < maxKeys) return undefined;
      const [oldest] = takes.values();
      return secondsUntil(oldest?.at(-1), at);
    },

    room: (key) => limit - live(key, now() - windowMs).length,

    take(key) {
      const at = now();
      const times = [...live(key, at - windowMs), at].slice(-limit);
      takes.delete(key);
      forgetTheDead(at - windowMs);
      takes.set(key, times);
      for (const oldest of takes.keys()) {
        if (takes.size <= maxKeys) break;
        takes.delete(oldest);
      }
    },
  };
}

/** Who signs: both are known only after proof and credential. */
export interface SigningCaller {
  /** The key's id: its credential is the one that counts, and a refreshed one does not start afresh. */
  readonly keyId: string;
  readonly deviceKeyHash: string;
}

/** The vault's limits. @see protocol 3.8 */
export interface KmsLimits {
  /** Counts one signature and answers undefined, or counts nothing and answers the seconds of `Retry-After`. */
  takeSignature(caller: SigningCaller): number | undefined;
}

const MINUTE_MS = 60_000;

/** 20 signatures a minute per credential, 100 per calling device. */
export const KMS_LIMITS = { perCredential: 20, perDevice: 100 } as const;

/** The limits of one vault; `maxKeys` of each kind are remembered. */
export function kmsLimits(options: { readonly now: () => number; readonly maxKeys?: number }): KmsLimits {
  const { now, maxKeys = 100_000 } = options;
  const minute = (limit: number): SlidingWindow => slidingWindow({ limit, windowMs: MINUTE_MS, maxKeys, now });
  const credentials = minute(KMS_LIMITS.perCredential);
  const devices = minute(KMS_LIMITS.perDevice);
  return {
    takeSignature({ keyId, deviceKeyHash }) {
      const waits = [credentials.retryAfter(keyId) ?? 0, devices.retryAfter(deviceKeyHash) ?? 0];
      const wait = Math.max(...waits);
      if (wait > 0) return wait;
      credentials.take(keyId);
      devices.take(deviceKeyHash);
      return undefined;
    },
  };
}

/** What counts as one source: an IPv4 address, however it is written, or the /64 of an IPv6 one. */
export function sourceKey(address: string): string {
  const plain = address.replace(/^::ffff:(?=[0-9.]+$)/i, "").replace(/%.*$/, "");
  if (!isIPv6(plain)) return isIP(plain) === 4 ? plain : "unknown";
  const [head = "", tail = ""] = plain.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const front = groups(head);
  const missing = plain.includes("::") ? Math.max(0, 8 - front.length - groups(tail).length) : 0;
  const all = [...front, ...Array.from({ length: missing }, () => "0"), ...groups(tail)];
  return all
    .slice(0, 4)
    .map((group) => parseInt(group, 16).toString(16))
    .join(":");
}

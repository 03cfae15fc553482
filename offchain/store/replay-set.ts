import type { ReplayAnswer, ReplayEntry } from "./replay";

/** Seconds after its start up to which a store trusts no one's word on when something was made. @see services note 4 */
export const FENCE_SECONDS = 5;

/** Entries are forgotten together when the last of this many seconds has passed. */
const BUCKET_SECONDS = 32;

/** What has been seen, in memory: all or none of a call's entries are set, in one synchronous step. */
export class ReplaySet {
  /** `keepUntil`, rounded up to a bucket's end → keys. */
  readonly #buckets = new Map<number, Set<string>>();

  constructor(readonly fence: number) {}

  get size(): number {
    let size = 0;
    for (const keys of this.#buckets.values()) size += keys.size;
    return size;
  }

  /** Sets all entries, or says which one refuses; `keys` are theirs, in the same order. */
  check(entries: readonly ReplayEntry[], keys: readonly string[]): ReplayAnswer {
    for (const [index, entry] of entries.entries()) {
      const key = keys[index] ?? "";
      if (this.#has(key) || keys.indexOf(key) !== index) return { outcome: "replayed", index };
      if (entry.issuedAt <= this.fence) return { outcome: "fenced", index };
    }
    for (const [index, entry] of entries.entries()) this.restore(keys[index] ?? "", entry.keepUntil);
    return { outcome: "fresh" };
  }

  /** Takes up what an earlier run remembered. */
  restore(key: string, keepUntil: number): void {
    const end = Math.ceil(keepUntil / BUCKET_SECONDS) * BUCKET_SECONDS;
    const keys = this.#buckets.get(end);
    if (keys === undefined) this.#buckets.set(end, new Set([key]));
    else keys.add(key);
  }

  /** Forgets what need not be remembered any more, a bucket at a time. */
  expire(now: number): void {
    for (const end of this.#buckets.keys()) if (end < now) this.#buckets.delete(end);
  }

  /** Key and the second until which it is kept, which is never before its entry's `keepUntil`. */
  *entries(): Generator<readonly [string, number]> {
    for (const [end, keys] of this.#buckets) for (const key of keys) yield [key, end];
  }

  // a nonce seen before refuses whatever time its new bearer claims: every bucket is asked
  #has(key: string): boolean {
    for (const keys of this.#buckets.values()) if (keys.has(key)) return true;
    return false;
  }
}

/** (receiver, kind, device, nonce) as one word. @see protocol 3.2 */
export function keyOf(entry: ReplayEntry): string {
  return `${entry.receiver}/${entry.kind}/${entry.device.slice(2)}/${entry.nonce.slice(2)}`;
}

import type { ReplayAnswer, ReplayEntry } from "./replay";

/** Seconds after its start up to which a store trusts no one's word on when something was made. @see services note 4 */
export const FENCE_SECONDS = 5;

/** What has been seen, in memory: all or none of a call's entries are set, in one synchronous step. */
export class ReplaySet {
  readonly #seen = new Map<string, number>();

  constructor(readonly fence: number) {}

  get size(): number {
    return this.#seen.size;
  }

  /** Sets all entries, or says which one refuses. */
  check(entries: readonly ReplayEntry[]): ReplayAnswer {
    const keys = entries.map(keyOf);
    for (const [index, entry] of entries.entries()) {
      const key = keys[index] ?? "";
      if (this.#seen.has(key) || keys.indexOf(key) !== index) return { outcome: "replayed", index };
      if (entry.issuedAt <= this.fence) return { outcome: "fenced", index };
    }
    for (const [index, entry] of entries.entries()) this.#seen.set(keys[index] ?? "", entry.keepUntil);
    return { outcome: "fresh" };
  }

  /** Takes up what an earlier run remembered. */
  restore(key: string, keepUntil: number): void {
    this.#seen.set(key, keepUntil);
  }

  /** Forgets what need not be remembered any more; returns how much was forgotten. */
  expire(now: number): number {
    const before = this.#seen.size;
    for (const [key, keepUntil] of this.#seen) if (keepUntil < now) this.#seen.delete(key);
    return before - this.#seen.size;
  }

  entries(): IterableIterator<[string, number]> {
    return this.#seen.entries();
  }
}

/** (receiver, kind, device, nonce) as one word. @see protocol 3.2 */
export function keyOf(entry: ReplayEntry): string {
  return `${entry.receiver}/${entry.kind}/${entry.device.slice(2)}/${entry.nonce.slice(2)}`;
}

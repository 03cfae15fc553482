import type { KeyObject } from "node:crypto";

import type { ParsedCap } from "../wire/cap";

/** A cap whose two signatures were verified: by this broker key, and by its device (its digest). */
export interface SeenCap {
  readonly parsed: ParsedCap;
  readonly key: KeyObject;
  /** Digest of the `CapRequest`; verified by its device unless the migration switch is off. */
  readonly digest: Buffer;
}

/**
 * Caps by their exact text, so that a cap seen before costs no signature check. Holds nothing that can end: times,
 * route, chain facts and whether the key still lives are asked again every time.
 */
export class CapCache {
  readonly #seen = new Map<string, SeenCap>();

  constructor(private readonly size = 10_000) {}

  get(text: string): SeenCap | undefined {
    return this.#seen.get(text);
  }

  set(text: string, cap: SeenCap): void {
    if (this.#seen.size >= this.size) this.#seen.delete(this.#seen.keys().next().value ?? "");
    this.#seen.set(text, cap);
  }
}

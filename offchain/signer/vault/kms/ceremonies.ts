import { randomBytes } from "node:crypto";

import { type Hex, toBase64url, toHex } from "../../../wire/bytes";
import { type Ceremony, type CeremonySubject, ceremonyOf } from "../../../wire/ceremony";

/** Seconds for which a ceremony may be used. @see services note 4.3 */
export const CEREMONY_SECONDS = 300;

/** Ceremonies that one device may have open; the next is refused until one is used or ends. */
export const OPEN_PER_DEVICE = 8;

/** Ceremonies of all devices together: what the vault's memory is bounded by. */
export const OPEN_IN_ALL = 20_000;

/** One use of a passkey that was begun and not used yet. */
export interface OpenCeremony {
  readonly ceremonyId: string;
  /** 32 bytes, drawn here: what makes the challenge fresh. */
  readonly nonce: Hex;
  /** Everything that the passkey signs, as the vault knows it. */
  readonly ceremony: Ceremony;
  /** The device whose proof began it; no other may use it. */
  readonly beganBy: Hex;
}

/** What a ceremony is begun with. */
export interface CeremonyStart {
  readonly subject: CeremonySubject;
  readonly operatorOmni: Hex;
  readonly account: Hex;
  readonly signerOrigin: string;
  readonly beganBy: Hex;
  /** Unix seconds. */
  readonly now: number;
}

/**
 * Open ceremonies, in memory: a restart of the vault forgets them and the owner taps again. Nothing else is lost by
 * that, and nothing can be used twice because of it. Every step is synchronous, so that of any number of requests
 * with one ceremony exactly one has it.
 */
export class Ceremonies {
  // in the order in which they end: all live equally long
  readonly #open = new Map<string, OpenCeremony>();
  readonly #perDevice = new Map<Hex, number>();

  /** A ceremony with a fresh nonce; undefined where the device, or all devices, have too many open. */
  begin(start: CeremonyStart): OpenCeremony | undefined {
    const { subject, operatorOmni, account, signerOrigin, beganBy, now } = start;
    this.#expire(now);
    if ((this.#perDevice.get(beganBy) ?? 0) >= OPEN_PER_DEVICE || this.#open.size >= OPEN_IN_ALL) return undefined;
    const place = { operatorOmni, account, signerOrigin, expiresAt: now + CEREMONY_SECONDS };
    const begun: OpenCeremony = {
      ceremonyId: toBase64url(randomBytes(16)),
      nonce: toHex(randomBytes(32)),
      ceremony: ceremonyOf(subject, place),
      beganBy,
    };
    this.#open.set(begun.ceremonyId, begun);
    this.#perDevice.set(beganBy, (this.#perDevice.get(beganBy) ?? 0) + 1);
    return begun;
  }

  /**
   * Uses a ceremony up, whatever comes of it afterwards; undefined where it is not open, has ended, or was begun by
   * another device (whose ceremony stays as it was).
   */
  take(ceremonyId: string, device: Hex, now: number): OpenCeremony | undefined {
    this.#expire(now);
    const found = this.#open.get(ceremonyId);
    if (found?.beganBy !== device) return undefined;
    this.#remove(found);
    // a clock that was put back may have let it stay behind one that ends later
    return now < found.ceremony.expiresAt ? found : undefined;
  }

  #expire(now: number): void {
    for (const one of this.#open.values()) {
      if (now < one.ceremony.expiresAt) return;
      this.#remove(one);
    }
  }

  #remove({ ceremonyId, beganBy }: OpenCeremony): void {
    this.#open.delete(ceremonyId);
    const left = (this.#perDevice.get(beganBy) ?? 1) - 1;
    if (left === 0) this.#perDevice.delete(beganBy);
    else this.#perDevice.set(beganBy, left);
  }
}

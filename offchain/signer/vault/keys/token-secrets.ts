import { LONGEST_OVERLAP, type TokenSecret } from "./vault-keys";

const HOUR = 3_600;

/** The rules of token secrets over their dates alone, the same for every back end. @see services note 4.3 */

/** The one that signs. */
export function signing<T extends TokenSecret>(all: readonly T[]): T | undefined {
  return all.find((one) => one.retiredAt === undefined);
}

/** True while credentials of this secret verify: it signs, or its last credential has not expired (`exp` has no leeway). */
export function isLive(secret: TokenSecret, now: number): boolean {
  return secret.retiredAt === undefined || now < secret.lastExpiry;
}

/** What is kept when `next` begins to sign: all that still verifies, or with `force` nothing. */
export function rotated<T extends TokenSecret>(all: readonly T[], next: T, now: number, force: boolean): readonly T[] {
  if (force) return [next];
  const retired = all.map((one) =>
    one.retiredAt === undefined
      ? { ...one, retiredAt: now, lastExpiry: Math.min(one.lastExpiry, now + LONGEST_OVERLAP) }
      : one,
  );
  return [...retired.filter((one) => isLive(one, now)), next];
}

/** `exp` rounded up to the hour, as it is recorded for this secret; undefined where what is recorded covers it. */
export function laterExpiry(secret: TokenSecret, exp: number): number | undefined {
  const limit = secret.retiredAt === undefined ? Infinity : secret.retiredAt + LONGEST_OVERLAP;
  const later = Math.min(Math.ceil(exp / HOUR) * HOUR, limit);
  return later > secret.lastExpiry ? later : undefined;
}

/** The dates alone, whatever else a back end keeps with them. */
export function datesOf({ kid, createdAt, retiredAt, lastExpiry }: TokenSecret): TokenSecret {
  return { kid, createdAt, ...(retiredAt === undefined ? {} : { retiredAt }), lastExpiry };
}

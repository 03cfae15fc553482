import { type WindowOptions, slidingWindow, sourceKey } from "../vault/kms/limits";

/** Limits by source; they hold what has proved nothing away from the vault. */
export interface SourceLimits {
  /** Seconds for which this source is refused, whatever it asks. */
  retryAfter(source: string): number | undefined;
  /**
   * Takes one of the source's places, once there is one; `leave` gives it back. A number: seconds for which the source
   * is refused, and nothing was taken.
   */
  enter(source: string): Promise<number | undefined>;
  /** Gives the place back when the request was proved; otherwise it stays taken for a minute. */
  leave(source: string, isProved: boolean): void;
}

/** What one source has under way at the vault, and who waits for a place. */
interface Line {
  underWay: number;
  readonly waiting: ((retryAfter: number | undefined) => void)[];
}

/** Requests a minute by one source that may prove nothing. @see protocol 3.8 "Limits" */
export const UNPROVED_A_MINUTE = 60;
const MINUTE_MS = 60_000;
const MAX_WAITING = 1_000;

/**
 * A request holds its place from when it is handed to the vault, so that those under way at a time and those of the last
 * minute that proved nothing are never more than 60. Who finds all places held by requests under way waits for the first
 * to end: it may yet turn out that they were proved.
 */
export function sourceLimits(options: Pick<WindowOptions, "now"> & { readonly maxKeys?: number }): SourceLimits {
  const { now, maxKeys = 100_000 } = options;
  const unproved = slidingWindow({ limit: UNPROVED_A_MINUTE, windowMs: MINUTE_MS, maxKeys, now });
  const lines = new Map<string, Line>();

  /** Lets in whom there is a place for; all who wait are refused once nobody may enter any more. */
  function serve(key: string, line: Line): void {
    while (line.waiting.length > 0) {
      const retryAfter = unproved.retryAfter(key);
      if (retryAfter === undefined && line.underWay >= unproved.room(key)) return;
      if (retryAfter === undefined) line.underWay += 1;
      line.waiting.shift()?.(retryAfter);
    }
    if (line.underWay === 0) lines.delete(key);
  }

  return {
    retryAfter: (source) => unproved.retryAfter(sourceKey(source)),

    enter(source) {
      const key = sourceKey(source);
      const line = lines.get(key) ?? { underWay: 0, waiting: [] };
      if (line.waiting.length >= MAX_WAITING) return Promise.resolve(1);
      lines.set(key, line);
      return new Promise((resolve) => {
        line.waiting.push(resolve);
        serve(key, line);
      });
    },

    leave(source, isProved) {
      const key = sourceKey(source);
      const line = lines.get(key);
      if (line === undefined) return;
      line.underWay -= 1;
      if (!isProved) unproved.take(key);
      serve(key, line);
    },
  };
}

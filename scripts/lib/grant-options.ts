import type { GrantWish } from "../../offchain/client/grants";
import { NO_END, type Op, isDataClass, isService } from "../../offchain/wire/names";
import { UsageError } from "./networks";
import { type Values, required, text } from "./program";

/** The options that word a grant. */
export const GRANT_OPTIONS = {
  service: { type: "string" },
  class: { type: "string" },
  ops: { type: "string" },
  until: { type: "string" },
} as const;

/** Their description. */
export const GRANT_USAGE = `  --service NAME      what for, for example openrouter
  --class NAME        credentials (default), memory or config
  --ops LIST          of store, fetch, teardown, classify; by default fetch
  --until WHEN        2026-12-31, 2026-12-31T12:00:00Z, Unix seconds, 30d, 12h, or never; by default 30d`;

const GRANTABLE = ["store", "fetch", "teardown", "classify"] as const satisfies readonly Op[];
const DAY = 86_400;

/**
 * The grant that the options word.
 * @param now Unix seconds
 * @throws UsageError
 */
export function grantOf(values: Values, now: number): GrantWish {
  const service = required(values, "service");
  if (!isService(service)) throw new UsageError("--service is 1 to 64 of a-z, 0-9 and . _ : - and has no ..");
  const dataClass = text(values, "class") ?? "credentials";
  if (!isDataClass(dataClass)) throw new UsageError("--class is credentials, memory or config");
  const ops = (text(values, "ops") ?? "fetch").split(",").map((op) => op.trim());
  if (!ops.every(isGrantable)) throw new UsageError(`--ops is a list of ${GRANTABLE.join(", ")}`);
  return { service, dataClass, ops: [...new Set(ops)], validUntil: untilOf(text(values, "until") ?? "30d", now) };
}

/** Unix seconds from what a person writes. A duration is rounded up to a whole day, so that repeating it changes nothing. */
export function untilOf(when: string, now: number): number {
  if (when === "never") return NO_END;
  const duration = /^([1-9][0-9]{0,4})([dh])$/.exec(when);
  if (duration !== null) {
    const seconds = Number(duration[1]) * (duration[2] === "d" ? DAY : 3_600);
    return Math.ceil((now + seconds) / DAY) * DAY;
  }
  const at = /^[0-9]{9,13}$/.test(when) ? Number(when) : Math.floor(Date.parse(when) / 1_000);
  if (!Number.isSafeInteger(at) || at >= NO_END)
    throw new UsageError("--until is a date, Unix seconds, 30d, 12h or never");
  if (at <= now) throw new UsageError("--until lies in the past");
  return at;
}

function isGrantable(op: string): op is (typeof GRANTABLE)[number] {
  return (GRANTABLE as readonly string[]).includes(op);
}

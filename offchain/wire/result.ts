import type { ProblemCode } from "./problem";

const REASONS = ["missing", "malformed", "forged", "stale", "replayed", "mismatch", "rolled_back"] as const;

/** Why a proof is refused, beside `proof_invalid`; `rolled_back` beside `object_corrupt`. @see protocol 3.9 */
export type FailureReason = (typeof REASONS)[number];

/** True for one of the reasons, as another service may name one. */
export function isFailureReason(value: unknown): value is FailureReason {
  return REASONS.some((one) => one === value);
}

/** One refusal: a value, never an exception. `detail` is for people: no secrets, no echo of input. */
export interface Failure {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly reason?: FailureReason;
  /** Seconds of `Retry-After`, where who refuses knows them. */
  readonly retryAfter?: number;
}

/** What every deciding function returns. A bug throws instead. */
export type Result<T> = { readonly ok: true; readonly value: T } | { readonly ok: false; readonly failure: Failure };

/** A success. */
export function ok<T>(value: T): Result<T> {
  return { ok: true, value };
}

/** A refusal as a `Result`. */
export function refuse(code: ProblemCode, detail: string, reason?: FailureReason): Result<never> {
  return { ok: false, failure: failure(code, detail, reason) };
}

/** A refusal by itself, as the named checks return it. */
export function failure(code: ProblemCode, detail: string, reason?: FailureReason): Failure {
  return reason === undefined ? { code, detail } : { code, detail, reason };
}

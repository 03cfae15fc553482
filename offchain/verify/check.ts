import type { Failure } from "../wire/result";

/** A named truth: undefined where it holds, the refusal where it does not. */
export type Check<F> = (facts: F) => Failure | undefined;

/** Asks the checks in order; the first failure answers. */
export function firstFailure<F>(checks: readonly Check<F>[], facts: F): Failure | undefined {
  for (const check of checks) {
    const found = check(facts);
    if (found !== undefined) return found;
  }
  return undefined;
}

/** What the test runners of one lane reported. */
export interface Counts {
  /** How many runs came to their end and said what they found. */
  readonly summaries: number;
  readonly passed: number;
  readonly failed: number;
}

/** The end of mocha's report: `  12 passing (3s)`, alone on its line, then perhaps `  1 failing`. */
const PASSING = /^ {2}(\d+) passing \(\w+\)$/gm;
const FAILING = /^ {2}(\d+) failing$/gm;
/** The end of forge's. */
const FORGE = /^Ran \d+ test suites? .*: (\d+) tests? passed, (\d+) failed, \d+ skipped/gm;

/** Adds up every summary of mocha and of forge in a lane's output. */
export function countTests(output: string): Counts {
  // eslint-disable-next-line no-control-regex -- colours
  const plain = output.replace(/\u001b\[[\d;]*m/g, "");
  const sum = (pattern: RegExp, group = 1): number =>
    [...plain.matchAll(pattern)].reduce((total, match) => total + Number(match[group]), 0);
  return {
    summaries: [PASSING, FORGE].reduce((total, pattern) => total + [...plain.matchAll(pattern)].length, 0),
    passed: sum(PASSING) + sum(FORGE),
    failed: sum(FAILING) + sum(FORGE, 2),
  };
}

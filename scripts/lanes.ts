import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";

import { countTests } from "./lib/lane-counts";
import { endLane } from "./lib/lane-processes";

const USAGE = `lanes [--jobs N] <script>…
Runs scripts of package.json side by side, N at a time (one more than there are cores), begun in the order given.
Each one's output is printed whole when it ends. A script named test… must report how its tests came out; one that ends
without that has failed, whatever its exit code. Fails if one fails; the others run to their end. The last line is
"N passed, N failed": tests, and one for each script that failed in another way.`;

/** How a lane came out. */
interface Outcome {
  readonly lane: string;
  readonly passed: number;
  readonly failed: number;
  /** Why it failed, where it did. */
  readonly why: string | undefined;
  readonly seconds: number;
}

interface Started {
  readonly child: ChildProcess;
  readonly log: string;
  /** Milliseconds of `performance.now()`. */
  readonly began: number;
}

const running = new Map<string, Started>();
let isInterrupted = false;

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({ allowPositionals: true, options: { jobs: { type: "string" } } });
  const jobs = values.jobs === undefined ? availableParallelism() + 1 : Number(values.jobs);
  if (positionals.length === 0 || !Number.isInteger(jobs) || jobs < 1) throw new Error(USAGE);
  for (const name of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(name, () => void interrupt(name));
  const dir = mkdtempSync(join(tmpdir(), "agentkeys-lanes-"));
  process.on("exit", () => {
    rmSync(dir, { recursive: true, force: true });
  });
  const waiting = positionals.map((lane, i) => ({ lane, log: join(dir, String(i)) }));
  const outcomes: Outcome[] = [];
  const work = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined && !isInterrupted; next = waiting.shift()) {
      outcomes.push(await runLane(next.lane, next.log));
    }
  };
  await Promise.all(Array.from({ length: jobs }, work));
  // the interrupt ends this process
  if (!isInterrupted) conclude(outcomes);
}

/** Runs a lane to its end and prints what it said. */
async function runLane(lane: string, log: string): Promise<Outcome> {
  const began = performance.now();
  const output = openSync(log, "w");
  // a group of its own, so that Ctrl-C reaches this program alone; one file for both streams keeps their order
  const child = spawn("npm", ["run", "--silent", lane], { stdio: ["ignore", output, output], detached: true });
  closeSync(output);
  running.set(lane, { child, log, began });
  console.log(`-- ${lane} begins`);
  const ended = await once(child, "exit").catch((error: unknown) => [String(error)]);
  const [code, signal] = ended as [number | string | null, NodeJS.Signals | null];
  running.delete(lane);
  const seconds = secondsSince(began);
  const text = readFileSync(log, "utf8");
  const { summaries, passed, failed } = countTests(text);
  const why =
    code !== 0
      ? `ended with ${String(code ?? signal)}`
      : failed > 0
        ? "has tests that failed"
        : lane.startsWith("test") && summaries === 0
          ? "ended without the summary of its tests"
          : undefined;
  if (!isInterrupted) show(lane, began, why ?? "ended well", text);
  return { lane, passed, failed: why === undefined ? 0 : Math.max(failed, 1), why, seconds };
}

function show(lane: string, began: number, how: string, text: string): void {
  console.log(`\n== ${lane} ${how} after ${secondsSince(began).toFixed(0)} s\n${text.trimEnd()}\n`);
}

function secondsSince(began: number): number {
  return (performance.now() - began) / 1_000;
}

function conclude(outcomes: readonly Outcome[]): void {
  console.log();
  for (const { lane, seconds, passed, failed, why } of outcomes) {
    const tests = passed + failed === 0 ? "" : `, ${String(passed)} passed, ${String(failed)} failed`;
    console.log(`${why === undefined ? "  ok  " : "FAILED"} ${lane}: ${seconds.toFixed(0)} s${tests}`);
    if (why !== undefined) console.log(`       ${lane} ${why}; its output is above`);
  }
  const sum = (key: "passed" | "failed"): number => outcomes.reduce((total, one) => total + one[key], 0);
  console.log(`\n${String(sum("passed"))} passed, ${String(sum("failed"))} failed`);
  process.exitCode = outcomes.some((one) => one.why !== undefined) ? 1 : 0;
}

/** Ends what runs, shows how far it came, and ends this program. */
async function interrupt(signal: NodeJS.Signals): Promise<void> {
  if (isInterrupted) return;
  isInterrupted = true;
  const lanes = [...running];
  await Promise.all(lanes.map(([, { child }]) => endLane(child)));
  for (const [lane, { log, began }] of lanes) show(lane, began, "was interrupted", readFileSync(log, "utf8"));
  console.log(`\ninterrupted by ${signal}`);
  process.exit(1);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

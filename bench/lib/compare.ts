import { spawn } from "node:child_process";
import { once } from "node:events";
import { resolve } from "node:path";

import type { Fired } from "../load/fire";
import type { LoadPlan } from "../load/scenarios";
import { type PinnedServer, commandFor } from "./pinned";
import { type Row, median, percentile, rounded } from "./row";

const ROUNDS = 5;
/** As many as keep one core busy. */
const CONNECTIONS = 16;
const ROOT = resolve(__dirname, "../..");

/** One side of a comparison. */
export interface Side {
  readonly server: Pick<PinnedServer, "cpuSeconds">;
  readonly plan: Omit<LoadPlan, "connections" | "count">;
  readonly count: number;
}

interface Round {
  readonly perSecond: number;
  readonly latencies: readonly number[];
  readonly cpuMicros: number | undefined;
}

/** Runs both sides in turns, so that a busy minute of the machine meets both; the first turn of each warms up. */
export async function compare(
  name: string,
  ours: Side,
  peer: (Side & { readonly name: string }) | undefined,
  leastRatio?: number,
): Promise<Row> {
  const mine: Round[] = [];
  const theirs: Round[] = [];
  for (let round = 0; round <= ROUNDS; round += 1) {
    const one = await runRound(ours);
    const other = peer === undefined ? undefined : await runRound(peer);
    if (round === 0) continue;
    mine.push(one);
    if (other !== undefined) theirs.push(other);
  }
  const all = mine.flatMap((one) => one.latencies);
  const row: Row = {
    name,
    value: rounded(median(mine.map((one) => one.perSecond)), 0),
    unit: "req/s",
    p50_ms: rounded(percentile(all, 0.5), 2),
    p99_ms: rounded(percentile(all, 0.99), 2),
    ...cpu("cpu_us_per_request", mine),
  };
  if (peer === undefined) return row;
  const ratio = median(mine.map((one, i) => one.perSecond / (theirs[i]?.perSecond ?? NaN)));
  return {
    ...row,
    peer: peer.name,
    peer_value: rounded(median(theirs.map((one) => one.perSecond)), 0),
    peer_p50_ms: rounded(
      percentile(
        theirs.flatMap((one) => one.latencies),
        0.5,
      ),
      2,
    ),
    ...cpu("peer_cpu_us_per_request", theirs),
    ratio: rounded(ratio, 2),
    ...(leastRatio === undefined ? {} : { target: `ratio ≥ ${String(leastRatio)}`, reached: ratio >= leastRatio }),
  };
}

function cpu<K extends string>(member: K, rounds: readonly Round[]): Partial<Record<K, number>> {
  const micros = rounds.flatMap((one) => one.cpuMicros ?? []);
  return micros.length < rounds.length ? {} : ({ [member]: rounded(median(micros), 0) } as Record<K, number>);
}

async function runRound(side: Side): Promise<Round> {
  const before = side.server.cpuSeconds();
  const fired = await runLoad({ ...side.plan, count: side.count, connections: CONNECTIONS });
  const after = side.server.cpuSeconds();
  return {
    perSecond: fired.requests / fired.seconds,
    latencies: fired.latencies,
    cpuMicros: before === undefined || after === undefined ? undefined : ((after - before) * 1e6) / fired.requests,
  };
}

/** A load generator in a process of its own, away from the server's core. */
async function runLoad(plan: LoadPlan): Promise<Fired> {
  const [command, args] = commandFor("bench/load/main.ts", "load");
  const child = spawn(command, args, { cwd: ROOT, stdio: ["pipe", "pipe", "pipe"] });
  let out = "";
  let errors = "";
  child.stdout.on("data", (chunk: Buffer) => (out += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => (errors += chunk.toString()));
  child.stdin.end(JSON.stringify(plan));
  const [code] = (await once(child, "close")) as [number | null];
  if (code !== 0) throw new Error(`${plan.scenario}: ${errors.slice(0, 2_000)}`);
  return JSON.parse(out) as Fired;
}

import { canPin } from "./lib/pinned";
import type { Row } from "./lib/row";
import { BenchWorld } from "./lib/world";
import { ROWS } from "./rows";

/** `npm run bench [-- [--json] [row or prefix …]]`: one line a row; exit code 1 where a row misses its target. */
async function main(): Promise<void> {
  const asked = process.argv.slice(2);
  const isJson = asked.includes("--json");
  const prefixes = asked.filter((one) => !one.startsWith("--"));
  const names = Object.keys(ROWS).filter(
    (name) => prefixes.length === 0 || prefixes.some((one) => name === one || name.startsWith(`${one}.`)),
  );
  if (names.length === 0) throw new Error(`no such row; the rows are ${Object.keys(ROWS).join(", ")}`);
  console.error(canPin ? "servers on core 0, load on the others" : "not pinned: no second core, or no taskset here");
  const world = await BenchWorld.start();
  try {
    for (const name of names) {
      const row = await ROWS[name]?.(world);
      if (row === undefined) continue;
      if (row.reached === false) process.exitCode = 1;
      console.log(isJson ? JSON.stringify(row) : line(row));
    }
  } finally {
    await world.stop();
  }
}

function line(row: Row): string {
  const cpu = row.cpu_us_per_request === undefined ? "" : `, ${String(row.cpu_us_per_request)} µs of CPU a request`;
  const own = `${row.name.padEnd(16)} ${String(row.value)} ${row.unit} (p50 ${String(row.p50_ms)} ms, p99 ${String(row.p99_ms)} ms${cpu})`;
  if (row.peer === undefined) return own;
  const peerCpu =
    row.peer_cpu_us_per_request === undefined ? "" : ` (${String(row.peer_cpu_us_per_request)} µs of CPU a request)`;
  const peer = `${row.peer}: ${String(row.peer_value)} ${row.unit}${peerCpu}; ratio ${String(row.ratio)}`;
  const over = row.over_peer_ms === undefined ? "" : `, ${String(row.over_peer_ms)} ms over it`;
  const target = row.target === undefined ? "" : ` [${row.target}: ${row.reached === true ? "reached" : "MISSED"}]`;
  return `${own}\n${" ".repeat(17)}${peer}${over}${target}`;
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

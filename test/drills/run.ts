import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startStack } from "../../scripts/lib/stack";
import { DRILLS } from "./all";
import { runDrill } from "./drill";
import { World } from "./world";

/** `npm run drills -- [--json] [D1 …]`: one line a drill; exit code 1 where one did not hold. */
async function main(): Promise<void> {
  const asked = process.argv.slice(2);
  const isJson = asked.includes("--json");
  const ids = asked.filter((one) => !one.startsWith("--"));
  const kept = process.env["DRILLS_DIR"];
  const dir = kept ?? mkdtempSync(join(tmpdir(), "agentkeys-drills-"));
  const stack = await startStack({ dir, logLevel: "warn" });
  try {
    const world = await World.over(stack);
    for (const drill of DRILLS.filter((one) => ids.length === 0 || ids.includes(one.id))) {
      try {
        const report = await runDrill(drill, world);
        const words = `refused by ${report.by.join(", ")} (${report.code}; ${String(report.attempts)} attempts)`;
        console.log(isJson ? JSON.stringify(report) : `${drill.id.padEnd(4)} ${drill.title}: ${words}`);
      } catch (error) {
        process.exitCode = 1;
        const why = error instanceof Error ? error.message : String(error);
        console.log(
          isJson ? JSON.stringify({ drill: drill.id, refused: false, error: why }) : `${drill.id} FAILED: ${why}`,
        );
      }
    }
    await world.close();
  } finally {
    await stack.stop();
    if (kept === undefined) rmSync(dir, { recursive: true, force: true });
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

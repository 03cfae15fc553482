import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { type Stack, startStack } from "../../scripts/lib/stack";
import { DRILLS } from "./all";
import { runDrill } from "./drill";
import { World } from "./world";

describe("drills, against real processes and a real node", function () {
  this.timeout(300_000);
  const dir = mkdtempSync(join(tmpdir(), "agentkeys-drills-"));
  let stack: Stack | undefined;
  let world: World | undefined;

  before(async () => {
    stack = await startStack({ dir, logLevel: "warn" });
    world = await World.over(stack);
  });

  after(async () => {
    await world?.close();
    await stack?.stop();
    rmSync(dir, { recursive: true, force: true });
  });

  for (const drill of DRILLS) {
    it(`drill: ${drill.id} ${drill.title}`, async () => {
      if (world === undefined) throw new Error("the stack did not start");
      await runDrill(drill, world);
    });
  }
});

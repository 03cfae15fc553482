import { existsSync, readFileSync, statSync, writeFileSync, mkdirSync } from "node:fs";
import { join, resolve } from "node:path";

import { expect } from "chai";

import { start } from "../../helpers/process";
import { temporaryFolders } from "../../helpers/temporary-folder";

const ROOT = resolve(__dirname, "../../..");

describe("npm start", function () {
  this.timeout(120_000);
  const folders = temporaryFolders();
  after(() => {
    folders.removeAll();
  });

  for (const signal of ["SIGTERM", "SIGINT"] as const) {
    it(`says where its stack is while it runs, and takes it back at ${signal}`, async () => {
      const cwd = folders.make();
      const file = join(cwd, ".agentkeys", "stack.json");
      mkdirSync(join(cwd, ".agentkeys"));
      writeFileSync(file, "of a stack that was killed");
      const args = ["--import", require.resolve("tsx"), join(ROOT, "scripts/start.ts")];
      const running = await start(args, { until: /The stack runs/, cwd });
      try {
        expect(statSync(file).mode & 0o777).to.equal(0o600);
        const described = JSON.parse(readFileSync(file, "utf8")) as { urls: { broker: string } };
        const ready = await fetch(`${described.urls.broker}/readyz`);
        expect(ready.status).to.equal(200);
      } finally {
        await running.stop(signal);
      }
      expect(running.child.exitCode).to.equal(0);
      expect(existsSync(file)).to.equal(false);
    });
  }
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { expect } from "chai";

import { countTests } from "../../../scripts/lib/lane-counts";
import { eventually } from "../../helpers/eventually";
import { commandOf } from "../../helpers/process-memory";
import { temporaryFolders } from "../../helpers/temporary-folder";

const ROOT = resolve(__dirname, "../../..");
const PROGRAM = ["--import", require.resolve("tsx"), join(ROOT, "scripts", "lanes.ts")];

/** How mocha ends. */
const summary = (passing: number, failing?: number): string =>
  `\n\n  ${String(passing)} passing (3s)\n${failing === undefined ? "" : `  ${String(failing)} failing\n`}\n`;

describe("lanes", () => {
  const folders = temporaryFolders();
  after(() => {
    folders.removeAll();
  });

  /** Runs lanes, each of which is a shell command. */
  function lanes(scripts: Readonly<Record<string, string>>) {
    const cwd = folders.make();
    writeFileSync(join(cwd, "package.json"), JSON.stringify({ scripts }));
    const child = spawn(process.execPath, [...PROGRAM, ...Object.keys(scripts)], { cwd });
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => (output += chunk.toString()));
    child.stderr.on("data", (chunk: Buffer) => (output += chunk.toString()));
    const ended = once(child, "close").then(() => ({
      code: child.exitCode,
      output,
      last: output.trimEnd().split("\n").pop(),
    }));
    return { cwd, child, ended };
  }

  const says = (passing: number, failing?: number, code = 0): string =>
    `printf '${summary(passing, failing).replaceAll("\n", "\\n")}'; exit ${String(code)}`;

  it("adds up what mocha and forge report, and nothing that only looks like it", () => {
    expect(countTests(summary(7))).to.deep.equal({ summaries: 1, passed: 7, failed: 0 });
    expect(countTests(summary(0, 2) + summary(5))).to.deep.equal({ summaries: 2, passed: 5, failed: 2 });
    const coloured = "\u001b[92m \u001b[0m\u001b[32m 12 passing\u001b[0m\u001b[90m (9m)\u001b[0m\n";
    expect(countTests(coloured)).to.deep.equal({ summaries: 1, passed: 12, failed: 0 });
    const forge = "Ran 2 test suites in 3.21s (6.1s CPU time): 9 tests passed, 1 failed, 0 skipped (10 total tests)\n";
    expect(countTests(forge)).to.deep.equal({ summaries: 1, passed: 9, failed: 1 });
    const titles = "    ✔ 12 passing (3s)\n  12 passing strangers\n  3 failing disks\n";
    expect(countTests(titles)).to.deep.equal({ summaries: 0, passed: 0, failed: 0 });
  });

  it("prints each lane whole, and the sum last", async () => {
    const { ended } = lanes({
      "test:a": `echo a one; sleep 0.5; echo a two; ${says(3)}`,
      "test:b": `echo b one; sleep 0.5; echo b two >&2; ${says(4)}`,
      lint: "echo nothing to count",
    });
    const { then } = { then: await ended };
    expect(then.output)
      .to.match(/\na one\na two\n/)
      .and.match(/\nb one\nb two\n/);
    expect([then.code, then.last]).to.deep.equal([0, "7 passed, 0 failed"]);
  });

  for (const [name, command, last, why] of [
    ["has failing tests", says(3, 2, 2), "8 passed, 2 failed", /ended with 2/],
    ["has failing tests and hides it", says(3, 2, 0), "8 passed, 2 failed", /has tests that failed/],
    ["breaks off", "echo '  ✔ one'; exit 7", "5 passed, 1 failed", /ended with 7/],
    ["breaks off and says 0", "echo '  ✔ one'; exit 0", "5 passed, 1 failed", /without the summary/],
    ["is killed", "kill -9 $$", "5 passed, 1 failed", /test:bad ended with/],
    ["ends badly after a good report", says(3, undefined, 1), "8 passed, 1 failed", /ended with 1/],
  ] as const) {
    it(`a lane that ${name} fails all, and the others end`, async () => {
      const { ended } = lanes({ "test:bad": command, "test:good": `sleep 0.3; ${says(5)}` });
      const { code, output, last: line } = await ended;
      expect([code, line]).to.deep.equal([1, last]);
      expect(output)
        .to.match(why)
        .and.match(/ ok {3}test:good/);
    });
  }

  it("a lane that does not exist fails, and so does a call without lanes", async () => {
    const { ended, cwd } = lanes({ "test:good": says(5) });
    expect((await ended).code).to.equal(0);
    for (const args of [["test:none"], [], ["--jobs", "0", "test:good"]]) {
      const child = spawn(process.execPath, [...PROGRAM, ...args], { cwd, stdio: "ignore" });
      await once(child, "close");
      expect(child.exitCode).to.equal(1);
    }
  });

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    it(`${signal} ends every process of every lane, also one in a group of its own, and fails`, async () => {
      const away = `require("child_process").spawn("sleep", ["600"], { detached: true, stdio: "ignore" })`;
      const write = `require("fs").writeFileSync("ids", [process.pid, child.pid].join(" "))`;
      const program = `const child = ${away}; process.on("SIGTERM", () => {}); ${write}; setInterval(() => {}, 1000)`;
      const { cwd, child, ended } = lanes({
        "test:endless": `echo so far; node -e '${program}'`,
        "test:other": "sleep 600",
      });
      const file = join(cwd, "ids");
      const ids = (): number[] => (existsSync(file) ? readFileSync(file, "utf8") : "").split(" ").map(Number);
      await eventually(() => Promise.resolve(ids().length === 2));
      child.kill(signal);
      const { code, output } = await ended;
      expect(code).to.equal(1);
      expect(output).to.match(/so far/);
      // nothing, or a zombie that its new parent has not asked for yet
      expect(ids().map((id) => commandOf(id) ?? "")).to.deep.equal(["", ""]);
    });
  }
});

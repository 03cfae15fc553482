import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";

import { expect } from "chai";

import { lockFolder } from "../../../offchain/store/folder-lock";
import { StoreUnavailable } from "../../../offchain/store/unavailable";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { type Contender, startContender } from "./contender";

describe("lockFolder", () => {
  const folders = temporaryFolders();
  const processes: { kill(): unknown }[] = [];

  afterEach(async () => {
    for (const one of processes.splice(0)) await one.kill();
  });
  after(() => {
    folders.removeAll();
  });

  const refusal = (dir: string): string => {
    try {
      lockFolder(dir).release();
    } catch (error) {
      expect(error).to.be.instanceOf(StoreUnavailable);
      return (error as Error).message;
    }
    return "";
  };
  const contend = async (dir: string, count: number): Promise<readonly [Contender, string][]> => {
    const all = await Promise.all(Array.from({ length: count }, () => startContender("lock", dir)));
    processes.push(...all);
    for (const one of all) one.go();
    return Promise.all(all.map(async (one): Promise<[Contender, string]> => [one, await one.word()]));
  };
  const takersOf = (outcomes: readonly [Contender, string][]): readonly Contender[] =>
    outcomes.filter(([, word]) => word === "taken").map(([one]) => one);
  const bootId = (): string => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
  const startedAt = (pid: number): string =>
    readFileSync(`/proc/${String(pid)}/stat`, "utf8")
      .split(") ")[1]
      ?.split(" ")[19] ?? "";

  it("makes the folder for its owner alone, and gives it back", () => {
    const dir = join(folders.make(), "a", "b");
    const lock = lockFolder(dir);
    expect(statSync(dir).mode & 0o777).to.equal(0o700);
    expect(refusal(dir)).to.contain(`process ${String(process.pid)}`);
    lock.release();
    expect(refusal(dir)).to.equal("");
    lockFolder(dir).release();
  });

  it("is released once: a second release does not free the next holder's", () => {
    const dir = folders.make();
    const first = lockFolder(dir);
    first.release();
    const second = lockFolder(dir);
    first.release();
    expect(refusal(dir)).to.not.equal("");
    second.release();
    expect(refusal(dir)).to.equal("");
  });

  it("does not gather files, however often it is taken", () => {
    const dir = folders.make();
    for (let i = 0; i < 50; i += 1) lockFolder(dir).release();
    expect(readdirSync(dir)).to.have.length(1);
  });

  it("is taken by one of many processes, and by one of many more when that one is killed", async function () {
    this.timeout(120_000);
    const dir = folders.make();
    let [holder, ...others] = takersOf(await contend(dir, 6));
    for (let round = 0; round < 3; round += 1) {
      expect(others).to.deep.equal([]);
      expect(refusal(dir)).to.contain(`process ${String(holder?.child.pid)}`);
      await holder?.kill();
      [holder, ...others] = takersOf(await contend(dir, 4));
      expect(holder).to.not.equal(undefined);
    }
    expect(readdirSync(dir).filter((name) => name.startsWith(".lock-"))).to.have.length(1);
  });

  it("is taken from a zombie: it has ended, though nobody has waited for it", async function () {
    this.timeout(60_000);
    const dir = folders.make();
    const taker = `"${process.execPath}" -r tsx/cjs "${join(__dirname, "contending.ts")}" lock "${dir}"`;
    // the shell becomes a program that never waits for its child
    const parent = spawn("sh", ["-c", `(echo go; exec sleep 600) | ${taker} & echo $!; exec sleep 600`], {
      stdio: ["ignore", "pipe", "inherit"],
      detached: true,
    });
    processes.push({ kill: () => endGroup(parent) });
    let pid = 0;
    for await (const line of createInterface({ input: parent.stdout })) {
      if (/^[0-9]+$/.test(line)) pid = Number(line);
      if (line === "taken") break;
    }
    expect(refusal(dir)).to.contain(`process ${String(pid)}`);
    process.kill(pid, "SIGKILL");
    const state = (): string | undefined => readFileSync(`/proc/${String(pid)}/stat`, "utf8").split(") ")[1]?.[0];
    while (state() !== "Z") await new Promise((done) => setTimeout(done, 5));
    process.kill(pid, 0); // the kernel still knows it
    expect(refusal(dir)).to.equal("");
  });

  it("is taken where the words in it name nobody alive", () => {
    const [pid, started] = [String(process.ppid), startedAt(process.ppid)];
    const dead: Readonly<Record<string, string>> = {
      "another process with the same id": `${pid} 1 ${bootId()}`,
      "an earlier boot": `${pid} ${started} 00000000-0000-0000-0000-000000000000`,
      "an id that nobody has": `4194305 1 ${bootId()}`,
      "no id": `x ${started} ${bootId()}`,
      "an id below one": `-1 ${started} ${bootId()}`,
      "a group's id": `0 ${started} ${bootId()}`,
      nothing: "",
    };
    for (const [what, words] of Object.entries(dead)) {
      const dir = folders.make();
      writeFileSync(join(dir, ".lock-7"), words);
      expect(refusal(dir), what).to.equal("");
      expect(existsSync(join(dir, ".lock-8")), what).to.equal(true);
    }
    const dir = folders.make();
    writeFileSync(join(dir, ".lock-7"), `${pid} ${started} ${bootId()}`);
    expect(refusal(dir)).to.contain(`process ${pid}`);
  });
});

async function endGroup(parent: ChildProcess): Promise<void> {
  const gone = once(parent, "exit");
  process.kill(-(parent.pid ?? NaN), "SIGKILL");
  await gone;
}

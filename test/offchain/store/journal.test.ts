import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { openJournal } from "../../../offchain/store/journal";
import { StoreUnavailable } from "../../../offchain/store/unavailable";
import { failingFiles } from "../../helpers/failing-files";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { writeAndKill } from "./kill";

describe("openJournal", () => {
  const folders = temporaryFolders();
  const newFile = (): string => join(folders.make(), "lines");
  const failure = (act: Promise<unknown>): Promise<unknown> => act.then(() => undefined).catch((e: unknown) => e);

  after(() => {
    folders.removeAll();
  });

  it("keeps the order of appends and shares flushes among them", async () => {
    const file = newFile();
    const { journal } = await openJournal(file);
    const words = Array.from({ length: 500 }, (_, i) => `line ${String(i)}`);
    const flushes = await failingFiles("datasync");
    flushes.heal();
    await Promise.all(words.map((word) => journal.append(word)));
    await journal.close();
    expect(readFileSync(file, "utf8")).to.equal(words.map((word) => `${word}\n`).join(""));
    const again = await openJournal(file);
    await again.journal.close();
    expect(again.lines).to.deep.equal(words);
  });

  it("flushes once for all that wait", async () => {
    const { journal } = await openJournal(newFile());
    const disk = await failingFiles("datasync");
    const failures = await Promise.all(Array.from({ length: 100 }, () => failure(journal.append("x"))));
    disk.heal();
    expect(disk.calls).to.equal(1);
    for (const one of failures) expect(one).to.be.instanceOf(StoreUnavailable);
    await journal.close();
  });

  it("loses no acknowledged line to kill -9, also while it is being rewritten", async function () {
    this.timeout(120_000);
    const dir = folders.make();
    let next = 0;
    // as many rounds as it takes: a slow machine acknowledges less in each
    for (let round = 0; round < 30 || next <= 100; round += 1) {
      const words = await writeAndKill("journal", dir, next, round * 4);
      const { journal, lines } = await openJournal(join(dir, "lines"));
      await journal.close();
      const found = new Set<number>();
      for (const line of lines) {
        const [number = "", filling] = line.split(":");
        expect(filling).to.equal("x".repeat((Number(number) * 37) % 3_000));
        found.add(Number(number));
      }
      for (const word of words) expect(found.has(Number(word)), word).to.equal(true);
      // what was written but not acknowledged may be there as well
      next = Math.max(-4, ...found) + 4;
      next -= next % 4;
      for (let n = 0; n < next - 4; n += 1) expect(found.has(n), `line ${String(n)} of ${String(next)}`).to.equal(true);
    }
  });

  it("leaves nothing of a write that failed, and no gap, once it succeeds again", async () => {
    const file = newFile();
    const { journal } = await openJournal(file);
    await journal.append("one");
    for (const method of ["datasync", "appendFile"] as const) {
      const disk = await failingFiles(method, "EIO");
      expect(await failure(journal.append("lost"))).to.be.instanceOf(StoreUnavailable);
      expect(await failure(journal.append("lost too"))).to.be.instanceOf(StoreUnavailable);
      disk.heal();
    }
    await journal.append("two");
    await journal.close();
    expect(readFileSync(file, "utf8")).to.equal("one\ntwo\n");
  });

  it("stays refused while what a failed write left cannot be cut off", async () => {
    const file = newFile();
    const { journal } = await openJournal(file);
    await journal.append("one");
    const flush = await failingFiles("datasync");
    await failure(journal.append("lost"));
    flush.heal();
    const truncate = await failingFiles("truncate");
    expect(await failure(journal.append("also lost"))).to.be.instanceOf(StoreUnavailable);
    truncate.heal();
    await journal.append("two");
    await journal.close();
    expect(readFileSync(file, "utf8")).to.equal("one\ntwo\n");
  });

  it("cuts off a last line without its end, of any length", async () => {
    const file = newFile();
    const whole = "first\nsecond\n";
    for (const torn of ["", "t", "third", "\0\0\0\0"]) {
      writeFileSync(file, whole + torn);
      const { journal, lines } = await openJournal(file);
      await journal.append("next");
      await journal.close();
      expect(lines).to.deep.equal(["first", "second"]);
      expect(readFileSync(file, "utf8")).to.equal(`${whole}next\n`);
    }
  });

  describe("rewrite", () => {
    it("puts other lines in place and goes on behind them", async () => {
      const file = newFile();
      const { journal } = await openJournal(file);
      await journal.append("old");
      await journal.rewrite(["new 1", "new 2"]);
      await journal.append("behind");
      await journal.close();
      expect(readFileSync(file, "utf8")).to.equal("new 1\nnew 2\nbehind\n");
    });

    it("carries over what is appended meanwhile", async () => {
      const file = newFile();
      const { journal } = await openJournal(file);
      const appended: Promise<void>[] = [];
      let n = 0;
      const timer = setInterval(() => {
        for (let i = 0; i < 20; i += 1, n += 1) appended.push(journal.append(`appended ${String(n)}`));
      }, 1);
      const kept = Array.from({ length: 50_000 }, (_, i) => `kept ${String(i)}`);
      await journal.rewrite(kept);
      await journal.rewrite(kept.slice(0, 10));
      clearInterval(timer);
      await Promise.all(appended);
      await journal.close();
      const lines = readFileSync(file, "utf8").trimEnd().split("\n");
      expect(lines.slice(0, 10)).to.deep.equal(kept.slice(0, 10));
      expect(lines.at(-1)).to.equal(`appended ${String(n - 1)}`);
    });

    it("carries over what is appended while it waits for another", async () => {
      const file = newFile();
      const { journal } = await openJournal(file);
      await journal.append("one");
      const first = journal.rewrite(["one"]);
      const second = journal.rewrite(["one"]);
      await journal.append("two");
      await Promise.all([first, second]);
      await journal.close();
      expect(readFileSync(file, "utf8")).to.equal("one\ntwo\n");
    });

    it("changes nothing when it fails, and leaves no temporary file", async () => {
      const file = newFile();
      const { journal } = await openJournal(file);
      await journal.append("one");
      const disk = await failingFiles("sync");
      expect(await failure(journal.rewrite(["other"]))).to.be.instanceOf(StoreUnavailable);
      disk.heal();
      expect(existsSync(`${file}.tmp`)).to.equal(false);
      await journal.append("two");
      await journal.rewrite(["three"]);
      await journal.append("four");
      await journal.close();
      expect(readFileSync(file, "utf8")).to.equal("three\nfour\n");
    });

    it("takes no heed of what a killed rewrite left", async () => {
      const file = newFile();
      writeFileSync(file, "one\n");
      appendFileSync(`${file}.tmp`, "half a re");
      const { journal, lines } = await openJournal(file);
      await journal.rewrite(["two"]);
      await journal.close();
      expect(lines).to.deep.equal(["one"]);
      expect(readFileSync(file, "utf8")).to.equal("two\n");
    });
  });
});

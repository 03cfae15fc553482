import { createHash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { fileAudit, verifyAuditFile } from "../../../offchain/store/file-audit";
import { StoreUnavailable } from "../../../offchain/store/unavailable";
import { failingFiles } from "../../helpers/failing-files";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { writeAndKill } from "./kill";

const ZEROS = "0".repeat(64);
const sha256 = (line: string): string => createHash("sha256").update(line).digest("hex");
const failure = (act: Promise<unknown>): Promise<unknown> => act.then(() => undefined).catch((error: unknown) => error);

describe("fileAudit", () => {
  const folders = temporaryFolders();
  const newFile = (): string => join(folders.make(), "audit", "rows");
  const linesOf = (file: string): string[] => readFileSync(file, "utf8").split("\n").slice(0, -1);
  const rowsOf = (file: string): Record<string, unknown>[] =>
    linesOf(file).map((line) => JSON.parse(line) as Record<string, unknown>);
  const filled = async (count: number): Promise<string> => {
    const file = newFile();
    const log = await fileAudit({ file });
    for (let n = 0; n < count; n += 1) await log.append({ n });
    await log.close();
    return file;
  };
  const refusalOf = (file: string): string => {
    try {
      verifyAuditFile(file);
    } catch (error) {
      expect(error).to.be.instanceOf(StoreUnavailable);
      return (error as Error).message;
    }
    return "";
  };

  after(() => {
    folders.removeAll();
  });

  it("chains each row to the line before it, in the order of the calls", async () => {
    const file = newFile();
    const log = await fileAudit({ file });
    await Promise.all(Array.from({ length: 200 }, (_, n) => log.append({ n, event: "intent" })));
    await log.append({});
    await log.close();
    let previous = ZEROS;
    for (const [n, line] of linesOf(file).entries()) {
      const row = n === 200 ? { previous } : { previous, n, event: "intent" };
      expect(line).to.equal(JSON.stringify(row));
      previous = sha256(line);
    }
    expect(verifyAuditFile(file)).to.deep.equal({ rows: 201, head: previous });
    expect(statSync(file).mode & 0o777).to.equal(0o600);
  });

  it("is durable before it answers", async () => {
    const file = newFile();
    const log = await fileAudit({ file });
    for (let n = 0; n < 20; n += 1) {
      await log.append({ n });
      expect(rowsOf(file).at(-1)?.["n"]).to.equal(n);
    }
    await log.close();
  });

  it("goes on behind what it finds", async () => {
    const file = await filled(3);
    const log = await fileAudit({ file });
    await log.append({ n: 3 });
    await log.close();
    expect(rowsOf(file).map((row) => row["n"])).to.deep.equal([0, 1, 2, 3]);
    expect(verifyAuditFile(file).rows).to.equal(4);
  });

  it("takes no row that brings the chain's own member", async () => {
    const file = newFile();
    const log = await fileAudit({ file });
    expect(await failure(log.append({ previous: ZEROS }))).to.be.instanceOf(RangeError);
    await log.append({ n: 0 });
    await log.close();
    expect(verifyAuditFile(file).rows).to.equal(1);
  });

  it("drops a last line that a crash cut off, and chains on behind the one before it", async () => {
    const file = await filled(3);
    const whole = readFileSync(file, "utf8");
    for (const torn of ["{", linesOf(file)[2]?.slice(0, -1) ?? "", '{"previous":"x"', "\0\0\0"]) {
      writeFileSync(file, whole + torn);
      expect(verifyAuditFile(file).rows).to.equal(3);
      const log = await fileAudit({ file });
      await log.append({ n: 3 });
      await log.close();
      expect(rowsOf(file).map((row) => row["n"])).to.deep.equal([0, 1, 2, 3]);
      expect(verifyAuditFile(file).rows).to.equal(4);
    }
  });

  it("does not start on rows that were changed, taken out, swapped or put in, and names the line", async () => {
    const file = await filled(4);
    const good = linesOf(file);
    const [zero = "", one = "", two = "", three = ""] = good;
    const damaged: readonly (readonly [number, string[]])[] = [
      [2, [zero.replace('"n":0', '"n":9'), one, two, three]],
      [3, [zero, one.replace('"n":1', '"n":9'), two, three]],
      [2, [zero, two, three]],
      [1, [one, two, three]],
      [2, [zero, two, one, three]],
      [3, [zero, one, one, two, three]],
      [3, [zero, one, "", two, three]],
      [3, [zero, one, "no JSON", three]],
      [3, [zero, one, "null", three]],
      [3, [zero, one, '{"n":2}', three]],
      [2, [zero, `${one} `.replace(sha256(zero), ZEROS), two, three]],
    ];
    for (const [line, lines] of damaged) {
      writeFileSync(file, `${lines.join("\n")}\n`);
      expect(refusalOf(file)).to.contain(`line ${String(line)} `);
      const error = await failure(fileAudit({ file }));
      expect(error).to.be.instanceOf(StoreUnavailable);
      expect((error as Error).message).to.contain(`line ${String(line)} `);
    }
    writeFileSync(file, `${good.join("\n")}\n`);
    await (await fileAudit({ file })).close();
  });

  it("shows by its head that rows were cut from the end, which the chain alone cannot", async () => {
    const file = await filled(4);
    const { head } = verifyAuditFile(file);
    writeFileSync(file, `${linesOf(file).slice(0, 3).join("\n")}\n`);
    expect(verifyAuditFile(file).rows).to.equal(3);
    expect(verifyAuditFile(file).head).to.not.equal(head);
  });

  it("refuses on a full disk, and its chain has no gap once there is room again", async () => {
    const file = newFile();
    const log = await fileAudit({ file });
    await log.append({ n: 0 });
    for (const method of ["appendFile", "datasync"] as const) {
      const disk = await failingFiles(method);
      const failures = await Promise.all([1, 2, 3].map((n) => failure(log.append({ lost: n }))));
      disk.heal();
      for (const one of failures) expect(one).to.be.instanceOf(StoreUnavailable);
    }
    await log.append({ n: 1 });
    await log.close();
    expect(rowsOf(file).map((row) => row["n"])).to.deep.equal([0, 1]);
    expect(verifyAuditFile(file).rows).to.equal(2);
  });

  it("loses no acknowledged row to kill -9, and stays one chain", async function () {
    this.timeout(120_000);
    const dir = folders.make();
    const file = join(dir, "rows");
    let next = 0;
    // as many rounds as it takes: a slow machine acknowledges less in each
    for (let round = 0; round < 12 || next <= 100; round += 1) {
      const words = await writeAndKill("audit", dir, next, round * 8);
      const log = await fileAudit({ file });
      await log.close();
      const found = rowsOf(file).map((row) => row["n"]);
      const last = Math.max(next - 1, ...words.map(Number));
      // the row that the kill came into may be there as well
      expect([last + 1, last + 2]).to.include(found.length);
      expect(found).to.deep.equal(found.map((_, n) => n));
      next = found.length;
    }
    expect(verifyAuditFile(file).rows).to.equal(next);
  });

  it("is for one process: a second on the same folder is refused and named", async () => {
    const file = newFile();
    const log = await fileAudit({ file });
    const error = await failure(fileAudit({ file }));
    expect(error).to.be.instanceOf(StoreUnavailable);
    expect((error as Error).message).to.contain(`process ${String(process.pid)}`);
    await log.close();
    await (await fileAudit({ file })).close();
  });
});

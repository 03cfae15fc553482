import { appendFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { fileReplay } from "../../../offchain/store/file-replay";
import { StoreUnavailable } from "../../../offchain/store/unavailable";
import type { Hex } from "../../../offchain/wire/bytes";
import { failingFiles } from "../../helpers/failing-files";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { writeAndKill } from "./kill";
import { START, behavesAsReplayStore, freshEntry } from "./replay.behavior";

async function refusal(act: Promise<unknown>): Promise<unknown> {
  return act.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe("fileReplay", () => {
  const folders = temporaryFolders();
  const newFile = (): string => join(folders.make(), "state", "seen");

  after(() => {
    folders.removeAll();
  });

  behavesAsReplayStore((now) => fileReplay({ file: newFile(), now }));

  it("remembers over a restart", async () => {
    const file = newFile();
    const receivers = ["broker", "signer", "signer:audit", "worker:credentials"] as const;
    const entries = receivers.map((receiver) =>
      freshEntry({ kind: receiver === "broker" ? "cap" : "proof", receiver }),
    );
    const first = await fileReplay({ file, now: () => START });
    await first.setOnce(entries);
    await first.close();

    const second = await fileReplay({ file, now: () => START + 10 });
    for (const entry of entries) expect(await second.setOnce([entry])).to.deep.equal({ outcome: "replayed", index: 0 });
    expect(second.fence).to.equal(START + 15);
    expect((await second.setOnce([freshEntry({ issuedAt: START + 15 })])).outcome).to.equal("fenced");
    expect((await second.setOnce([freshEntry({ issuedAt: START + 16 })])).outcome).to.equal("fresh");
    await second.close();
  });

  it("loses nothing that it acknowledged to kill -9", async function () {
    this.timeout(120_000);
    const file = newFile();
    const dir = join(file, "..");
    const known: string[] = [];
    // as many rounds as it takes: a slow machine acknowledges less in each
    for (let round = 0; round < 30 || known.length <= 100; round += 1) {
      known.push(...(await writeAndKill("replay", dir, 0, round * 3)));
    }

    const store = await fileReplay({ file, now: () => 0 });
    for (const nonce of known as Hex[]) {
      const entry = freshEntry({ kind: "cap", device: nonce, nonce });
      expect((await store.setOnce([entry])).outcome).to.equal("replayed");
    }
    await store.close();
  });

  it("drops a last line that a crash cut off, and writes on behind the one before it", async () => {
    const file = newFile();
    const [kept, next] = [freshEntry(), freshEntry()];
    const first = await fileReplay({ file, now: () => START });
    await first.setOnce([kept]);
    await first.close();
    const whole = readFileSync(file, "utf8");
    appendFileSync(file, whole.slice(0, -20));

    const second = await fileReplay({ file, now: () => START });
    expect(readFileSync(file, "utf8")).to.equal(whole);
    expect((await second.setOnce([kept])).outcome).to.equal("replayed");
    expect((await second.setOnce([next])).outcome).to.equal("fresh");
    await second.close();
    expect(readFileSync(file, "utf8").split("\n")).to.have.length(3);
  });

  it("does not start on a damaged line in the middle, names it, and gives the folder back", async () => {
    const file = newFile();
    const store = await fileReplay({ file, now: () => START });
    for (let i = 0; i < 3; i += 1) await store.setOnce([freshEntry()]);
    await store.close();
    const good = readFileSync(file, "utf8");
    const lines = good.split("\n");
    const second = lines[1] ?? "";
    for (const damaged of ["", second.slice(0, -1), second.replace("broker", "bro\0er"), `-${second}`, `${second} `]) {
      writeFileSync(file, [lines[0], damaged, lines[2], ""].join("\n"));
      const error = await refusal(fileReplay({ file, now: () => START }));
      expect(error).to.be.instanceOf(StoreUnavailable);
      expect((error as Error).message).to.contain("line 2");
    }
    writeFileSync(file, good);
    await (await fileReplay({ file, now: () => START })).close();
  });

  it("refuses on a full disk, keeps what it could not write set, and recovers by itself", async () => {
    const file = newFile();
    const [before, lost, afterwards] = [freshEntry(), freshEntry(), freshEntry()];
    const store = await fileReplay({ file, now: () => START });
    await store.setOnce([before]);
    for (const method of ["appendFile", "datasync"] as const) {
      const disk = await failingFiles(method);
      try {
        expect(await refusal(store.setOnce([lost]))).to.satisfy(
          (error: unknown) => error instanceof StoreUnavailable || error === undefined,
        );
        expect(await refusal(store.setOnce([freshEntry()]))).to.be.instanceOf(StoreUnavailable);
        expect((await store.setOnce([lost])).outcome).to.equal("replayed");
      } finally {
        disk.heal();
      }
    }
    expect((await store.setOnce([lost])).outcome).to.equal("replayed");
    expect((await store.setOnce([afterwards])).outcome).to.equal("fresh");
    await store.close();

    const again = await fileReplay({ file, now: () => START });
    expect((await again.setOnce([before])).outcome).to.equal("replayed");
    expect((await again.setOnce([afterwards])).outcome).to.equal("replayed");
    await again.close();
  });

  it("forgets what is past, never before its time, and keeps the file short", async () => {
    const file = newFile();
    let now = START;
    const store = await fileReplay({ file, now: () => now, compactFrom: 200, expireMs: 5 });
    const [short, long] = [START + 100, START + 1_000];
    const early = Array.from({ length: 400 }, () => freshEntry({ keepUntil: short }));
    const late = Array.from({ length: 50 }, () => freshEntry({ keepUntil: long }));
    await Promise.all([...early, ...late].map((entry) => store.setOnce([entry])));

    now = short;
    await new Promise((resolve) => setTimeout(resolve, 50));
    for (const entry of early) expect((await store.setOnce([entry])).outcome).to.equal("replayed");
    expect(readFileSync(file, "utf8").trimEnd().split("\n")).to.have.length(450);

    now = short + 60;
    const during: Promise<unknown>[] = [];
    const added = Array.from({ length: 100 }, () => freshEntry({ issuedAt: now, keepUntil: long }));
    for (const entry of added) {
      during.push(store.setOnce([entry]));
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await Promise.all(during);
    const lines = readFileSync(file, "utf8").trimEnd().split("\n");
    expect(lines.length).to.be.lessThan(350);
    expect(existsSync(`${file}.tmp`)).to.equal(false);
    await store.close();

    const again = await fileReplay({ file, now: () => now });
    for (const entry of [...late, ...added]) expect((await again.setOnce([entry])).outcome).to.equal("replayed");
    await again.close();
  });

  it("is for one process: a second on the same folder is refused and named", async () => {
    const file = newFile();
    const store = await fileReplay({ file, now: () => START });
    const error = await refusal(fileReplay({ file, now: () => START }));
    expect(error).to.be.instanceOf(StoreUnavailable);
    expect((error as Error).message).to.contain(`process ${String(process.pid)}`);
    await store.close();
    await (await fileReplay({ file, now: () => START })).close();
  });
});

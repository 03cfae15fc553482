import { once } from "node:events";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";

import { expect } from "chai";

import { folderObjects } from "../../../offchain/store/folder-objects";
import { StoreUnavailable } from "../../../offchain/store/unavailable";
import { failingFiles } from "../../helpers/failing-files";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { writeAndKill } from "./kill";
import { behavesAsObjectStore } from "./objects.behavior";
import { startContender } from "./contender";

const PATH = "bots/actor/credentials/service.enc";

function refusal(act: () => Promise<unknown>): Promise<unknown> {
  return Promise.resolve()
    .then(act)
    .then(
      () => undefined,
      (error: unknown) => error,
    );
}

describe("folderObjects", () => {
  const folders = temporaryFolders();
  const newDir = (): string => join(folders.make(), "objects");
  const filesOf = (dir: string): string[] =>
    readdirSync(dir, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && !entry.name.startsWith(".lock"))
      .map((entry) => join(entry.parentPath, entry.name).slice(dir.length + 1))
      .sort();

  after(() => {
    folders.removeAll();
  });

  behavesAsObjectStore(() => Promise.resolve(folderObjects({ dir: newDir() })));

  it("keeps everything over a restart, the previous version beside the current one", async () => {
    const dir = newDir();
    const first = folderObjects({ dir });
    for (const text of ["one", "two", "three"]) {
      await first.put(PATH, Buffer.from(text), (await first.get(PATH))?.tag);
    }
    const tag = (await first.get(PATH))?.tag;
    await first.close();
    expect(filesOf(dir)).to.deep.equal([PATH, `${PATH}.prev`]);
    expect(readFileSync(join(dir, `${PATH}.prev`), "utf8")).to.equal("two");
    const second = folderObjects({ dir });
    expect(await second.get(PATH)).to.deep.equal({ bytes: Buffer.from("three"), tag });
    expect(await second.put(PATH, Buffer.from("four"), tag)).to.equal("written");
    await second.close();
  });

  it("leaves nothing of a probe, and lets nobody else read", async () => {
    const dir = newDir();
    const store = folderObjects({ dir });
    await store.probe();
    expect(filesOf(dir)).to.deep.equal([]);
    await store.put(PATH, Buffer.from("x"), undefined);
    for (let at = dirname(PATH); at !== "."; at = dirname(at))
      expect(statSync(join(dir, at)).mode & 0o777).to.equal(0o700);
    expect(statSync(dir).mode & 0o777).to.equal(0o700);
    expect(statSync(join(dir, PATH)).mode & 0o777).to.equal(0o600);
    await store.close();
  });

  it("refuses every path that leaves the folder or is one of its own files", async () => {
    const dir = newDir();
    const store = folderObjects({ dir });
    const paths = ["", ".", "..", "../x", "a/../../x", "a/..", "a/./b", "a//b", "/etc/passwd", "a/", "/"].concat([
      "a\0b",
      "a/b\0",
      ".lock-1",
      "a/.lock-1",
      ".tmp-1",
      "a/.tmp-1",
      ".tmp-1/a",
      "a.prev",
      "a/b.enc.prev",
    ]);
    for (const path of paths) {
      expect(await refusal(() => store.get(path)), path).to.be.instanceOf(RangeError);
      expect(await refusal(() => store.put(path, Buffer.of(1), undefined)), path).to.be.instanceOf(RangeError);
    }
    expect(filesOf(dirname(dir))).to.deep.equal([]);
    for (const path of ["a", "a..b", "..a", "c/...", ".hidden", "c/b.prev.enc", "C:\\x"]) {
      expect(await store.put(path, Buffer.from(path), undefined), path).to.equal("written");
      expect((await store.get(path))?.bytes.toString()).to.equal(path);
    }
    await store.close();
  });

  it("follows no symbolic link, of an object or of a folder", async () => {
    const dir = newDir();
    const [store, elsewhere] = [folderObjects({ dir }), folders.make()];
    await store.put(PATH, Buffer.from("mine"), undefined);
    const tag = (await store.get(PATH))?.tag;
    const file = join(dir, PATH);
    renameSync(file, join(elsewhere, "service.enc"));
    symlinkSync(join(elsewhere, "service.enc"), file);
    expect(await refusal(() => store.get(PATH))).to.be.instanceOf(StoreUnavailable);
    expect(await refusal(() => store.put(PATH, Buffer.from("x"), tag))).to.be.instanceOf(StoreUnavailable);
    rmSync(dirname(file), { recursive: true });
    symlinkSync(elsewhere, dirname(file));
    expect(await refusal(() => store.get(PATH))).to.be.instanceOf(StoreUnavailable);
    for (const expected of [undefined, tag]) {
      expect(await refusal(() => store.put(PATH, Buffer.from("x"), expected))).to.be.instanceOf(StoreUnavailable);
    }
    expect(readFileSync(join(elsewhere, "service.enc"), "utf8")).to.equal("mine");
    expect(readdirSync(elsewhere)).to.deep.equal(["service.enc"]);
    rmSync(dirname(file));
    expect(await store.put(PATH, Buffer.from("back"), undefined)).to.equal("written");
    await store.close();
  });

  it("refuses on a full disk, leaves the version as it was and nothing beside it, and recovers by itself", async () => {
    const dir = newDir();
    const store = folderObjects({ dir });
    await store.put(PATH, Buffer.from("one"), undefined);
    const before = await store.get(PATH);
    for (const method of ["writeFile", "sync"] as const) {
      const disk = await failingFiles(method);
      try {
        expect(await refusal(() => store.put(PATH, Buffer.from("two"), before?.tag))).to.be.instanceOf(
          StoreUnavailable,
        );
        expect(await refusal(() => store.put("bots/new", Buffer.from("x"), undefined))).to.be.instanceOf(
          StoreUnavailable,
        );
      } finally {
        disk.heal();
      }
      expect(await store.get(PATH)).to.deep.equal(before);
      expect(await store.get("bots/new")).to.equal(undefined);
      expect(filesOf(dir)).to.deep.equal([PATH]);
    }
    expect(await store.put(PATH, Buffer.from("two"), before?.tag)).to.equal("written");
    expect(await store.put("bots/new", Buffer.from("x"), undefined)).to.equal("written");
    await store.close();
  });

  it("says that it is gone when its folder is, which is no empty answer", async () => {
    const dir = newDir();
    const store = folderObjects({ dir });
    await store.put(PATH, Buffer.from("one"), undefined);
    const aside = `${dir}-aside`;
    renameSync(dir, aside);
    expect(await refusal(() => store.get(PATH))).to.be.instanceOf(StoreUnavailable);
    expect(await refusal(() => store.put(PATH, Buffer.from("x"), undefined))).to.be.instanceOf(StoreUnavailable);
    expect(await refusal(() => store.probe())).to.be.instanceOf(StoreUnavailable);
    renameSync(aside, dir);
    expect((await store.get(PATH))?.bytes.toString()).to.equal("one");
    await store.close();
  });

  it("removes at its start what a crash left half written, and nothing else", async () => {
    const dir = newDir();
    const first = folderObjects({ dir });
    await first.put(PATH, Buffer.from("one"), undefined);
    await first.put(PATH, Buffer.from("two"), (await first.get(PATH))?.tag);
    await first.close();
    const before = filesOf(dir);
    mkdirSync(join(dir, "bots/other"));
    for (const left of [".tmp-0011", "bots/other/.tmp-2233", "bots/other/.tmp-2233.prev"]) {
      copyFileSync(join(dir, PATH), join(dir, left));
    }
    await folderObjects({ dir }).close();
    expect(filesOf(dir)).to.deep.equal(before);
  });

  it("holds the old version or the new one after kill -9 at any moment", async function () {
    this.timeout(180_000);
    const dir = newDir();
    const acknowledged = new Map<number, number>();
    let next = 0;
    // as many rounds as it takes: a slow machine acknowledges less in each
    for (let round = 0; round < 15 || next <= 50; round += 1) {
      for (const word of await writeAndKill("objects", dir, next, round * 7)) {
        acknowledged.set(Number(word) % 3, Number(word));
        next = Number(word) + 1;
      }
      const store = folderObjects({ dir });
      for (const [service, last] of acknowledged) {
        const path = `bots/actor/credentials/service-${String(service)}.enc`;
        for (const file of [path, `${path}.prev`].filter((one) => existsSync(join(dir, one)))) {
          const [number = "", filling, end] = readFileSync(join(dir, file), "utf8").split(":");
          expect(filling, file).to.equal("y".repeat((Number(number) * 7919) % 200_000));
          expect(end, file).to.equal("end");
        }
        const found = Number((await store.get(path))?.bytes.toString().split(":")[0]);
        // the write that the kill came into may be there as well
        expect([last, last + 3], path).to.include(found);
      }
      expect(filesOf(dir).filter((file) => file.includes(".tmp-"))).to.deep.equal([]);
      await store.close();
    }
  });

  it("loses no step of a counter that several processes raise, one after the other's close", async function () {
    this.timeout(120_000);
    const dir = newDir();
    const contenders = await Promise.all(Array.from({ length: 4 }, () => startContender("counter", dir)));
    for (const one of contenders) one.go();
    await Promise.all(contenders.map((one) => once(one.child, "exit")));
    expect(contenders.map((one) => one.child.exitCode)).to.deep.equal([0, 0, 0, 0]);
    const store = folderObjects({ dir });
    expect((await store.get("counter"))?.bytes.toString()).to.equal("40");
    expect(readFileSync(join(dir, "counter.prev"), "utf8")).to.equal("39");
    await store.close();
  });
});

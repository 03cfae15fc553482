import { cpSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { pgliteVersions } from "../../../offchain/store/pglite-versions";
import { StoreUnavailable } from "../../../offchain/store/unavailable";
import type { VersionStore } from "../../../offchain/store/versions";
import { toHex } from "../../../offchain/wire/bytes";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { writeAndKill } from "./kill";
import { behavesAsVersionStore, record } from "./versions.behavior";

const failure = (act: Promise<unknown>): Promise<unknown> => act.then(() => undefined).catch((error: unknown) => error);

describe("pgliteVersions", function () {
  this.timeout(240_000);
  const folders = temporaryFolders();

  after(() => {
    folders.removeAll();
  });

  behavesAsVersionStore(() => pgliteVersions({ dir: folders.make() }));

  it("remembers over a restart, also that a lower version was refused", async () => {
    const dir = folders.make();
    const [high, other] = [record(9), record(1)];
    const first = await pgliteVersions({ dir });
    await first.set("path", high);
    await first.set("path", record(8));
    await first.set("other", other);
    await first.close();
    const second = await pgliteVersions({ dir });
    expect(await second.get("path")).to.deep.equal(high);
    expect(await second.get("other")).to.deep.equal(other);
    await second.set("path", record(2));
    expect(await second.get("path")).to.deep.equal(high);
    await second.close();
  });

  it("opens after kill -9 at any moment, and has every version that it acknowledged", async () => {
    const dir = folders.make();
    let last = 0;
    // as many rounds as it takes: a slow machine acknowledges less in each
    for (let round = 0; round < 6 || last <= 10; round += 1) {
      const words = await writeAndKill("versions", dir, last, round * 40);
      last = Math.max(last, ...words.map(Number));
      const store = await pgliteVersions({ dir });
      const found = await store.get("path");
      await store.close();
      if (last === 0) continue;
      // the one that the kill came into may be there as well
      expect([last, last + 1]).to.include(found?.version);
      expect(found?.digest).to.equal(toHex(Buffer.alloc(32, (found?.version ?? 0) % 256)));
      last = found?.version ?? 0;
    }
  });

  it("is for one process: a second on the same folder is refused and named", async () => {
    const dir = folders.make();
    const store = await pgliteVersions({ dir });
    const error = await failure(pgliteVersions({ dir }));
    expect(error).to.be.instanceOf(StoreUnavailable);
    expect((error as Error).message).to.contain(`process ${String(process.pid)}`);
    await store.close();
    await (await pgliteVersions({ dir })).close();
  });

  it("refuses when its database is gone, and keeps what it knew as it was", async () => {
    const store = await pgliteVersions({ dir: folders.make() });
    const known = record(4);
    await store.set("path", known);
    await store.close();
    expect(await failure(store.set("path", record(5)))).to.be.instanceOf(StoreUnavailable);
    expect(await store.get("path")).to.deep.equal(known);
  });

  it("does not start on something that is no database, and gives the folder back", async () => {
    const dir = folders.make();
    writeFileSync(join(dir, "pg"), "not a folder");
    for (let i = 0; i < 2; i += 1) {
      const error = await failure(pgliteVersions({ dir }));
      expect(error).to.be.instanceOf(StoreUnavailable);
      expect((error as Error).message).to.not.contain("in use");
    }
    renameSync(join(dir, "pg"), join(dir, "aside"));
    await (await pgliteVersions({ dir })).close();
  });

  it("knows an older state when its folder is put back from a copy: that is the reader's to notice", async () => {
    const dir = folders.make();
    const [one, two] = [record(1), record(2)];
    const write = async (act: (store: VersionStore) => Promise<void>): Promise<void> => {
      const store = await pgliteVersions({ dir });
      await act(store);
      await store.close();
    };
    await write((store) => store.set("path", one));
    const copy = join(folders.make(), "copy");
    cpSync(join(dir, "pg"), copy, { recursive: true });
    await write((store) => store.set("path", two));
    rmSync(join(dir, "pg"), { recursive: true });
    cpSync(copy, join(dir, "pg"), { recursive: true });
    await write(async (store) => {
      expect(await store.get("path")).to.deep.equal(one);
      await store.set("path", two);
    });
    await write(async (store) => {
      expect(await store.get("path")).to.deep.equal(two);
    });
  });
});

import { randomBytes } from "node:crypto";

import { expect } from "chai";

import type { VersionRecord, VersionStore } from "../../../offchain/store/versions";
import { toHex } from "../../../offchain/wire/bytes";

/** A version with some digest. */
export function record(version: number): VersionRecord {
  return { version, digest: toHex(randomBytes(32)) };
}

/** What every record of versions promises, whatever it is made of. Paths that `open`'s store knows are the test's own. */
export function behavesAsVersionStore(open: () => Promise<VersionStore>): void {
  let store: VersionStore;
  let count = 0;
  const newPath = (): string => `bots/${"cd".repeat(32)}/memory/${String((count += 1))}.enc`;

  before(async () => {
    store = await open();
  });

  after(() => store.close());

  it("knows nothing of a path that was never set", async () => {
    expect(await store.get(newPath())).to.equal(undefined);
    expect(await store.get("")).to.equal(undefined);
  });

  it("gives back the last version and digest of each path", async () => {
    const [path, other] = [newPath(), newPath()];
    const records = [record(1), record(2), record(Number.MAX_SAFE_INTEGER)];
    for (const one of records) {
      await store.set(path, one);
      expect(await store.get(path)).to.deep.equal(one);
    }
    expect(await store.get(other)).to.equal(undefined);
    await store.set(other, records[1] ?? record(1));
    expect(await store.get(path)).to.deep.equal(records[2]);
    expect(await store.get(other)).to.deep.equal(records[1]);
  });

  it("never lowers a version", async () => {
    const path = newPath();
    const high = record(7);
    await store.set(path, high);
    for (const version of [6, 1]) await store.set(path, record(version));
    expect(await store.get(path)).to.deep.equal(high);
  });

  it("keeps the highest of many set at once", async () => {
    const path = newPath();
    const records = Array.from({ length: 30 }, (_, i) => record(((i * 7) % 30) + 1));
    await Promise.all(records.map((one) => store.set(path, one)));
    expect(await store.get(path)).to.deep.equal(records.find((one) => one.version === 30));
  });

  it("takes a path as text and nothing else", async () => {
    for (const path of ["'; DROP TABLE object_versions; --", 'quote " and \\', "ä😀", "x".repeat(10_000)]) {
      const one = record(3);
      await store.set(path, one);
      expect(await store.get(path), path.slice(0, 40)).to.deep.equal(one);
    }
  });
}

import { randomBytes } from "node:crypto";

import { expect } from "chai";

import type { ObjectStore } from "../../../offchain/store/objects";

const PATH = `bots/${"ab".repeat(32)}/credentials/openrouter.enc`;

/** What every object store promises, whatever it is made of. Each store that `open` gives is empty. */
export function behavesAsObjectStore(open: () => Promise<ObjectStore>): void {
  let store: ObjectStore;

  beforeEach(async () => {
    store = await open();
  });

  afterEach(() => store.close());

  const put = (text: string, expected?: string, path = PATH): Promise<"written" | "conflict"> =>
    store.put(path, Buffer.from(text), expected);
  const text = async (path = PATH): Promise<string | undefined> => (await store.get(path))?.bytes.toString();
  const tag = async (path = PATH): Promise<string | undefined> => (await store.get(path))?.tag;

  it("holds nothing at first", async () => {
    expect(await store.get(PATH)).to.equal(undefined);
    expect(await store.get("bots")).to.equal(undefined);
  });

  it("gives back the very bytes, also none and 2 MiB", async () => {
    for (const [i, bytes] of [Buffer.alloc(0), Buffer.from([0, 255, 10]), randomBytes(2 * 1024 * 1024)].entries()) {
      const path = `bots/size/memory/${String(i)}.enc`;
      expect(await store.put(path, bytes, undefined)).to.equal("written");
      expect((await store.get(path))?.bytes.equals(bytes)).to.equal(true);
    }
  });

  it("makes only where nothing is, and replaces only what it was told is there", async () => {
    expect(await put("one", "no such tag")).to.equal("conflict");
    expect(await put("one")).to.equal("written");
    expect(await put("two")).to.equal("conflict");
    expect(await put("two", "no such tag")).to.equal("conflict");
    expect(await text()).to.equal("one");
    const first = await tag();
    expect(await put("two", first)).to.equal("written");
    expect(await put("three", first)).to.equal("conflict");
    expect(await put("three")).to.equal("conflict");
    expect(await text()).to.equal("two");
    expect(await put("three", await tag())).to.equal("written");
    expect(await text()).to.equal("three");
  });

  it("keeps paths apart", async () => {
    const paths = [PATH, PATH.replace("credentials", "memory"), `${PATH}x`, PATH.replace("ab", "ac"), "bots/a:b.c-d_e"];
    for (const path of paths) expect(await put(path, undefined, path), path).to.equal("written");
    for (const path of paths) expect(await text(path)).to.equal(path);
  });

  it("lets one of many makers win", async () => {
    const outcomes = await Promise.all(Array.from({ length: 50 }, (_, i) => put(String(i))));
    expect(outcomes.filter((one) => one === "written")).to.have.length(1);
    expect(await text()).to.equal(String(outcomes.indexOf("written")));
  });

  it("lets one of many replacers win, and a loser who reads again", async () => {
    await put("0");
    const first = await tag();
    const outcomes = await Promise.all(Array.from({ length: 50 }, (_, i) => put(`next ${String(i)}`, first)));
    expect(outcomes.filter((one) => one === "written")).to.have.length(1);
    expect(await text()).to.equal(`next ${String(outcomes.indexOf("written"))}`);
  });

  it("loses no step of a counter that many raise at once", async () => {
    await put("0");
    const raise = async (): Promise<void> => {
      for (;;) {
        const found = await store.get(PATH);
        if ((await put(String(Number(found?.bytes.toString()) + 1), found?.tag)) === "written") return;
      }
    };
    await Promise.all(Array.from({ length: 20 }, raise));
    expect(await text()).to.equal("20");
  });

  it("shows a reader old bytes or new ones, never between", async () => {
    const whole = (letter: string): string => letter.repeat(300_000);
    await put(whole("a"));
    const seen = new Set<string>();
    const reader = (async () => {
      while (!seen.has("j")) {
        const found = (await text()) ?? "";
        expect(found === whole(found.charAt(0)), found.slice(0, 10)).to.equal(true);
        seen.add(found.charAt(0));
      }
    })();
    for (const letter of "bcdefghij".split("")) expect(await put(whole(letter), await tag())).to.equal("written");
    await reader;
  });

  it("proves that it enforces this, also twice and beside writes", async () => {
    await Promise.all([store.probe(), put("beside")]);
    await store.probe();
    expect(await text()).to.equal("beside");
  });
}

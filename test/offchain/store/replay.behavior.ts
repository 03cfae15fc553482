import { randomBytes } from "node:crypto";

import { expect } from "chai";

import type { ReplayEntry, ReplayStore } from "../../../offchain/store/replay";
import { toHex } from "../../../offchain/wire/bytes";

/** What every test's clock says at first. */
export const START = 1_800_000_000;

/** An entry that nobody has made before, issued well after the start fence. */
export function freshEntry(changes: Partial<ReplayEntry> = {}): ReplayEntry {
  const issuedAt = changes.issuedAt ?? START + 60;
  const [device, nonce] = [toHex(randomBytes(32)), toHex(randomBytes(32))];
  return { receiver: "broker", kind: "proof", device, nonce, issuedAt, keepUntil: issuedAt + 125, ...changes };
}

/** What every replay store promises, whatever it is made of. */
export function behavesAsReplayStore(open: (now: () => number) => Promise<ReplayStore>): void {
  let store: ReplayStore;

  beforeEach(async () => {
    store = await open(() => START);
  });

  afterEach(() => store.close());

  const outcome = async (...entries: ReplayEntry[]): Promise<string> => (await store.setOnce(entries)).outcome;

  it("takes an entry once", async () => {
    const entry = freshEntry();
    expect(await outcome(entry)).to.equal("fresh");
    expect(await outcome(entry)).to.equal("replayed");
    expect(await outcome({ ...entry })).to.equal("replayed");
  });

  it("tells entries apart by receiver, kind, device and nonce, and by nothing else", async () => {
    const entry = freshEntry();
    await outcome(entry);
    expect(await outcome({ ...entry, receiver: "signer" })).to.equal("fresh");
    expect(await outcome({ ...entry, receiver: "worker:credentials" })).to.equal("fresh");
    expect(await outcome({ ...entry, receiver: "worker:memory" })).to.equal("fresh");
    expect(await outcome({ ...entry, kind: "cap" })).to.equal("fresh");
    expect(await outcome({ ...entry, device: freshEntry().device })).to.equal("fresh");
    expect(await outcome({ ...entry, nonce: freshEntry().nonce })).to.equal("fresh");
    expect(await outcome({ ...entry, issuedAt: START + 90, keepUntil: START + 900 })).to.equal("replayed");
    expect(await outcome({ ...entry, keepUntil: START + 1 })).to.equal("replayed");
  });

  it("sets all entries of a call or none, and names the first that refuses", async () => {
    const [proof, cap, later] = [freshEntry(), freshEntry({ kind: "cap" }), freshEntry()];
    expect(await outcome(cap)).to.equal("fresh");
    expect(await store.setOnce([proof, cap])).to.deep.equal({ outcome: "replayed", index: 1 });
    expect(await store.setOnce([proof, later])).to.deep.equal({ outcome: "fresh" });
    expect(await store.setOnce([cap, proof])).to.deep.equal({ outcome: "replayed", index: 0 });
  });

  it("refuses an entry that comes twice in one call", async () => {
    const entry = freshEntry();
    expect(await store.setOnce([entry, entry])).to.deep.equal({ outcome: "replayed", index: 1 });
    expect(await outcome(entry)).to.equal("fresh");
  });

  it("takes a call without entries", async () => {
    expect(await outcome()).to.equal("fresh");
  });

  it("fences what was made up to five seconds after its start", async () => {
    expect(store.fence).to.equal(START + 5);
    for (const issuedAt of [0, START - 1, START, START + 5]) {
      expect(await store.setOnce([freshEntry({ issuedAt })]), String(issuedAt)).to.deep.equal({
        outcome: "fenced",
        index: 0,
      });
    }
    expect(await outcome(freshEntry({ issuedAt: START + 6 }))).to.equal("fresh");
  });

  it("looks at the entries in their order: seen, then fenced, then the next", async () => {
    const [seen, old, good] = [freshEntry(), freshEntry({ issuedAt: START }), freshEntry()];
    await outcome(seen);
    expect(await store.setOnce([old, seen])).to.deep.equal({ outcome: "fenced", index: 0 });
    expect(await store.setOnce([seen, old])).to.deep.equal({ outcome: "replayed", index: 0 });
    expect(await store.setOnce([{ ...seen, issuedAt: START }])).to.deep.equal({ outcome: "replayed", index: 0 });
    expect(await store.setOnce([good, old])).to.deep.equal({ outcome: "fenced", index: 1 });
    expect(await outcome(good)).to.equal("fresh");
  });

  it("finds exactly one fresh among many at once", async () => {
    const entries = Array.from({ length: 100 }, () => freshEntry());
    const calls = Array.from({ length: 1_000 }, (_, i) => entries.slice(i % 100, (i % 100) + 1));
    const outcomes = await Promise.all(calls.map(async (call) => (await store.setOnce(call)).outcome));
    for (let i = 0; i < 100; i += 1) {
      const ofEntry = outcomes.filter((_, call) => call % 100 === i);
      expect(ofEntry.filter((one) => one === "fresh")).to.have.length(1);
      expect(ofEntry.filter((one) => one === "replayed")).to.have.length(9);
    }
  });

  it("sets neither of two pairs that want each other's entries only once", async () => {
    const [one, two] = [freshEntry(), freshEntry({ kind: "cap" })];
    const answers = await Promise.all([store.setOnce([one, two]), store.setOnce([two, one])]);
    expect(answers.map((answer) => answer.outcome)).to.deep.equal(["fresh", "replayed"]);
  });
}

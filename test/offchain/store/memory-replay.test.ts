import { expect } from "chai";

import { memoryReplay } from "../../../offchain/store/memory-replay";
import { START, behavesAsReplayStore, freshEntry } from "./replay.behavior";

describe("memoryReplay", () => {
  behavesAsReplayStore((now) => Promise.resolve(memoryReplay({ now })));

  it("leaves the fence out when told to", async () => {
    const store = memoryReplay({ now: () => START, fenced: false });
    expect(await store.setOnce([freshEntry({ issuedAt: 0 })])).to.deep.equal({ outcome: "fresh" });
    await store.close();
  });
});

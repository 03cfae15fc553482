// Waits for a line on standard input, then wants a folder: for its lock, or to raise a counter in it ten times.
import { once } from "node:events";

import { lockFolder } from "../../../offchain/store/folder-lock";
import { folderObjects } from "../../../offchain/store/folder-objects";
import type { ObjectStore } from "../../../offchain/store/objects";
import { StoreUnavailable } from "../../../offchain/store/unavailable";

const [kind = "", dir = ""] = process.argv.slice(2);

function lock(): void {
  try {
    lockFolder(dir);
    console.log("taken");
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    console.log("refused");
  }
}

async function counter(): Promise<void> {
  for (let raised = 0; raised < 10; raised += 1) {
    const store = await whenFree();
    const found = await store.get("counter");
    const next = Buffer.from(String(Number(found?.bytes.toString() ?? "0") + 1));
    if ((await store.put("counter", next, found?.tag)) !== "written") throw new Error("somebody else wrote");
    await store.close();
  }
  process.exit();
}

async function whenFree(): Promise<ObjectStore> {
  for (;;) {
    try {
      return folderObjects({ dir });
    } catch (error) {
      if (!(error instanceof StoreUnavailable)) throw error;
      await new Promise((done) => setTimeout(done, 5));
    }
  }
}

console.log("ready");
void once(process.stdin, "data").then(async () => {
  if (kind === "lock") lock();
  else await counter();
});

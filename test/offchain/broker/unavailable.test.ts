import { expect } from "chai";

import { openKeyRing } from "../../../offchain/broker/keys";
import { fileReplay } from "../../../offchain/store/file-replay";
import { MINT_ROUTES } from "../../../offchain/wire/mint";
import type { World } from "../../drills/world";
import { eventually } from "../../helpers/eventually";
import { failingFiles } from "../../helpers/failing-files";
import { type Replica, brokerReplica } from "../../helpers/replicas";
import { expectProblem } from "../../helpers/route-tables";
import { startRpcProxy } from "../../helpers/rpc-proxy";
import { grantAll, sharedWorld } from "../../helpers/shared-world";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { nowSeconds } from "../../helpers/words";
import { type GoodMint, SERVICE, goodMint, sendMint } from "./mint-rows";

describe("broker: what it relies on fails", function () {
  this.timeout(120_000);
  let world: World;
  const folders = temporaryFolders();
  const [route] = MINT_ROUTES;

  before(async () => {
    world = await sharedWorld();
    await grantAll(world, world.party.wallet, world.party.actor, [SERVICE]);
    await world.nextBlock();
  });
  after(() => {
    folders.removeAll();
  });

  function mintAt(replica: Replica): GoodMint {
    if (route === undefined) throw new Error("no routes");
    return { ...goodMint(world, route), at: replica.url };
  }

  it("chain_unavailable while its RPC is down, never a success after the first refusal, and works again by itself", async () => {
    const proxy = await startRpcProxy(world.stack.rpcUrl);
    const replica = await brokerReplica(world, { dir: folders.make(), rpcUrl: proxy.url });
    try {
      expect((await sendMint(mintAt(replica))).status).to.equal(200);
      proxy.faults.isDown = true;
      const good = mintAt(replica);
      // what was confirmed within the last second may still be used
      await eventually(async () => (await sendMint(mintAt(replica))).status !== 200);
      for (let i = 0; i < 5; i += 1) expectProblem(await sendMint(good), "chain_unavailable");
      proxy.heal();
      await eventually(async () => (await sendMint(good)).status === 200);
    } finally {
      await replica.stop();
      await proxy.stop();
    }
  });

  it("replay_store_unavailable while its disk is full: no cap, and that nonce is not granted later either", async () => {
    const dir = folders.make();
    const replay = await fileReplay({ file: `${dir}/seen`, now: () => nowSeconds() - 10 });
    const replica = await brokerReplica(world, { dir, parts: { replay } });
    const disk = await failingFiles("appendFile");
    const good = mintAt(replica);
    try {
      expectProblem(await sendMint(good), "replay_store_unavailable");
      expect(disk.calls).to.be.greaterThan(0);
      disk.heal();
      expectProblem(await sendMint(good), "cap_already_used");
      expect((await sendMint(mintAt(replica))).status).to.equal(200);
    } finally {
      disk.heal();
      await replica.stop();
    }
  });

  it("internal_error where a part breaks: its words stay in the log", async () => {
    const dir = folders.make();
    const cause = "K1 at /secret/place";
    let isBroken = true;
    const ring = openKeyRing(`${dir}/keys`, nowSeconds());
    const current = (now: number) => {
      if (isBroken) throw new TypeError(cause);
      return ring.current(now);
    };
    const replica = await brokerReplica(world, { dir, parts: { keys: { ...ring, current } } });
    try {
      expectProblem(await sendMint(mintAt(replica)), "internal_error", undefined, [cause, "TypeError", "secret"]);
      isBroken = false;
      expect((await sendMint(mintAt(replica))).status).to.equal(200);
    } finally {
      await replica.stop();
    }
  });
});

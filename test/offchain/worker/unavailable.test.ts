import { renameSync, rmSync } from "node:fs";

import { expect } from "chai";

import { fileReplay } from "../../../offchain/store/file-replay";
import { folderObjects } from "../../../offchain/store/folder-objects";
import { pgliteVersions } from "../../../offchain/store/pglite-versions";
import { StoreUnavailable } from "../../../offchain/store/unavailable";
import type { VersionStore } from "../../../offchain/store/versions";
import type { ProblemCode } from "../../../offchain/wire/problem";
import type { WorkerParts } from "../../../offchain/worker/parts";
import { signerClient } from "../../../offchain/http/signer-client";
import { freePorts } from "../../../scripts/lib/process";
import type { World } from "../../drills/world";
import { eventually } from "../../helpers/eventually";
import { failingFiles } from "../../helpers/failing-files";
import { fixedTls } from "../../helpers/fixed-tls";
import { type Replica, workerReplica } from "../../helpers/replicas";
import { expectProblem } from "../../helpers/route-tables";
import { startRpcProxy } from "../../helpers/rpc-proxy";
import { grantAll, sharedWorld } from "../../helpers/shared-world";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { nowSeconds } from "../../helpers/words";
import { type GoodRedeem, REDEEM_OPS, askFor, reproved, sendRedeem, storeOf } from "./redeem-world";

const SERVICES = Array.from({ length: 8 }, (_, i) => `unavailable-${String(i)}`);

describe("credentials worker: what it relies on fails", function () {
  this.timeout(120_000);
  let world: World;
  const folders = temporaryFolders();
  const free = [...SERVICES];

  before(async () => {
    world = await sharedWorld();
    await grantAll(world, world.party.wallet, world.party.actor, SERVICES);
    await world.nextBlock();
  });
  after(() => {
    folders.removeAll();
  });

  const ask = (op: (typeof REDEEM_OPS)[number], service: string): Promise<GoodRedeem> =>
    op === "store" ? storeOf(world, service) : askFor(world, op, service);

  /** A replica with these parts in place of the working ones, and a service under which it holds one version. */
  async function broken(
    change: { readonly parts?: Partial<WorkerParts>; readonly rpcUrl?: string; readonly dir?: string },
    act: (send: (op: (typeof REDEEM_OPS)[number]) => Promise<GoodRedeem>, replica: Replica) => Promise<void>,
  ): Promise<void> {
    const service = free.pop() ?? "";
    const replica = await workerReplica(world, { dir: folders.make(), ...change });
    const make = async (op: (typeof REDEEM_OPS)[number]): Promise<GoodRedeem> => ({
      ...(await ask(op, service)),
      at: replica.url,
    });
    try {
      await act(make, replica);
    } finally {
      await replica.stop();
    }
  }

  async function refusedAll(
    make: (op: (typeof REDEEM_OPS)[number]) => Promise<GoodRedeem>,
    code: ProblemCode,
  ): Promise<void> {
    for (const op of REDEEM_OPS) expectProblem(await sendRedeem(await make(op)), code);
  }

  async function worksAll(make: (op: (typeof REDEEM_OPS)[number]) => Promise<GoodRedeem>): Promise<void> {
    for (const op of ["store", "fetch", "rotate", "teardown"] as const) {
      const answer = await sendRedeem(await make(op));
      expect(answer.status, `${op}: ${answer.body.toString()}`).to.equal(200);
    }
  }

  it("chain_unavailable while its RPC is down; nothing is burned, and it works again by itself", async () => {
    const proxy = await startRpcProxy(world.stack.rpcUrl);
    try {
      await broken({ rpcUrl: proxy.url }, async (make) => {
        const good = await make("store");
        proxy.faults.isDown = true;
        await eventually(async () => (await sendRedeem(await make("teardown"))).code === "chain_unavailable");
        expectProblem(await sendRedeem(good), "chain_unavailable");
        await refusedAll(make, "chain_unavailable");
        proxy.heal();
        await eventually(async () => (await sendRedeem(await make("teardown"))).code === "object_not_found");
        expect((await sendRedeem(good)).status).to.equal(200);
        await worksAll(make);
      });
    } finally {
      await proxy.stop();
    }
  });

  it("replay_store_unavailable while its disk is full: nothing is written, and what may be burned is not accepted later", async () => {
    const replay = await fileReplay({ file: `${folders.make()}/seen`, now: () => nowSeconds() - 10 });
    await broken({ parts: { replay } }, async (make) => {
      const good = await make("store");
      const disk = await failingFiles("appendFile");
      try {
        expectProblem(await sendRedeem(good), "replay_store_unavailable");
        expectProblem(await sendRedeem(await make("fetch")), "replay_store_unavailable");
        expect(disk.calls).to.be.greaterThan(0);
      } finally {
        disk.heal();
      }
      expectProblem(await sendRedeem(await make("fetch")), "object_not_found");
      expectProblem(await sendRedeem(good), "proof_invalid", "replayed");
      expectProblem(await sendRedeem(reproved(good)), "cap_already_used");
      await worksAll(make);
    });
  });

  it("storage_unavailable while the folder of objects is gone: the running service, and no write cap is burned", async () => {
    const service = free.pop() ?? "";
    const { objects } = world.stack.files;
    const first = await sendRedeem(await storeOf(world, service));
    expect(first.status, first.body.toString()).to.equal(200);
    const goods = new Map<string, GoodRedeem>();
    for (const op of REDEEM_OPS) goods.set(op, await ask(op, service));
    renameSync(objects, `${objects}.away`);
    try {
      for (const good of goods.values()) expectProblem(await sendRedeem(good), "storage_unavailable");
    } finally {
      renameSync(`${objects}.away`, objects);
    }
    for (const op of ["fetch", "store", "rotate", "teardown"] as const) {
      const good = goods.get(op);
      if (good === undefined) throw new Error(op);
      const answer = await sendRedeem(op === "fetch" ? reproved(good) : good);
      expect(answer.status, `${op}: ${answer.body.toString()}`).to.equal(200);
    }
  });

  it("storage_unavailable while the database of versions does not answer; a write that it missed is adopted", async () => {
    const real = await pgliteVersions({ dir: `${folders.make()}/versions` });
    let failing: "get" | "set" | undefined;
    const orFail = <T>(method: "get" | "set", act: () => Promise<T>): Promise<T> =>
      failing === method ? Promise.reject(new StoreUnavailable("the database is away")) : act();
    const versions: VersionStore = {
      get: (path) => orFail("get", () => real.get(path)),
      set: (path, record) => orFail("set", () => real.set(path, record)),
      close: () => real.close(),
    };
    await broken({ parts: { versions } }, async (make) => {
      const good = await make("store");
      failing = "get";
      expectProblem(await sendRedeem(good), "storage_unavailable");
      await refusedAll(make, "storage_unavailable");
      failing = "set";
      expectProblem(await sendRedeem(good), "storage_unavailable");
      failing = undefined;
      expectProblem(await sendRedeem(reproved(good)), "cap_already_used");
      const next = await sendRedeem(await make("store"));
      expect(next.json?.["version"], next.body.toString()).to.equal(2);
      await worksAll(make);
    });
  });

  it("signer_unavailable while nobody listens there: the cap is burned, nothing is written, and a new cap works", async () => {
    const [port = 0] = await freePorts(1);
    const tls = fixedTls(world.stack.workerTls("credentials"));
    const dead = signerClient({ origin: `https://127.0.0.1:${String(port)}`, tls });
    const live = signerClient({ origin: world.stack.urls.signer, tls });
    let isDead = false;
    const signer = {
      ...live,
      dataKeys: (words: Parameters<typeof live.dataKeys>[0]) => (isDead ? dead : live).dataKeys(words),
    };
    await broken({ parts: { signer } }, async (make) => {
      expect((await sendRedeem(await make("store"))).status).to.equal(200);
      isDead = true;
      const good = await make("store");
      expectProblem(await sendRedeem(good), "signer_unavailable");
      for (const op of ["fetch", "rotate"] as const)
        expectProblem(await sendRedeem(await make(op)), "signer_unavailable");
      isDead = false;
      expectProblem(await sendRedeem(reproved(good)), "cap_already_used");
      const next = await sendRedeem(await make("store"));
      expect(next.json?.["version"], next.body.toString()).to.equal(2);
      await worksAll(make);
    });
    await dead.close();
  });

  it("audit_unavailable while its disk is full: nothing is read out, written or torn down", async () => {
    const dir = folders.make();
    const objects = folderObjects({ dir: `${dir}/own-objects` });
    await broken({ dir, parts: { objects } }, async (make) => {
      expect((await sendRedeem(await make("store"))).status).to.equal(200);
      const disk = await failingFiles("appendFile");
      try {
        await refusedAll(make, "audit_unavailable");
        expect(disk.calls).to.be.greaterThan(0);
      } finally {
        disk.heal();
      }
      const next = await sendRedeem(await make("store"));
      expect(next.json?.["version"], next.body.toString()).to.equal(2);
      await worksAll(make);
    });
    rmSync(dir, { recursive: true, force: true });
  });

  it("internal_error where a part breaks: its words stay in the log", async () => {
    const cause = "row 7 of sk-live";
    let isBroken = true;
    const objects = folderObjects({ dir: `${folders.make()}/objects` });
    const get = (path: string) => {
      if (isBroken) throw new TypeError(cause);
      return objects.get(path);
    };
    await broken({ parts: { objects: { ...objects, get } } }, async (make) => {
      for (const op of REDEEM_OPS) {
        expectProblem(await sendRedeem(await make(op)), "internal_error", undefined, [cause, "TypeError", "sk-"]);
      }
      isBroken = false;
      await worksAll(make);
    });
  });
});

import { loadFixture, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import { AbiCoder, ZeroHash, id, keccak256 } from "ethers";
import { ethers } from "hardhat";

import { ScopeRegistry__factory } from "../../../typechain-types";
import { CAP_MINT, RECOVERY, SCOPE_MGMT, testDevice } from "../../helpers/device";
import {
  DAY,
  NO_END,
  type Registries,
  freeze,
  registerAgent,
  registerMaster,
  registries,
} from "../../helpers/registry";
import vectors from "../../vectors/protocol.json";

const STORE = 1;
const FETCH = 2;
const TEARDOWN = 4;

describe("ScopeRegistry", () => {
  const master = testDevice("master");
  const agent = testDevice("agent");
  const openrouter = id("openrouter");
  const travel = id("memory:travel");

  async function withAgent() {
    const r = await loadFixture(registries);
    await registerMaster(r, master, { roles: CAP_MINT | RECOVERY });
    await registerAgent(r, "agent-a", agent);
    await registerAgent(r, "agent-a", testDevice("rival's"), { from: r.bob });
    const actor = await r.sidecars.computeActorOmni(r.operator, "agent-a");
    const foreign = await r.sidecars.computeActorOmni(r.rival, "agent-a");
    return { ...r, actor, foreign };
  }

  function grant(told: { dataClass?: number; serviceHash?: string; ops?: number; validUntil?: bigint | number } = {}) {
    return { dataClass: 1, serviceHash: openrouter, ops: FETCH, validUntil: NO_END, ...told };
  }

  function scopeKey(dataClass: number, serviceHash: string): string {
    return keccak256(AbiCoder.defaultAbiCoder().encode(["uint8", "bytes32"], [dataClass, serviceHash]));
  }

  async function listed(r: Registries, actor: string, operator = r.operator) {
    const { grants } = await r.scopes.grantsOf(operator, actor, 0, 1_000);
    return grants.map((view) => [view.scopeKey, view.dataClass, view.serviceHash, view.ops, view.validUntil]);
  }

  function view(told: Parameters<typeof grant>[0] = {}) {
    const { dataClass, serviceHash, ops, validUntil } = grant(told);
    return [scopeKey(dataClass, serviceHash), BigInt(dataClass), serviceHash, BigInt(ops), BigInt(validUntil)];
  }

  describe("constructor", () => {
    it("names the registries it is bound to, and refuses addresses without code", async () => {
      const { scopes, sidecars, epochs, stranger } = await loadFixture(registries);
      expect(await scopes.sidecarRegistry()).to.equal(await sidecars.getAddress());
      expect(await scopes.epochCounter()).to.equal(await epochs.getAddress());
      const factory = await ethers.getContractFactory("ScopeRegistry");
      for (const [first, second] of [
        [stranger, epochs],
        [sidecars, stranger],
      ] as const) {
        await expect(factory.deploy(first, second))
          .to.be.revertedWithCustomError(scopes, "NotAContract")
          .withArgs(stranger.address);
      }
    });
  });

  describe("scopeKeyOf", () => {
    it("is keccak256 of the two words, and knows three classes", async () => {
      const { scopes } = await loadFixture(registries);
      for (const dataClass of [1, 2, 3]) {
        expect(await scopes.scopeKeyOf(dataClass, openrouter)).to.equal(scopeKey(dataClass, openrouter));
      }
      for (const dataClass of [0, 4, 255]) {
        await expect(scopes.scopeKeyOf(dataClass, openrouter))
          .to.be.revertedWithCustomError(scopes, "InvalidDataClass")
          .withArgs(dataClass);
      }
    });

    it("of known services", () => {
      expect(openrouter).to.equal(vectors.serviceHashes.openrouter);
      expect(travel).to.equal(vectors.serviceHashes["memory:travel"]);
    });
  });

  describe("setGrants", () => {
    it("writes grants and lists them by class", async () => {
      const r = await withAgent();
      const grants = [
        grant({ dataClass: 3, ops: 15 }),
        grant({ dataClass: 1, validUntil: (await time.latest()) + DAY }),
        grant({ dataClass: 2, serviceHash: travel, ops: STORE }),
        grant({ dataClass: 1, serviceHash: travel, ops: TEARDOWN }),
      ] as const;
      const sent = r.scopes.setGrants(r.actor, [...grants]);
      for (const { dataClass, serviceHash, ops, validUntil } of grants) {
        await expect(sent)
          .to.emit(r.scopes, "GrantSet")
          .withArgs(r.operator, r.actor, scopeKey(dataClass, serviceHash), dataClass, serviceHash, ops, validUntil);
      }
      const expected = [grants[1], grants[3], grants[2], grants[0]].map((g) => view(g));
      expect(await listed(r, r.actor)).to.deep.equal(expected);
      for (const [cursor, size, from, to] of [
        [0, 2, 0, 2],
        [1, 2, 1, 3],
        [3, 9, 3, 4],
        [4, 9, 4, 4],
        [9, 9, 4, 4],
      ] as const) {
        const page = await r.scopes.grantsOf(r.operator, r.actor, cursor, size);
        expect(page.grants.map((g) => g.scopeKey)).to.deep.equal(expected.slice(from, to).map(([key]) => key));
        expect(page.nextCursor).to.equal(cursor + to - from);
      }
    });

    it("replaces a grant with the same class and service", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant({ ops: STORE }), grant({ ops: FETCH })]);
      expect(await listed(r, r.actor)).to.deep.equal([view({ ops: FETCH })]);
      await r.scopes.setGrants(r.actor, [grant({ ops: 15 })]);
      expect(await listed(r, r.actor)).to.deep.equal([view({ ops: 15 })]);
    });

    it("takes nothing that is out of range, and then nothing at all", async () => {
      const r = await withAgent();
      const now = (await time.latest()) + 100;
      for (const [bad, error, args] of [
        [{ dataClass: 0 }, "InvalidDataClass", [0]],
        [{ dataClass: 4 }, "InvalidDataClass", [4]],
        [{ ops: 0 }, "InvalidOps", [0]],
        [{ ops: 16 }, "InvalidOps", [16]],
        [{ validUntil: 0 }, "InvalidValidUntil", [0, now]],
        [{ validUntil: now }, "InvalidValidUntil", [now, now]],
        [{ validUntil: NO_END + 1n }, "InvalidValidUntil", [NO_END + 1n, now]],
        [{ validUntil: 2n ** 64n - 1n }, "InvalidValidUntil", [2n ** 64n - 1n, now]],
      ] as const) {
        await time.setNextBlockTimestamp(now);
        await expect(r.scopes.setGrants.staticCall(r.actor, [grant(), grant(bad)], { blockTag: "pending" }))
          .to.be.revertedWithCustomError(r.scopes, error)
          .withArgs(...args);
      }
      await r.scopes.setGrants(r.actor, [grant({ validUntil: now + 1 })]);
      expect(await time.latest()).to.equal(now);
    });

    it("refuses everybody but the agent's master", async () => {
      const r = await withAgent();
      await expect(r.scopes.connect(r.stranger).setGrants(r.actor, [grant()]))
        .to.be.revertedWithCustomError(r.scopes, "NotMaster")
        .withArgs(r.stranger.address);
      await expect(r.scopes.connect(r.bob).setGrants(r.actor, [grant()]))
        .to.be.revertedWithCustomError(r.scopes, "ActorNotOfOperator")
        .withArgs(r.actor, r.rival);
      for (const actor of [r.foreign, r.operator, r.rival, id("unknown"), ZeroHash]) {
        await expect(r.scopes.setGrants(actor, [grant()]))
          .to.be.revertedWithCustomError(r.scopes, "ActorNotOfOperator")
          .withArgs(actor, r.operator);
      }
    });

    it("refuses while frozen, and while the agent is revoked", async () => {
      const r = await withAgent();
      await freeze(r, master);
      await expect(r.scopes.setGrants(r.actor, [grant()]))
        .to.be.revertedWithCustomError(r.scopes, "OperatorIsFrozen")
        .withArgs(r.operator);
      await r.sidecars.unfreeze();
      await r.sidecars.revokeActor(r.actor);
      await expect(r.scopes.setGrants(r.actor, [grant()]))
        .to.be.revertedWithCustomError(r.scopes, "ActorNotLive")
        .withArgs(r.actor);
    });

    it("takes a hundred in one transaction of an Osaka block", async () => {
      const r = await withAgent();
      const hundred = Array.from({ length: 100 }, (_, i) =>
        grant({ dataClass: 1 + (i % 3), serviceHash: id(`s${i}`) }),
      );
      const receipt = await (await r.scopes.setGrants(r.actor, hundred, { gasLimit: 16_777_216 })).wait();
      expect(receipt?.status).to.equal(1);
      expect(await listed(r, r.actor)).to.have.length(100);
    });
  });

  describe("revokeGrants", () => {
    it("ends the named grants and closes the gap they leave", async () => {
      const r = await withAgent();
      const services = ["a", "b", "c", "d", "e"].map((name) => id(name));
      await r.scopes.setGrants(
        r.actor,
        services.map((serviceHash) => grant({ serviceHash })),
      );
      const keys = services.map((serviceHash) => scopeKey(1, serviceHash));
      const [a, b, c, d, e] = keys;
      const sent = r.scopes.revokeGrants(r.actor, [b ?? "", e ?? ""]);
      await expect(sent).to.emit(r.scopes, "GrantRevoked").withArgs(r.operator, r.actor, b);
      await expect(sent).to.emit(r.scopes, "GrantRevoked").withArgs(r.operator, r.actor, e);
      expect((await listed(r, r.actor)).map(([key]) => key).sort()).to.deep.equal([a, c, d].sort());
      // What moved can be revoked and granted like any other.
      await r.scopes.revokeGrants(r.actor, [d ?? "", a ?? "", c ?? ""]);
      expect(await listed(r, r.actor)).to.deep.equal([]);
      await r.scopes.setGrants(r.actor, [grant({ serviceHash: services[1] ?? "" })]);
      expect((await listed(r, r.actor)).map(([key]) => key)).to.deep.equal([b]);
    });

    it("refuses a key without a grant, a key twice, and then ends nothing", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      const key = scopeKey(1, openrouter);
      for (const keys of [[scopeKey(2, openrouter)], [key, scopeKey(1, travel)], [key, key], [ZeroHash]]) {
        await expect(r.scopes.revokeGrants(r.actor, keys))
          .to.be.revertedWithCustomError(r.scopes, "GrantUnknown")
          .withArgs(r.actor, keys.at(-1));
      }
      expect(await listed(r, r.actor)).to.have.length(1);
    });

    it("works while frozen, and for the agent's master only", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      const keys = [scopeKey(1, openrouter)];
      await expect(r.scopes.connect(r.stranger).revokeGrants(r.actor, keys))
        .to.be.revertedWithCustomError(r.scopes, "NotMaster")
        .withArgs(r.stranger.address);
      await expect(r.scopes.connect(r.bob).revokeGrants(r.actor, keys))
        .to.be.revertedWithCustomError(r.scopes, "ActorNotOfOperator")
        .withArgs(r.actor, r.rival);
      await freeze(r, master);
      await r.scopes.revokeGrants(r.actor, keys);
      expect(await listed(r, r.actor)).to.deep.equal([]);
    });

    it("knows no grant of an earlier generation", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      await r.sidecars.revokeActor(r.actor);
      await expect(r.scopes.revokeGrants(r.actor, [scopeKey(1, openrouter)]))
        .to.be.revertedWithCustomError(r.scopes, "GrantUnknown")
        .withArgs(r.actor, scopeKey(1, openrouter));
    });
  });

  describe("revokeAll", () => {
    it("ends every grant of the agent in gas that does not grow, and grants can be written again", async () => {
      const r = await withAgent();
      const many = Array.from({ length: 30 }, (_, i) => grant({ serviceHash: id(`s${i}`) }));
      const costs = [];
      for (const grants of [many.slice(0, 1), many]) {
        await r.scopes.setGrants(r.actor, grants);
        const sent = await r.scopes.revokeAll(r.actor);
        await expect(sent).to.emit(r.scopes, "AllGrantsRevoked").withArgs(r.operator, r.actor);
        costs.push((await sent.wait())?.gasUsed);
        expect(await listed(r, r.actor)).to.deep.equal([]);
        expect(await r.scopes.isServiceInScope(r.operator, r.actor, 1, id("s0"), FETCH)).to.equal(false);
      }
      expect(costs[0]).to.equal(costs[1]);
      await r.scopes.setGrants(r.actor, [grant({ serviceHash: id("s7") })]);
      expect(await listed(r, r.actor)).to.deep.equal([view({ serviceHash: id("s7") })]);
    });

    it("leaves other agents and every device alone", async () => {
      const r = await withAgent();
      await registerAgent(r, "agent-b", testDevice("b"));
      const other = await r.sidecars.computeActorOmni(r.operator, "agent-b");
      await r.scopes.setGrants(r.actor, [grant()]);
      await r.scopes.setGrants(other, [grant()]);
      await r.scopes.revokeAll(r.actor);
      expect(await listed(r, other)).to.have.length(1);
      expect(await r.sidecars.isActive(agent.hash)).to.equal(true);
    });

    it("works while frozen, for the agent's master only", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      await expect(r.scopes.connect(r.bob).revokeAll(r.actor))
        .to.be.revertedWithCustomError(r.scopes, "ActorNotOfOperator")
        .withArgs(r.actor, r.rival);
      await expect(r.scopes.connect(r.stranger).revokeAll(r.actor))
        .to.be.revertedWithCustomError(r.scopes, "NotMaster")
        .withArgs(r.stranger.address);
      await freeze(r, master);
      await r.scopes.revokeAll(r.actor);
      expect(await listed(r, r.actor)).to.deep.equal([]);
    });
  });

  describe("generations", () => {
    it("an agent that is revoked and comes back has no grant, and old ones never revive", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant(), grant({ serviceHash: travel })]);
      await r.sidecars.revokeActor(r.actor);
      const gone = async () => {
        expect(await listed(r, r.actor)).to.deep.equal([]);
        for (const service of [openrouter, travel]) {
          expect(await r.scopes.isServiceInScope(r.operator, r.actor, 1, service, FETCH)).to.equal(false);
        }
      };
      await gone();
      const again = testDevice("again");
      await registerAgent(r, "agent-a", again);
      await gone();
      await r.scopes.setGrants(r.actor, [grant({ serviceHash: travel, ops: STORE })]);
      expect(await listed(r, r.actor)).to.deep.equal([view({ serviceHash: travel, ops: STORE })]);
      const facts = await r.scopes.checkAccess(again.hash, r.operator, r.actor, 1, openrouter);
      expect([facts.grantOps, facts.grantValidUntil]).to.deep.equal([0n, 0n]);
      await r.sidecars.revokeActor(r.actor);
      await r.scopes.revokeAll(r.actor);
      await registerAgent(r, "agent-a", testDevice("third"));
      await gone();
    });

    it("a transfer keeps grants, and only the new master writes them", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      await r.sidecars.transferOperator(r.carol);
      await time.increase(2 * DAY);
      await r.sidecars.connect(r.carol).acceptOperator(r.operator);
      expect(await listed(r, r.actor)).to.deep.equal([view()]);
      await expect(r.scopes.setGrants(r.actor, [grant()]))
        .to.be.revertedWithCustomError(r.scopes, "NotMaster")
        .withArgs(r.alice.address);
      await r.scopes.connect(r.carol).setGrants(r.actor, [grant({ ops: 15 })]);
      expect(await listed(r, r.actor)).to.deep.equal([view({ ops: 15 })]);
    });
  });

  describe("isServiceInScope", () => {
    it("asks for every operation, and ends at the very second", async () => {
      const r = await withAgent();
      const end = (await time.latest()) + DAY;
      await r.scopes.setGrants(r.actor, [grant({ ops: STORE | FETCH, validUntil: end })]);
      const covers = (op: number, dataClass = 1, service = openrouter, operator = r.operator, actor = r.actor) =>
        r.scopes.isServiceInScope(operator, actor, dataClass, service, op);
      expect(await covers(STORE)).to.equal(true);
      expect(await covers(STORE | FETCH)).to.equal(true);
      for (const op of [0, TEARDOWN, FETCH | TEARDOWN, 16, 255]) expect(await covers(op)).to.equal(false);
      expect(await covers(FETCH, 2)).to.equal(false);
      expect(await covers(FETCH, 0)).to.equal(false);
      expect(await covers(FETCH, 255)).to.equal(false);
      expect(await covers(FETCH, 1, travel)).to.equal(false);
      expect(await covers(FETCH, 1, openrouter, r.rival)).to.equal(false);
      expect(await covers(FETCH, 1, openrouter, r.operator, r.foreign)).to.equal(false);
      await time.increaseTo(end - 1);
      expect(await covers(FETCH)).to.equal(true);
      await time.increaseTo(end);
      expect(await covers(FETCH)).to.equal(false);
      expect(await listed(r, r.actor)).to.deep.equal([view({ ops: STORE | FETCH, validUntil: end })]);
    });
  });

  describe("checkAccess", () => {
    async function facts(
      r: Awaited<ReturnType<typeof withAgent>>,
      device: string,
      told: { operator?: string; actor?: string; dataClass?: number; service?: string } = {},
    ) {
      const { operator = r.operator, actor = r.actor, dataClass = 1, service = openrouter } = told;
      const answer = await r.scopes.checkAccess(device, operator, actor, dataClass, service);
      expect(answer.version).to.equal(1);
      expect(answer.blockTime).to.equal(await time.latest());
      expect(answer.chainId).to.equal(31337);
      return [
        answer.deviceRegistered,
        answer.deviceNotRevoked,
        answer.operatorNotFrozen,
        answer.deviceMayMint,
        Number(answer.binding),
        answer.isOperatorSelf,
        Number(answer.grantOps),
        answer.grantValidUntil,
        Number(answer.k3Epoch),
      ];
    }

    it("has one word per field, in the order of the struct", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      const data = r.scopes.interface.encodeFunctionData("checkAccess", [
        agent.hash,
        r.operator,
        r.actor,
        1,
        openrouter,
      ]);
      const answer = await ethers.provider.call({ to: r.scopes, data });
      const words = AbiCoder.defaultAbiCoder().decode(Array<string>(12).fill("uint256"), answer);
      expect(answer).to.have.length(2 + 12 * 64);
      expect([...words]).to.deep.equal([
        1n,
        1n,
        1n,
        1n,
        1n,
        1n,
        0n,
        2n,
        NO_END,
        1n,
        BigInt(await time.latest()),
        31337n,
      ]);
    });

    it("of an agent's device", async () => {
      const r = await withAgent();
      expect(await facts(r, agent.hash)).to.deep.equal([true, true, true, true, 1, false, 0, 0n, 1]);
      await r.scopes.setGrants(r.actor, [grant({ ops: STORE | FETCH })]);
      expect(await facts(r, agent.hash)).to.deep.equal([true, true, true, true, 1, false, 3, NO_END, 1]);
      for (const told of [{ dataClass: 2 }, { dataClass: 0 }, { dataClass: 255 }, { service: travel }]) {
        expect(await facts(r, agent.hash, told)).to.deep.equal([true, true, true, true, 1, false, 0, 0n, 1]);
      }
    });

    it("of the operator's own device, for itself and as parent", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      expect(await facts(r, master.hash, { actor: r.operator })).to.deep.equal([
        true,
        true,
        true,
        true,
        1,
        true,
        0,
        0n,
        1,
      ]);
      expect(await facts(r, master.hash)).to.deep.equal([true, true, true, true, 2, false, FETCH, NO_END, 1]);
    });

    it("has no binding for any other operator or actor", async () => {
      const r = await withAgent();
      await registerAgent(r, "agent-b", testDevice("b"));
      await r.scopes.setGrants(r.actor, [grant()]);
      await r.scopes.connect(r.bob).setGrants(r.foreign, [grant()]);
      const never = await r.sidecars.computeActorOmni(r.operator, "never");
      for (const [device, told] of [
        [agent, { actor: await r.sidecars.computeActorOmni(r.operator, "agent-b") }],
        [agent, { actor: r.operator }],
        [agent, { operator: r.rival }],
        [agent, { operator: r.rival, actor: r.foreign }],
        [agent, { actor: r.foreign }],
        [master, { operator: r.rival }],
        [master, { operator: r.rival, actor: r.foreign }],
        [master, { actor: r.foreign }],
        [master, { operator: r.rival, actor: r.rival }],
        [master, { actor: never }],
        [master, { actor: ZeroHash }],
        [master, { operator: ZeroHash, actor: ZeroHash }],
      ] as const) {
        expect(await facts(r, device.hash, told)).to.deep.equal([true, true, true, true, 0, false, 0, 0n, 1]);
      }
    });

    it("is zeros for an unknown device, beside version, epoch, time and chain", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      for (const hash of [testDevice("unknown").hash, ZeroHash]) {
        for (const told of [{}, { operator: ZeroHash, actor: ZeroHash }]) {
          expect(await facts(r, hash, told)).to.deep.equal([false, false, false, false, 0, false, 0, 0n, 1]);
        }
      }
    });

    it("of a device without CAP_MINT", async () => {
      const r = await withAgent();
      const guard = testDevice("guard");
      await registerMaster(r, guard, { roles: RECOVERY | SCOPE_MGMT });
      expect(await facts(r, guard.hash)).to.deep.equal([true, true, true, false, 2, false, 0, 0n, 1]);
    });

    it("drill: D14, contract side: each end shows in the next block", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      const own = { actor: r.operator };
      await r.scopes.revokeGrants(r.actor, [scopeKey(1, openrouter)]);
      expect(await facts(r, agent.hash)).to.deep.equal([true, true, true, true, 1, false, 0, 0n, 1]);
      await r.scopes.setGrants(r.actor, [grant()]);

      await freeze(r, master);
      expect(await facts(r, agent.hash)).to.deep.equal([true, true, false, true, 1, false, FETCH, NO_END, 1]);
      expect(await facts(r, master.hash, own)).to.deep.equal([true, true, false, true, 1, true, 0, 0n, 1]);
      await r.sidecars.unfreeze();
      expect(await facts(r, agent.hash)).to.deep.equal([true, true, true, true, 1, false, FETCH, NO_END, 1]);

      await r.epochs.advanceEpoch(id("second"));
      expect(await facts(r, agent.hash)).to.deep.equal([true, true, true, true, 1, false, FETCH, NO_END, 2]);

      await r.sidecars.revokeActor(r.actor);
      expect(await facts(r, agent.hash)).to.deep.equal([true, false, true, true, 1, false, 0, 0n, 2]);
      expect(await facts(r, master.hash)).to.deep.equal([true, true, true, true, 0, false, 0, 0n, 2]);
      const again = testDevice("again");
      await registerAgent(r, "agent-a", again);
      expect(await facts(r, agent.hash)).to.deep.equal([true, false, true, true, 1, false, 0, 0n, 2]);
      expect(await facts(r, again.hash)).to.deep.equal([true, true, true, true, 1, false, 0, 0n, 2]);
      expect(await facts(r, master.hash)).to.deep.equal([true, true, true, true, 2, false, 0, 0n, 2]);

      await r.sidecars.revokeDevice(again.hash);
      expect(await facts(r, again.hash)).to.deep.equal([true, false, true, true, 1, false, 0, 0n, 2]);

      await r.sidecars.transferOperator(r.carol);
      await time.increase(2 * DAY);
      await r.sidecars.connect(r.carol).acceptOperator(r.operator);
      expect(await facts(r, master.hash, own)).to.deep.equal([true, false, true, true, 1, true, 0, 0n, 2]);
      expect(await facts(r, master.hash)).to.deep.equal([true, false, true, true, 0, false, 0, 0n, 2]);
    });

    it("a frozen rival stops nobody else", async () => {
      const r = await withAgent();
      const guard = testDevice("guard");
      await registerMaster(r, guard, { from: r.bob, roles: RECOVERY });
      await freeze(r, guard, { operatorOmni: r.rival });
      // The device's own operator counts, not the one that the request names.
      expect(await facts(r, agent.hash, { operator: r.rival })).to.deep.equal([
        true,
        true,
        true,
        true,
        0,
        false,
        0,
        0n,
        1,
      ]);
      expect(await facts(r, guard.hash)).to.deep.equal([true, true, false, false, 0, false, 0, 0n, 1]);
    });

    it("costs the same with many devices, agents and grants", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      const cost = async () => {
        const call = await r.scopes.checkAccess.populateTransaction(agent.hash, r.operator, r.actor, 1, openrouter);
        return (await (await r.stranger.sendTransaction(call)).wait())?.gasUsed;
      };
      const before = await cost();
      for (let i = 0; i < 10; ++i) await registerAgent(r, i < 5 ? "agent-a" : `agent-${i}`, testDevice(`many ${i}`));
      await r.scopes.setGrants(
        r.actor,
        Array.from({ length: 50 }, (_, i) => grant({ serviceHash: id(`s${i}`) })),
      );
      expect(await cost()).to.equal(before);
    });
  });

  describe("grantsOf", () => {
    it("is empty for unknown ids and another operator's agent", async () => {
      const r = await withAgent();
      await r.scopes.setGrants(r.actor, [grant()]);
      for (const [operator, actor] of [
        [r.rival, r.actor],
        [r.operator, r.foreign],
        [r.operator, id("unknown")],
        [ZeroHash, ZeroHash],
      ] as const) {
        expect(await listed(r, actor, operator)).to.deep.equal([]);
      }
      const max = 2n ** 256n - 1n;
      expect([...(await r.scopes.grantsOf(r.operator, r.actor, max, max))]).to.deep.equal([[], max]);
      expect((await r.scopes.grantsOf(r.operator, r.actor, 0, max)).nextCursor).to.equal(1);
    });
  });

  it("is changed by three functions only", () => {
    const changing = ScopeRegistry__factory.createInterface().fragments.filter(
      (fragment) => fragment.type === "function" && !("constant" in fragment && fragment.constant === true),
    );
    expect(changing.map((fragment) => "name" in fragment && fragment.name).sort()).to.deep.equal([
      "revokeAll",
      "revokeGrants",
      "setGrants",
    ]);
  });
});

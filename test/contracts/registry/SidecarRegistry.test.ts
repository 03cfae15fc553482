import { loadFixture, setCode, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import { ZeroHash, id, keccak256 } from "ethers";
import { ethers } from "hardhat";

import { SidecarRegistry__factory } from "../../../typechain-types";
import {
  CAP_MINT,
  RECOVERY,
  SCOPE_MGMT,
  type TestDevice,
  deviceDomain,
  malformed,
  signFreeze,
  signRaw,
  testDevice,
} from "../../helpers/device";
import { HOUR, freeze, registerAgent, registerMaster, registries } from "../../helpers/registry";
import vectors from "../../vectors/protocol.json";

describe("SidecarRegistry", () => {
  const master = testDevice("master");
  const agent = testDevice("agent");
  const unknown = testDevice("unknown");

  async function withDevices() {
    const r = await loadFixture(registries);
    await registerMaster(r, master, { roles: CAP_MINT | RECOVERY });
    await registerAgent(r, "agent-a", agent);
    const actor = await r.sidecars.computeActorOmni(r.operator, "agent-a");
    return { ...r, actor };
  }

  describe("freeze", () => {
    it("stops the operator and uses up the nonce, whoever submits", async () => {
      const r = await withDevices();
      await expect(freeze(r, master)).to.emit(r.sidecars, "OperatorFrozen").withArgs(r.operator, master.hash, 0);
      expect(await r.sidecars.isFrozen(r.operator)).to.equal(true);
      expect(await r.sidecars.isFrozen(r.rival)).to.equal(false);
      expect(await r.sidecars.freezeNonce(r.operator)).to.equal(1);
    });

    it("refuses a second freeze and an order that was used", async () => {
      const r = await withDevices();
      const deadline = (await time.latest()) + 600;
      const order = { operatorOmni: r.operator, deviceKeyHash: master.hash, freezeNonce: 0, deadline };
      const sig = await signFreeze(master, r.domain, order);
      await r.sidecars.freeze(r.operator, master.hash, deadline, sig);
      await expect(r.sidecars.freeze(r.operator, master.hash, deadline, sig))
        .to.be.revertedWithCustomError(r.sidecars, "OperatorIsFrozen")
        .withArgs(r.operator);
      await r.sidecars.unfreeze();
      await expect(r.sidecars.freeze(r.operator, master.hash, deadline, sig)).to.be.revertedWithCustomError(
        r.sidecars,
        "SignerMismatch",
      );
    });

    it("judges the deadline to the second: now and an hour ahead pass", async () => {
      for (const { ahead, error, bound } of [
        { ahead: -1, error: "DeadlinePassed", bound: 0 },
        { ahead: 0, error: undefined, bound: 0 },
        { ahead: HOUR, error: undefined, bound: 0 },
        { ahead: HOUR + 1, error: "DeadlineTooFar", bound: HOUR },
      ]) {
        const r = await withDevices();
        const now = (await time.latest()) + 1;
        await time.setNextBlockTimestamp(now);
        const sent = freeze(r, master, { deadline: now + ahead });
        if (error === undefined) await sent;
        else {
          await expect(sent)
            .to.be.revertedWithCustomError(r.sidecars, error)
            .withArgs(now + ahead, now + bound);
        }
      }
    });

    it("refuses every malformed signature", async () => {
      const r = await withDevices();
      const deadline = (await time.latest()) + 600;
      const order = { operatorOmni: r.operator, deviceKeyHash: master.hash, freezeNonce: 0, deadline };
      for (const { what, sig, error } of malformed(await signFreeze(master, r.domain, order))) {
        await expect(r.sidecars.freeze(r.operator, master.hash, deadline, sig), what).to.be.revertedWithCustomError(
          r.sidecars,
          error,
        );
      }
    });

    it("refuses an order with any one field changed, for another chain or contract, or by another device", async () => {
      const r = await withDevices();
      const deadline = (await time.latest()) + 600;
      const good = { operatorOmni: r.operator, deviceKeyHash: master.hash, freezeNonce: 0, deadline };
      for (const sig of [
        await signFreeze(master, r.domain, { ...good, operatorOmni: r.rival }),
        await signFreeze(master, r.domain, { ...good, deviceKeyHash: agent.hash }),
        await signFreeze(master, r.domain, { ...good, freezeNonce: 1 }),
        await signFreeze(master, r.domain, { ...good, deadline: deadline + 1 }),
        await signFreeze(master, await deviceDomain(r.sidecars, 1), good),
        await signFreeze(master, await deviceDomain(r.scopes), good),
      ]) {
        await expect(r.sidecars.freeze(r.operator, master.hash, deadline, sig)).to.be.revertedWithCustomError(
          r.sidecars,
          "SignerMismatch",
        );
      }
      await expect(r.sidecars.freeze(r.operator, master.hash, deadline, await signFreeze(agent, r.domain, good)))
        .to.be.revertedWithCustomError(r.sidecars, "SignerMismatch")
        .withArgs(master.key, agent.key);
    });

    it("refuses devices that may not freeze this operator", async () => {
      const r = await withDevices();
      const { sidecars, operator } = r;
      const plain = testDevice("plain");
      await registerMaster(r, plain, { roles: CAP_MINT | SCOPE_MGMT });
      const foreign = testDevice("foreign");
      await registerMaster(r, foreign, { from: r.bob, roles: RECOVERY });
      await expect(freeze(r, unknown))
        .to.be.revertedWithCustomError(sidecars, "DeviceNotRegistered")
        .withArgs(unknown.hash);
      await expect(freeze(r, foreign))
        .to.be.revertedWithCustomError(sidecars, "DeviceNotOfOperator")
        .withArgs(foreign.hash, operator);
      await expect(freeze(r, agent))
        .to.be.revertedWithCustomError(sidecars, "DeviceNotMasterTier")
        .withArgs(agent.hash);
      await expect(freeze(r, plain))
        .to.be.revertedWithCustomError(sidecars, "DeviceRoleMissing")
        .withArgs(plain.hash, RECOVERY);
      await expect(freeze(r, master, { operatorOmni: id("unknown") }))
        .to.be.revertedWithCustomError(sidecars, "OperatorUnknown")
        .withArgs(id("unknown"));
      await sidecars.revokeDevice(master.hash);
      await expect(freeze(r, master)).to.be.revertedWithCustomError(sidecars, "DeviceNotActive").withArgs(master.hash);
      expect(await sidecars.isFrozen(operator)).to.equal(false);
    });
  });

  describe("checkPop", () => {
    const digest = id("message");

    async function check(
      r: Awaited<ReturnType<typeof withDevices>>,
      device: TestDevice,
      told: { operator?: string; actor?: string; role?: number; sig?: string } = {},
    ) {
      const { operator = r.operator, actor = r.actor, role = CAP_MINT, sig = signRaw(device, digest) } = told;
      return r.sidecars.checkPop(digest, sig, operator, actor, role);
    }

    it("names the device that signed: the actor's own, or a master device for a live agent", async () => {
      const r = await withDevices();
      expect(await check(r, agent)).to.equal(agent.hash);
      expect(await check(r, master)).to.equal(master.hash);
      expect(await check(r, master, { actor: r.operator })).to.equal(master.hash);
      expect(await check(r, master, { role: CAP_MINT | RECOVERY })).to.equal(master.hash);
    });

    it("refuses every malformed signature", async () => {
      const r = await withDevices();
      for (const { what, sig, error } of malformed(signRaw(agent, digest))) {
        await expect(check(r, agent, { sig }), what).to.be.revertedWithCustomError(r.sidecars, error);
      }
    });

    it("gives the first reason in the protocol's order", async () => {
      const r = await withDevices();
      const { sidecars, operator } = r;
      const bad = { actor: r.rival, role: SCOPE_MGMT };
      await expect(check(r, unknown, bad))
        .to.be.revertedWithCustomError(sidecars, "DeviceNotRegistered")
        .withArgs(unknown.hash);
      await expect(check(r, master, { actor: r.rival }))
        .to.be.revertedWithCustomError(sidecars, "DeviceBindingMismatch")
        .withArgs(master.hash, operator, r.rival);
      await expect(check(r, master, bad))
        .to.be.revertedWithCustomError(sidecars, "DeviceRoleMissing")
        .withArgs(master.hash, SCOPE_MGMT);
      await freeze(r, master);
      await expect(check(r, master, bad))
        .to.be.revertedWithCustomError(sidecars, "OperatorIsFrozen")
        .withArgs(operator);
      await sidecars.revokeDevice(master.hash);
      await expect(check(r, master, bad))
        .to.be.revertedWithCustomError(sidecars, "DeviceNotActive")
        .withArgs(master.hash);
    });

    it("refuses a device for any other operator or actor", async () => {
      const r = await withDevices();
      await registerAgent(r, "agent-b", testDevice("b"));
      await registerAgent(r, "agent-a", testDevice("foreign"), { from: r.bob });
      const other = await r.sidecars.computeActorOmni(r.operator, "agent-b");
      const foreign = await r.sidecars.computeActorOmni(r.rival, "agent-a");
      const never = await r.sidecars.computeActorOmni(r.operator, "never");
      for (const [device, operator, actor] of [
        [agent, r.operator, other],
        [agent, r.operator, r.operator],
        [agent, r.rival, r.actor],
        [agent, r.rival, foreign],
        [master, r.rival, foreign],
        [master, r.operator, foreign],
        [master, r.rival, r.actor],
        [master, r.operator, never],
        [master, r.operator, ZeroHash],
        [agent, ZeroHash, ZeroHash],
      ] as const) {
        await expect(check(r, device, { operator, actor }))
          .to.be.revertedWithCustomError(r.sidecars, "DeviceBindingMismatch")
          .withArgs(device.hash, operator, actor);
      }
    });

    it("refuses a parent for an agent that is revoked, until it is back", async () => {
      const r = await withDevices();
      await r.sidecars.revokeActor(r.actor);
      await expect(check(r, agent)).to.be.revertedWithCustomError(r.sidecars, "DeviceNotActive").withArgs(agent.hash);
      await expect(check(r, master)).to.be.revertedWithCustomError(r.sidecars, "DeviceBindingMismatch");
      await registerAgent(r, "agent-a", testDevice("again"));
      expect(await check(r, master)).to.equal(master.hash);
      await expect(check(r, agent)).to.be.revertedWithCustomError(r.sidecars, "DeviceNotActive").withArgs(agent.hash);
    });

    it("refuses to be asked for no role or an unknown one", async () => {
      const r = await withDevices();
      for (const role of [0, 8, 255]) {
        await expect(check(r, agent, { role }))
          .to.be.revertedWithCustomError(r.sidecars, "InvalidRoles")
          .withArgs(role);
      }
    });
  });

  describe("deviceFacts", () => {
    it("answers zeros for what is unknown", async () => {
      const r = await withDevices();
      const facts = await r.sidecars.deviceFacts(unknown.hash, r.operator, r.actor);
      expect([...facts]).to.deep.equal([false, false, 0n, 0n, 0n]);
      expect([...(await r.sidecars.deviceFacts(ZeroHash, ZeroHash, ZeroHash))]).to.deep.equal([
        false,
        false,
        0n,
        0n,
        0n,
      ]);
      const bound = await r.sidecars.deviceFacts(agent.hash, r.operator, id("unknown"));
      expect([...bound]).to.deep.equal([true, true, 1n, 0n, 0n]);
    });
  });

  describe("granteeFacts", () => {
    it("answers what a grant by this account needs, and zeros for a stranger", async () => {
      const r = await withDevices();
      const facts = async (account: string, actor: string) => [...(await r.sidecars.granteeFacts(account, actor))];
      expect(await facts(r.alice.address, r.actor)).to.deep.equal([r.operator, true, true, true, 0n]);
      expect(await facts(r.bob.address, r.actor)).to.deep.equal([r.rival, true, false, true, 0n]);
      expect(await facts(r.stranger.address, r.actor)).to.deep.equal([ZeroHash, false, false, false, 0n]);
      expect(await facts(r.alice.address, r.operator)).to.deep.equal([r.operator, true, false, false, 0n]);
      await r.sidecars.revokeActor(r.actor);
      expect(await facts(r.alice.address, r.actor)).to.deep.equal([r.operator, true, true, false, 1n]);
    });
  });

  describe("known answers", () => {
    it("of the DeviceBinding digest, and digests as ethers makes them", async () => {
      const { sidecars, domain } = await loadFixture(registries);
      // The separator follows the address that the code runs at.
      await setCode(vectors.domain.registry, await ethers.provider.getCode(sidecars));
      const known = SidecarRegistry__factory.connect(vectors.domain.registry, ethers.provider);
      const { roles, deadline, digest } = vectors.deviceBinding;
      expect(
        await known.deviceBindingDigest(
          vectors.operatorOmni,
          vectors.actorOmni,
          vectors.k10Address,
          roles,
          ZeroHash,
          deadline,
        ),
      ).to.equal(digest);
      const words = ethers.AbiCoder.defaultAbiCoder().encode(
        ["bytes32", "bytes32", "bytes32", "uint64", "uint256"],
        [
          id("Freeze(bytes32 operatorOmni,bytes32 deviceKeyHash,uint64 freezeNonce,uint256 deadline)"),
          vectors.operatorOmni,
          vectors.deviceKeyHash,
          7,
          deadline,
        ],
      );
      const separator = ethers.TypedDataEncoder.hashDomain(domain);
      expect(await sidecars.freezeDigest(vectors.operatorOmni, vectors.deviceKeyHash, 7, deadline)).to.equal(
        keccak256(ethers.concat(["0x1901", separator, keccak256(words)])),
      );
    });
  });
});

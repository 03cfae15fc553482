import { loadFixture, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import { ZeroAddress, ZeroHash, id } from "ethers";

import {
  CAP_MINT,
  RECOVERY,
  SCOPE_MGMT,
  deviceDomain,
  deviceOf,
  malformed,
  signBinding,
  testDevice,
} from "../../helpers/device";
import { DAY, type Registries, freeze, registerAgent, registerMaster, registries } from "../../helpers/registry";
import vectors from "../../vectors/protocol.json";

describe("DeviceRegistry", () => {
  const one = testDevice("one");
  const two = testDevice("two");
  const three = testDevice("three");

  function actorOf(r: Registries, label = "agent-a"): Promise<string> {
    return r.sidecars.computeActorOmni(r.operator, label);
  }

  async function frozen() {
    const r = await loadFixture(registries);
    await registerMaster(r, three, { roles: RECOVERY });
    await registerAgent(r, "agent-a", one);
    await freeze(r, three);
    return r;
  }

  describe("registerMasterDevice", () => {
    it("binds the key to the operator itself", async () => {
      const r = await loadFixture(registries);
      const now = (await time.latest()) + 1;
      await time.setNextBlockTimestamp(now);
      const roles = CAP_MINT | RECOVERY | SCOPE_MGMT;
      const told = { roles, k11CredId: id("passkey"), attestationHash: id("attested") };
      await expect(registerMaster(r, one, told))
        .to.emit(r.sidecars, "DeviceRegistered")
        .withArgs(r.operator, r.operator, one.hash, one.key, roles, 1, 0, told.k11CredId, told.attestationHash);
      expect([...(await r.sidecars.getDevice(one.hash))]).to.deep.equal([
        r.operator,
        r.operator,
        one.key,
        BigInt(roles),
        1n,
        BigInt(now),
        0n,
        0n,
        told.k11CredId,
        told.attestationHash,
      ]);
      expect(await r.sidecars.isActive(one.hash)).to.equal(true);
    });

    it("refuses roles that are none or unknown", async () => {
      const r = await loadFixture(registries);
      for (const roles of [0, 8, 9, 255]) {
        await expect(registerMaster(r, one, { roles }))
          .to.be.revertedWithCustomError(r.sidecars, "InvalidRoles")
          .withArgs(roles);
      }
    });

    it("refuses a caller that is no master", async () => {
      const r = await loadFixture(registries);
      await expect(registerMaster(r, one, { from: r.stranger }))
        .to.be.revertedWithCustomError(r.sidecars, "NotMaster")
        .withArgs(r.stranger.address);
    });

    it("takes no proof for other roles than the key signed", async () => {
      const r = await loadFixture(registries);
      const deadline = (await time.latest()) + 600;
      const fields = { operatorOmni: r.operator, actorOmni: r.operator, deviceKey: one.key, attestationHash: ZeroHash };
      const popSig = await signBinding(one, r.domain, { ...fields, roles: CAP_MINT, deadline });
      await expect(
        registerMaster(r, one, { roles: CAP_MINT | RECOVERY, deadline, popSig }),
      ).to.be.revertedWithCustomError(r.sidecars, "SignerMismatch");
      await registerMaster(r, one, { roles: CAP_MINT, deadline, popSig });
    });
  });

  describe("registerAgentDevice", () => {
    it("binds the key to the agent that the contract computes", async () => {
      const r = await loadFixture(registries);
      const actor = await actorOf(r);
      const now = (await time.latest()) + 1;
      await time.setNextBlockTimestamp(now);
      const sent = registerAgent(r, "agent-a", one, { attestationHash: id("attested") });
      await expect(sent)
        .to.emit(r.sidecars, "DeviceRegistered")
        .withArgs(r.operator, actor, one.hash, one.key, CAP_MINT, 2, 0, ZeroHash, id("attested"));
      await expect(sent).to.emit(r.sidecars, "ActorRegistered").withArgs(r.operator, actor, "agent-a", 0);
      expect([...(await r.sidecars.getDevice(one.hash))]).to.deep.equal([
        r.operator,
        actor,
        one.key,
        1n,
        2n,
        BigInt(now),
        0n,
        0n,
        ZeroHash,
        id("attested"),
      ]);
      expect(await r.sidecars.operatorOf(actor)).to.equal(r.operator);
      expect(await r.sidecars.isLive(actor)).to.equal(true);
    });

    it("returns the actor and the hash", async () => {
      const r = await loadFixture(registries);
      const deadline = (await time.latest()) + 600;
      const actorOmni = await actorOf(r);
      const popSig = await signBinding(one, r.domain, {
        operatorOmni: r.operator,
        actorOmni,
        deviceKey: one.key,
        roles: CAP_MINT,
        attestationHash: ZeroHash,
        deadline,
      });
      const answer = await r.sidecars.registerAgentDevice.staticCall("agent-a", one.key, ZeroHash, deadline, popSig);
      expect([...answer]).to.deep.equal([actorOmni, one.hash]);
    });

    it("lets several devices serve one agent", async () => {
      const r = await loadFixture(registries);
      await registerAgent(r, "agent-a", one);
      await expect(registerAgent(r, "agent-a", two)).not.to.emit(r.sidecars, "ActorRegistered");
      expect((await r.sidecars.getDevice(two.hash)).actorOmni).to.equal(await actorOf(r));
    });

    it("refuses labels outside ^[a-z0-9-]{1,32}$, in the view as well", async () => {
      const r = await loadFixture(registries);
      const bad = ["", "A", "a_b", "a b", "a/b", "a.b", "a`", "a{", "a,", "a:", "é", "a\0", "a".repeat(33)];
      for (const label of bad) {
        await expect(r.sidecars.registerAgentDevice(label, one.key, ZeroHash, 0, "0x"))
          .to.be.revertedWithCustomError(r.sidecars, "InvalidLabel")
          .withArgs(label);
        await expect(r.sidecars.computeActorOmni(r.operator, label))
          .to.be.revertedWithCustomError(r.sidecars, "InvalidLabel")
          .withArgs(label);
      }
      for (const label of ["a", "z", "0", "9", "-", "--", "a".repeat(32)]) {
        await registerAgent(r, label, testDevice(`label ${label}`));
      }
    });

    it("refuses every malformed signature", async () => {
      const r = await loadFixture(registries);
      const deadline = (await time.latest()) + 600;
      const fields = { operatorOmni: r.operator, actorOmni: await actorOf(r), deviceKey: one.key };
      const told = { roles: CAP_MINT, attestationHash: ZeroHash, deadline };
      const good = await signBinding(one, r.domain, { ...fields, ...told });
      for (const { what, sig, error } of malformed(good)) {
        await expect(registerAgent(r, "agent-a", one, { deadline, popSig: sig }), what).to.be.revertedWithCustomError(
          r.sidecars,
          error,
        );
      }
      await registerAgent(r, "agent-a", one, { deadline, popSig: good });
    });

    it("refuses a proof with any one field changed, for another chain or another contract", async () => {
      const r = await loadFixture(registries);
      const deadline = (await time.latest()) + 600;
      const good = {
        operatorOmni: r.operator,
        actorOmni: await actorOf(r),
        deviceKey: one.key,
        roles: CAP_MINT,
        attestationHash: ZeroHash,
        deadline,
      };
      const forged = [
        await signBinding(one, r.domain, { ...good, operatorOmni: r.rival }),
        await signBinding(one, r.domain, { ...good, actorOmni: await actorOf(r, "agent-b") }),
        await signBinding(one, r.domain, { ...good, actorOmni: r.operator }),
        await signBinding(one, r.domain, { ...good, deviceKey: two.key }),
        await signBinding(one, r.domain, { ...good, roles: 3 }),
        await signBinding(one, r.domain, { ...good, attestationHash: id("other") }),
        await signBinding(one, r.domain, { ...good, deadline: deadline + 1 }),
        await signBinding(two, r.domain, good),
        await signBinding(one, await deviceDomain(r.sidecars, 1), good),
        await signBinding(one, await deviceDomain(r.scopes), good),
        await signBinding(one, { ...r.domain, version: "1" }, good),
      ];
      for (const popSig of forged) {
        await expect(registerAgent(r, "agent-a", one, { deadline, popSig })).to.be.revertedWithCustomError(
          r.sidecars,
          "SignerMismatch",
        );
      }
      await registerAgent(r, "agent-a", one, { deadline, popSig: await signBinding(one, r.domain, good) });
    });

    it("refuses the zero key", async () => {
      const r = await loadFixture(registries);
      const deadline = (await time.latest()) + 600;
      const zeros = `0x${"00".repeat(64)}1b`;
      await expect(
        r.sidecars.registerAgentDevice("agent-a", ZeroAddress, ZeroHash, deadline, zeros),
      ).to.be.revertedWithCustomError(r.sidecars, "ECDSAInvalidSignature");
    });

    it("registers a hash once, ever, whoever asks and however it ended", async () => {
      const r = await loadFixture(registries);
      await registerAgent(r, "agent-a", one);
      const refused = async () => {
        for (const from of [r.alice, r.bob]) {
          await expect(registerAgent(r, "agent-a", one, { from }))
            .to.be.revertedWithCustomError(r.sidecars, "DeviceAlreadyRegistered")
            .withArgs(one.hash);
          await expect(registerMaster(r, one, { from }))
            .to.be.revertedWithCustomError(r.sidecars, "DeviceAlreadyRegistered")
            .withArgs(one.hash);
        }
      };
      await refused();
      await r.sidecars.revokeDevice(one.hash);
      await refused();
      await r.sidecars.revokeActor(await actorOf(r));
      await refused();
    });
  });

  describe("deadlines", () => {
    for (const { what, ahead, error } of [
      { what: "a second ago", ahead: -1, error: "DeadlinePassed" },
      { what: "now", ahead: 0, error: undefined },
      { what: "a day ahead", ahead: DAY, error: undefined },
      { what: "a day and a second ahead", ahead: DAY + 1, error: "DeadlineTooFar" },
    ]) {
      it(`${what}: ${error ?? "accepted"}, for each kind of registration`, async () => {
        const r = await loadFixture(registries);
        await registerAgent(r, "agent-a", three);
        const rotate = async (deadline: number) => {
          const fields = { operatorOmni: r.operator, actorOmni: await actorOf(r), roles: CAP_MINT, deadline };
          const sig = await signBinding(two, r.domain, { ...fields, deviceKey: two.key, attestationHash: ZeroHash });
          return r.sidecars.rotateDevice(three.hash, two.key, deadline, sig);
        };
        for (const send of [
          (deadline: number) => registerAgent(r, "agent-a", one, { deadline }),
          (deadline: number) => registerMaster(r, testDevice("master"), { deadline }),
          rotate,
        ]) {
          const now = (await time.latest()) + 1;
          await time.setNextBlockTimestamp(now);
          if (error === undefined) await send(now + ahead);
          else {
            const bound = error === "DeadlinePassed" ? now : now + DAY;
            await expect(send(now + ahead))
              .to.be.revertedWithCustomError(r.sidecars, error)
              .withArgs(now + ahead, bound);
          }
        }
      });
    }

    it("the largest deadline there is does not overflow", async () => {
      const r = await loadFixture(registries);
      await expect(registerAgent(r, "agent-a", one, { deadline: 2n ** 256n - 1n })).to.be.revertedWithCustomError(
        r.sidecars,
        "DeadlineTooFar",
      );
    });
  });

  describe("rotateDevice", () => {
    async function rotate(
      r: Registries,
      old: string,
      told: { actor?: string; roles?: number; from?: Registries["alice"] } = {},
    ) {
      const deadline = (await time.latest()) + 600;
      const popSig = await signBinding(two, r.domain, {
        operatorOmni: r.operator,
        actorOmni: told.actor ?? (await actorOf(r)),
        deviceKey: two.key,
        roles: told.roles ?? CAP_MINT,
        attestationHash: ZeroHash,
        deadline,
      });
      return r.sidecars.connect(told.from ?? r.alice).rotateDevice(old, two.key, deadline, popSig);
    }

    it("ends the old key and binds the new one in the same block", async () => {
      const r = await loadFixture(registries);
      await registerAgent(r, "agent-a", one, { attestationHash: id("attested") });
      const actor = await actorOf(r);
      const sent = rotate(r, one.hash);
      await expect(sent).to.emit(r.sidecars, "DeviceRevoked").withArgs(r.operator, actor, one.hash);
      await expect(sent)
        .to.emit(r.sidecars, "DeviceRegistered")
        .withArgs(r.operator, actor, two.hash, two.key, CAP_MINT, 2, 0, ZeroHash, ZeroHash);
      await expect(sent).to.emit(r.sidecars, "DeviceRotated").withArgs(r.operator, actor, one.hash, two.hash);
      const [old, next] = [await r.sidecars.getDevice(one.hash), await r.sidecars.getDevice(two.hash)];
      expect(old.revokedAt).to.equal(next.registeredAt);
      expect(await r.sidecars.isActive(one.hash)).to.equal(false);
      expect(await r.sidecars.isActive(two.hash)).to.equal(true);
    });

    it("keeps tier, roles and passkey of a master device", async () => {
      const r = await loadFixture(registries);
      await registerMaster(r, one, { roles: 7, k11CredId: id("passkey") });
      await expect(rotate(r, one.hash, { actor: r.operator })).to.be.revertedWithCustomError(
        r.sidecars,
        "SignerMismatch",
      );
      await rotate(r, one.hash, { actor: r.operator, roles: 7 });
      const next = await r.sidecars.getDevice(two.hash);
      expect([next.tier, next.roles, next.k11CredId]).to.deep.equal([1n, 7n, id("passkey")]);
    });

    it("refuses unknown, foreign and ended devices", async () => {
      const r = await loadFixture(registries);
      await expect(rotate(r, one.hash))
        .to.be.revertedWithCustomError(r.sidecars, "DeviceNotRegistered")
        .withArgs(one.hash);
      await registerAgent(r, "agent-a", one);
      await expect(rotate(r, one.hash, { from: r.bob }))
        .to.be.revertedWithCustomError(r.sidecars, "DeviceNotOfOperator")
        .withArgs(one.hash, r.rival);
      await expect(rotate(r, one.hash, { from: r.stranger }))
        .to.be.revertedWithCustomError(r.sidecars, "NotMaster")
        .withArgs(r.stranger.address);
      await r.sidecars.revokeDevice(one.hash);
      await expect(rotate(r, one.hash)).to.be.revertedWithCustomError(r.sidecars, "DeviceNotActive").withArgs(one.hash);
    });

    it("does not bring a revoked agent back", async () => {
      const r = await loadFixture(registries);
      await registerAgent(r, "agent-a", one);
      await r.sidecars.revokeActor(await actorOf(r));
      await expect(rotate(r, one.hash)).to.be.revertedWithCustomError(r.sidecars, "DeviceNotActive").withArgs(one.hash);
      await registerAgent(r, "agent-a", three);
      await expect(rotate(r, one.hash)).to.be.revertedWithCustomError(r.sidecars, "DeviceNotActive").withArgs(one.hash);
    });

    it("refuses the same key again", async () => {
      const r = await loadFixture(registries);
      await registerAgent(r, "agent-a", two);
      await expect(rotate(r, two.hash))
        .to.be.revertedWithCustomError(r.sidecars, "DeviceAlreadyRegistered")
        .withArgs(two.hash);
      expect(await r.sidecars.isActive(two.hash)).to.equal(true);
    });
  });

  describe("revokeDevice", () => {
    it("ends one device, also the last, and only once", async () => {
      const r = await loadFixture(registries);
      await registerMaster(r, one);
      await expect(r.sidecars.revokeDevice(one.hash))
        .to.emit(r.sidecars, "DeviceRevoked")
        .withArgs(r.operator, r.operator, one.hash);
      expect(await r.sidecars.isActive(one.hash)).to.equal(false);
      expect((await r.sidecars.getDevice(one.hash)).revokedAt).to.equal(await time.latest());
      await expect(r.sidecars.revokeDevice(one.hash))
        .to.be.revertedWithCustomError(r.sidecars, "DeviceNotActive")
        .withArgs(one.hash);
    });

    it("refuses everybody but the device's own master", async () => {
      const r = await loadFixture(registries);
      await registerAgent(r, "agent-a", one);
      await expect(r.sidecars.connect(r.bob).revokeDevice(one.hash))
        .to.be.revertedWithCustomError(r.sidecars, "DeviceNotOfOperator")
        .withArgs(one.hash, r.rival);
      await expect(r.sidecars.connect(r.stranger).revokeDevice(one.hash))
        .to.be.revertedWithCustomError(r.sidecars, "NotMaster")
        .withArgs(r.stranger.address);
      await expect(r.sidecars.revokeDevice(two.hash))
        .to.be.revertedWithCustomError(r.sidecars, "DeviceNotRegistered")
        .withArgs(two.hash);
    });
  });

  describe("revokeActor", () => {
    it("ends every device of one agent and no other", async () => {
      const r = await loadFixture(registries);
      const actor = await actorOf(r);
      await registerAgent(r, "agent-a", one);
      await registerAgent(r, "agent-a", two);
      await registerAgent(r, "agent-b", three);
      await expect(r.sidecars.revokeActor(actor)).to.emit(r.sidecars, "ActorRevoked").withArgs(r.operator, actor, 1);
      expect(await Promise.all([one, two, three].map((d) => r.sidecars.isActive(d.hash)))).to.deep.equal([
        false,
        false,
        true,
      ]);
      expect(await r.sidecars.isLive(actor)).to.equal(false);
      expect(await r.sidecars.operatorOf(actor)).to.equal(r.operator);
    });

    it("costs the same whatever the agent has", async () => {
      const r = await loadFixture(registries);
      await registerAgent(r, "agent-a", one);
      for (let i = 0; i < 12; ++i) await registerAgent(r, "agent-b", testDevice(`many ${i}`));
      const costs = [];
      for (const label of ["agent-a", "agent-b"]) {
        const sent = await r.sidecars.revokeActor(await actorOf(r, label));
        const receipt = await sent.wait();
        const bytes = Buffer.from(sent.data.slice(2), "hex");
        costs.push(Number(receipt?.gasUsed) - bytes.reduce((sum, byte) => sum + (byte === 0 ? 4 : 16), 0));
      }
      expect(costs[0]).to.equal(costs[1]);
    });

    it("lets the agent come back with nothing", async () => {
      const r = await loadFixture(registries);
      const actor = await actorOf(r);
      await registerAgent(r, "agent-a", one);
      await r.sidecars.revokeActor(actor);
      await expect(registerAgent(r, "agent-a", two))
        .to.emit(r.sidecars, "ActorRegistered")
        .withArgs(r.operator, actor, "agent-a", 1);
      expect(await r.sidecars.isLive(actor)).to.equal(true);
      expect(await r.sidecars.isActive(one.hash)).to.equal(false);
      expect(await r.sidecars.isActive(two.hash)).to.equal(true);
      await r.sidecars.revokeDevice(one.hash);
      await r.sidecars.revokeActor(actor);
      expect(await r.sidecars.actorGeneration(actor)).to.equal(2);
      expect(await r.sidecars.isActive(two.hash)).to.equal(false);
    });

    it("refuses foreign, unknown, own and already revoked actors", async () => {
      const r = await loadFixture(registries);
      const actor = await actorOf(r);
      await registerAgent(r, "agent-a", one);
      await expect(r.sidecars.connect(r.bob).revokeActor(actor))
        .to.be.revertedWithCustomError(r.sidecars, "ActorNotOfOperator")
        .withArgs(actor, r.rival);
      await expect(r.sidecars.connect(r.stranger).revokeActor(actor))
        .to.be.revertedWithCustomError(r.sidecars, "NotMaster")
        .withArgs(r.stranger.address);
      for (const omni of [r.operator, id("unknown"), ZeroHash]) {
        await expect(r.sidecars.revokeActor(omni))
          .to.be.revertedWithCustomError(r.sidecars, "ActorNotOfOperator")
          .withArgs(omni, r.operator);
      }
      await r.sidecars.revokeActor(actor);
      await expect(r.sidecars.revokeActor(actor))
        .to.be.revertedWithCustomError(r.sidecars, "ActorNotLive")
        .withArgs(actor);
    });
  });

  describe("while frozen", () => {
    it("registering and rotating revert", async () => {
      const r = await frozen();
      const deadline = (await time.latest()) + 600;
      const actorOmni = await actorOf(r);
      const fields = { operatorOmni: r.operator, actorOmni, deviceKey: two.key, roles: CAP_MINT, deadline };
      const popSig = await signBinding(two, r.domain, { ...fields, attestationHash: ZeroHash });
      for (const send of [
        () => registerMaster(r, two),
        () => registerAgent(r, "agent-a", two),
        () => registerAgent(r, "agent-z", two),
        () => r.sidecars.rotateDevice(one.hash, two.key, deadline, popSig),
      ]) {
        await expect(send()).to.be.revertedWithCustomError(r.sidecars, "OperatorIsFrozen").withArgs(r.operator);
      }
      await registerAgent(r, "agent-a", two, { from: r.bob });
    });

    it("revoking works", async () => {
      const r = await frozen();
      await r.sidecars.revokeDevice(three.hash);
      await r.sidecars.revokeActor(await actorOf(r));
      expect(await r.sidecars.isActive(one.hash)).to.equal(false);
    });
  });

  describe("devicesOf", () => {
    it("pages through every device ever registered, oldest first", async () => {
      const r = await loadFixture(registries);
      const devices = Array.from({ length: 5 }, (_, i) => testDevice(`page ${i}`));
      for (const device of devices) await registerAgent(r, "agent-a", device);
      await r.sidecars.revokeDevice(devices[1]?.hash ?? "");
      const hashes = devices.map((device) => device.hash);
      for (const [cursor, size, from, to] of [
        [0, 10, 0, 5],
        [0, 5, 0, 5],
        [0, 2, 0, 2],
        [2, 2, 2, 4],
        [4, 2, 4, 5],
        [5, 2, 5, 5],
        [0, 0, 0, 0],
        [3, 0, 3, 3],
      ] as const) {
        const page = await r.sidecars.devicesOf(r.operator, cursor, size);
        expect(page.deviceKeyHashes).to.deep.equal(hashes.slice(from, to));
        expect(page.nextCursor).to.equal(to);
      }
      const beyond = await r.sidecars.devicesOf(r.operator, 2n ** 256n - 1n, 2n ** 256n - 1n);
      expect([...beyond]).to.deep.equal([[], 2n ** 256n - 1n]);
      const all = await r.sidecars.devicesOf(r.operator, 1, 2n ** 256n - 1n);
      expect(all.deviceKeyHashes).to.deep.equal(hashes.slice(1));
      expect((await r.sidecars.devicesOf(r.rival, 0, 10)).deviceKeyHashes).to.deep.equal([]);
      expect((await r.sidecars.devicesOf(ZeroHash, 0, 10)).deviceKeyHashes).to.deep.equal([]);
    });
  });

  describe("getDevice", () => {
    it("is all zeros for an unknown hash", async () => {
      const r = await loadFixture(registries);
      for (const hash of [one.hash, ZeroHash]) {
        const device = await r.sidecars.getDevice(hash);
        expect([...device]).to.deep.equal([ZeroHash, ZeroHash, ZeroAddress, 0n, 0n, 0n, 0n, 0n, ZeroHash, ZeroHash]);
        expect(await r.sidecars.isActive(hash)).to.equal(false);
      }
    });
  });

  describe("known answers", () => {
    it("of the device key hash and the agent's omni", async () => {
      const r = await loadFixture(registries);
      const device = deviceOf(vectors.k10Secret);
      expect(device.key.toLowerCase()).to.equal(vectors.k10Address);
      await registerAgent(r, "agent-a", device);
      expect((await r.sidecars.devicesOf(r.operator, 0, 1)).deviceKeyHashes).to.deep.equal([vectors.deviceKeyHash]);
      expect(await r.sidecars.computeActorOmni(vectors.operatorOmni, vectors.label)).to.equal(vectors.actorOmni);
    });
  });

  describe("drill: D5", () => {
    it("another operator cannot register a device under a victim's agent", async () => {
      const r = await loadFixture(registries);
      const victim = await actorOf(r);
      await registerAgent(r, "agent-a", one);
      // The same label is another agent: omnis are computed from the caller's operator.
      await registerAgent(r, "agent-a", two, { from: r.bob });
      const device = await r.sidecars.getDevice(two.hash);
      expect(device.operatorOmni).to.equal(r.rival);
      expect(device.actorOmni).not.to.equal(victim);
      expect(await r.sidecars.operatorOf(victim)).to.equal(r.operator);
      // A key that signs for the victim's agent is of no use to another caller.
      await expect(
        registerAgent(r, "agent-a", three, { from: r.bob, operatorOmni: r.operator, actorOmni: victim }),
      ).to.be.revertedWithCustomError(r.sidecars, "SignerMismatch");
      await expect(registerMaster(r, three, { from: r.bob, actorOmni: victim })).to.be.revertedWithCustomError(
        r.sidecars,
        "SignerMismatch",
      );
      await registerAgent(r, "agent-a", three);
    });
  });

  describe("drill: D6", () => {
    it("nobody registers a key that did not sign for that operator, before or beside its owner", async () => {
      const r = await loadFixture(registries);
      const deadline = (await time.latest()) + 600;
      const popSig = await signBinding(one, r.domain, {
        operatorOmni: r.operator,
        actorOmni: await actorOf(r),
        deviceKey: one.key,
        roles: CAP_MINT,
        attestationHash: ZeroHash,
        deadline,
      });
      // Seen in the mempool and sent first, by another master, as agent's and as master's device.
      for (const send of [
        () => registerAgent(r, "agent-a", one, { from: r.bob, deadline, popSig }),
        () => registerMaster(r, one, { from: r.bob, deadline, popSig }),
        () => registerAgent(r, "agent-a", one, { from: r.bob, deadline, popSig: `0x${"11".repeat(64)}1b` }),
      ]) {
        await expect(send()).to.be.reverted;
      }
      expect((await r.sidecars.getDevice(one.hash)).tier).to.equal(0);
      await registerAgent(r, "agent-a", one, { deadline, popSig });
      expect((await r.sidecars.getDevice(one.hash)).operatorOmni).to.equal(r.operator);
    });
  });
});

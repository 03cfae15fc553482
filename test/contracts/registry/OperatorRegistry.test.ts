import { loadFixture, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import { ZeroAddress, ZeroHash, toBeHex } from "ethers";
import { ethers } from "hardhat";

import { failure } from "../../helpers/account";
import { CAP_MINT, RECOVERY, testDevice } from "../../helpers/device";
import { DAY, freeze, registerAgent, registerMaster, registries } from "../../helpers/registry";
import vectors from "../../vectors/protocol.json";

describe("OperatorRegistry", () => {
  const device = testDevice("operator");

  async function announced() {
    const r = await loadFixture(registries);
    await registerMaster(r, device, { roles: CAP_MINT | RECOVERY });
    await r.sidecars.transferOperator(r.carol);
    const acceptableAt = (await time.latest()) + 2 * DAY;
    return { ...r, acceptableAt };
  }

  async function accepted() {
    const r = await announced();
    await time.setNextBlockTimestamp(r.acceptableAt);
    await r.sidecars.connect(r.carol).acceptOperator(r.operator);
    return r;
  }

  describe("registerOperator", () => {
    it("makes the caller master of the omni of its own address", async () => {
      const { sidecars, carol } = await loadFixture(registries);
      const omni = await sidecars.computeOperatorOmni(carol);
      expect(await sidecars.connect(carol).registerOperator.staticCall()).to.equal(omni);
      await expect(sidecars.connect(carol).registerOperator())
        .to.emit(sidecars, "OperatorRegistered")
        .withArgs(omni, carol.address);
      expect(await sidecars.masterOf(omni)).to.equal(carol.address);
      expect(await sidecars.omniOf(carol)).to.equal(omni);
      expect(await sidecars.operatorOf(omni)).to.equal(omni);
      expect(await sidecars.isLive(omni)).to.equal(true);
    });

    it("refuses the same account twice", async () => {
      const { sidecars, alice, operator } = await loadFixture(registries);
      await expect(sidecars.registerOperator())
        .to.be.revertedWithCustomError(sidecars, "AccountAlreadyUsed")
        .withArgs(alice.address, operator);
    });

    it("computes the known omni", async () => {
      const { sidecars } = await loadFixture(registries);
      expect(await sidecars.computeOperatorOmni(vectors.masterAccount)).to.equal(vectors.operatorOmni);
    });

    it("spells the address in lowercase", async () => {
      const { sidecars, alice } = await loadFixture(registries);
      const text = new TextEncoder().encode(`agentkeysevm${alice.address.toLowerCase()}`);
      expect(await sidecars.computeOperatorOmni(alice)).to.equal(ethers.sha256(text));
    });
  });

  describe("transferOperator", () => {
    it("announces the successor and the second from which it may accept", async () => {
      const { sidecars, alice, carol, operator } = await loadFixture(registries);
      const now = (await time.latest()) + 1;
      await time.setNextBlockTimestamp(now);
      await expect(sidecars.transferOperator(carol))
        .to.emit(sidecars, "TransferAnnounced")
        .withArgs(operator, alice.address, carol.address, now + 2 * DAY);
      expect(await sidecars.masterOf(operator)).to.equal(alice.address);
    });

    it("refuses who is no master, the zero address, and accounts with an operator, the caller included", async () => {
      const { sidecars, alice, bob, carol, operator, rival } = await loadFixture(registries);
      await expect(sidecars.connect(carol).transferOperator(alice))
        .to.be.revertedWithCustomError(sidecars, "NotMaster")
        .withArgs(carol.address);
      await expect(sidecars.transferOperator(ZeroAddress))
        .to.be.revertedWithCustomError(sidecars, "InvalidNewMaster")
        .withArgs(ZeroAddress);
      await expect(sidecars.transferOperator(bob))
        .to.be.revertedWithCustomError(sidecars, "AccountAlreadyUsed")
        .withArgs(bob.address, rival);
      await expect(sidecars.transferOperator(alice))
        .to.be.revertedWithCustomError(sidecars, "AccountAlreadyUsed")
        .withArgs(alice.address, operator);
    });

    it("replaces an earlier successor and starts the 48 hours anew", async () => {
      const r = await announced();
      await time.setNextBlockTimestamp(r.acceptableAt - 10);
      await r.sidecars.transferOperator(r.stranger);
      await time.setNextBlockTimestamp(r.acceptableAt);
      await expect(r.sidecars.connect(r.carol).acceptOperator(r.operator))
        .to.be.revertedWithCustomError(r.sidecars, "NotNewMaster")
        .withArgs(r.carol.address, r.stranger.address);
      await expect(r.sidecars.connect(r.stranger).acceptOperator(r.operator))
        .to.be.revertedWithCustomError(r.sidecars, "TransferTooEarly")
        .withArgs(r.acceptableAt + 1, r.acceptableAt - 10 + 2 * DAY);
    });
  });

  describe("acceptOperator", () => {
    it("works at exactly 48 hours, not a second earlier", async () => {
      const r = await announced();
      const { sidecars, alice, carol, operator, acceptableAt } = r;
      await time.setNextBlockTimestamp(acceptableAt - 1);
      await expect(sidecars.connect(carol).acceptOperator(operator))
        .to.be.revertedWithCustomError(sidecars, "TransferTooEarly")
        .withArgs(acceptableAt - 1, acceptableAt);
      await time.setNextBlockTimestamp(acceptableAt);
      await expect(sidecars.connect(carol).acceptOperator(operator))
        .to.emit(sidecars, "OperatorTransferred")
        .withArgs(operator, alice.address, carol.address, 1);
      expect(await sidecars.masterOf(operator)).to.equal(carol.address);
      expect(await sidecars.omniOf(carol)).to.equal(operator);
      expect(await sidecars.omniOf(alice)).to.equal(ZeroHash);
      expect(await sidecars.actorGeneration(operator)).to.equal(1);
    });

    it("refuses anyone but the announced account", async () => {
      const { sidecars, stranger, carol, operator, acceptableAt } = await announced();
      await time.setNextBlockTimestamp(acceptableAt);
      await expect(sidecars.connect(stranger).acceptOperator(operator))
        .to.be.revertedWithCustomError(sidecars, "NotNewMaster")
        .withArgs(stranger.address, carol.address);
    });

    it("refuses without an announcement, for an unknown operator too, and a second time", async () => {
      const r = await accepted();
      for (const omni of [r.rival, ethers.id("unknown"), r.operator]) {
        await expect(r.sidecars.connect(r.carol).acceptOperator(omni))
          .to.be.revertedWithCustomError(r.sidecars, "NoTransferAnnounced")
          .withArgs(omni);
      }
    });

    it("refuses a successor that has got an operator in the meantime", async () => {
      const { sidecars, carol, operator, acceptableAt } = await announced();
      await sidecars.connect(carol).registerOperator();
      await time.setNextBlockTimestamp(acceptableAt);
      await expect(sidecars.connect(carol).acceptOperator(operator))
        .to.be.revertedWithCustomError(sidecars, "AccountAlreadyUsed")
        .withArgs(carol.address, await sidecars.computeOperatorOmni(carol));
    });

    it("ends master devices, and the new master can register its own", async () => {
      const r = await accepted();
      expect(await r.sidecars.isActive(device.hash)).to.equal(false);
      expect((await r.sidecars.getDevice(device.hash)).revokedAt).to.equal(0);
      const next = testDevice("next");
      await registerMaster(r, next, { from: r.carol });
      expect(await r.sidecars.isActive(next.hash)).to.equal(true);
      expect((await r.sidecars.getDevice(next.hash)).generation).to.equal(1);
    });

    it("keeps agents and their devices", async () => {
      const r = await announced();
      const agent = testDevice("agent");
      await registerAgent(r, "agent-a", agent);
      await time.setNextBlockTimestamp(r.acceptableAt);
      await r.sidecars.connect(r.carol).acceptOperator(r.operator);
      const actor = await r.sidecars.computeActorOmni(r.operator, "agent-a");
      expect(await r.sidecars.isActive(agent.hash)).to.equal(true);
      expect(await r.sidecars.operatorOf(actor)).to.equal(r.operator);
      await r.sidecars.connect(r.carol).revokeDevice(agent.hash);
    });

    it("leaves the old account without authority, for ever", async () => {
      const r = await accepted();
      const { sidecars, alice, operator } = r;
      await expect(sidecars.registerOperator())
        .to.be.revertedWithCustomError(sidecars, "AccountAlreadyUsed")
        .withArgs(alice.address, operator);
      await expect(registerAgent(r, "agent-a", testDevice("late")))
        .to.be.revertedWithCustomError(sidecars, "NotMaster")
        .withArgs(alice.address);
      await expect(sidecars.revokeDevice(device.hash)).to.be.revertedWithCustomError(sidecars, "NotMaster");
      await expect(sidecars.cancelTransfer()).to.be.revertedWithCustomError(sidecars, "NotMaster");
      await expect(sidecars.connect(r.bob).transferOperator(alice))
        .to.be.revertedWithCustomError(sidecars, "AccountAlreadyUsed")
        .withArgs(alice.address, operator);
      await expect(sidecars.connect(r.carol).registerOperator())
        .to.be.revertedWithCustomError(sidecars, "AccountAlreadyUsed")
        .withArgs(r.carol.address, operator);
    });

    it("keeps a freeze until the new master lifts it", async () => {
      const r = await announced();
      await freeze(r, device);
      await time.setNextBlockTimestamp(r.acceptableAt);
      await r.sidecars.connect(r.carol).acceptOperator(r.operator);
      expect(await r.sidecars.isFrozen(r.operator)).to.equal(true);
      await r.sidecars.connect(r.carol).unfreeze();
      expect(await r.sidecars.isFrozen(r.operator)).to.equal(false);
      await expect(freeze(r, device))
        .to.be.revertedWithCustomError(r.sidecars, "DeviceNotActive")
        .withArgs(device.hash);
    });
  });

  describe("a master that is being recovered", () => {
    /** An operator whose master is a contract that answers as told. */
    async function contractMaster() {
      const r = await loadFixture(registries);
      const master = await ethers.deployContract("Answerer");
      const address = await master.getAddress();
      const { interface: abi } = r.sidecars;
      const order = (name: "registerOperator" | "transferOperator", args: readonly unknown[] = []) =>
        master.run(r.sidecars, abi.encodeFunctionData(name as "transferOperator", args as [string]));
      await order("registerOperator");
      const answer = (kind: number, words = "0x") => master.tell(kind, words, ZeroAddress, "0x");
      return { ...r, address, omni: await r.sidecars.omniOf(master), order, answer };
    }
    const YES = toBeHex(1, 32);

    it("neither announces a successor nor passes to one", async () => {
      const r = await contractMaster();
      await r.answer(0, YES);
      await expect(r.order("transferOperator", [r.carol.address]))
        .to.be.revertedWithCustomError(r.sidecars, "RecoveryIsPending")
        .withArgs(r.address);
      await r.answer(0, toBeHex(0, 32));
      await r.order("transferOperator", [r.carol.address]);
      await time.increase(2 * DAY);
      await r.answer(0, YES);
      await expect(r.sidecars.connect(r.carol).acceptOperator(r.omni))
        .to.be.revertedWithCustomError(r.sidecars, "RecoveryIsPending")
        .withArgs(r.address);
      await r.answer(0, toBeHex(0, 32));
      await r.sidecars.connect(r.carol).acceptOperator(r.omni);
      expect(await r.sidecars.masterOf(r.omni)).to.equal(r.carol.address);
    });

    it("is no master that fails, says nothing, something else, very much, or burns what gas it gets", async () => {
      const r = await contractMaster();
      const others: readonly (readonly [number, string])[] = [
        [0, "0x"],
        [0, "0x01"],
        [0, toBeHex(2, 32)],
        [0, `0x${"ff".repeat(32)}`],
        [0, `0x${"00".repeat(4_096)}`],
        [1, YES],
        [2, "0x"],
      ];
      for (const [kind, words] of others) {
        await r.answer(kind, words);
        await r.order("transferOperator", [r.carol.address]);
      }
      await time.increase(2 * DAY);
      const receipt = await (await r.sidecars.connect(r.carol).acceptOperator(r.omni)).wait();
      expect(receipt?.gasUsed).to.be.lessThan(250_000n);
    });

    it("cannot be passed on by giving its answer too little gas", async () => {
      const r = await contractMaster();
      await r.answer(0, toBeHex(0, 32));
      await r.order("transferOperator", [r.carol.address]);
      await time.increase(2 * DAY);
      await r.answer(0, YES);
      const accept = r.sidecars.connect(r.carol).acceptOperator;
      for (let gasLimit = 24_000; gasLimit <= 140_000; gasLimit += 1_000) {
        await failure(accept.staticCall(r.omni, { gasLimit }));
      }
      expect(await r.sidecars.masterOf(r.omni)).to.equal(r.address);
    });
  });

  describe("cancelTransfer", () => {
    it("withdraws the announcement", async () => {
      const { sidecars, alice, carol, operator, acceptableAt } = await announced();
      await expect(sidecars.cancelTransfer())
        .to.emit(sidecars, "TransferCancelled")
        .withArgs(operator, alice.address, carol.address);
      await time.setNextBlockTimestamp(acceptableAt);
      await expect(sidecars.connect(carol).acceptOperator(operator))
        .to.be.revertedWithCustomError(sidecars, "NoTransferAnnounced")
        .withArgs(operator);
    });

    it("refuses when nothing is announced, and who is no master", async () => {
      const { sidecars, carol, operator } = await loadFixture(registries);
      await expect(sidecars.cancelTransfer())
        .to.be.revertedWithCustomError(sidecars, "NoTransferAnnounced")
        .withArgs(operator);
      await expect(sidecars.connect(carol).cancelTransfer())
        .to.be.revertedWithCustomError(sidecars, "NotMaster")
        .withArgs(carol.address);
    });
  });

  describe("unfreeze", () => {
    it("lifts the freeze and voids every order signed so far", async () => {
      const r = await loadFixture(registries);
      await registerMaster(r, device, { roles: RECOVERY });
      await freeze(r, device);
      await expect(r.sidecars.unfreeze()).to.emit(r.sidecars, "OperatorUnfrozen").withArgs(r.operator, 2);
      expect(await r.sidecars.isFrozen(r.operator)).to.equal(false);
      for (const nonce of [0n, 1n]) {
        await expect(freeze(r, device, { nonce })).to.be.revertedWithCustomError(r.sidecars, "SignerMismatch");
      }
      await freeze(r, device, { nonce: 2n });
    });

    it("refuses when there is no freeze, and who is not the master", async () => {
      const r = await loadFixture(registries);
      await expect(r.sidecars.unfreeze())
        .to.be.revertedWithCustomError(r.sidecars, "OperatorNotFrozen")
        .withArgs(r.operator);
      await registerMaster(r, device, { roles: RECOVERY });
      await freeze(r, device);
      await expect(r.sidecars.connect(r.stranger).unfreeze())
        .to.be.revertedWithCustomError(r.sidecars, "NotMaster")
        .withArgs(r.stranger.address);
      await expect(r.sidecars.connect(r.bob).unfreeze())
        .to.be.revertedWithCustomError(r.sidecars, "OperatorNotFrozen")
        .withArgs(r.rival);
    });
  });

  describe("views", () => {
    it("answer zeros for what is unknown", async () => {
      const { sidecars, stranger } = await loadFixture(registries);
      const unknown = ethers.id("unknown");
      expect(await sidecars.masterOf(unknown)).to.equal(ZeroAddress);
      expect(await sidecars.masterOf(ZeroHash)).to.equal(ZeroAddress);
      expect(await sidecars.omniOf(stranger)).to.equal(ZeroHash);
      expect(await sidecars.omniOf(ZeroAddress)).to.equal(ZeroHash);
      expect(await sidecars.operatorOf(unknown)).to.equal(ZeroHash);
      expect(await sidecars.operatorOf(ZeroHash)).to.equal(ZeroHash);
      expect(await sidecars.isLive(unknown)).to.equal(false);
      expect(await sidecars.isFrozen(unknown)).to.equal(false);
      expect(await sidecars.freezeNonce(unknown)).to.equal(0);
      expect(await sidecars.actorGeneration(unknown)).to.equal(0);
    });

    it("name the domain of device signatures", async () => {
      const { sidecars, domain } = await loadFixture(registries);
      expect(await sidecars.domainSeparator()).to.equal(ethers.TypedDataEncoder.hashDomain(domain));
    });
  });
});

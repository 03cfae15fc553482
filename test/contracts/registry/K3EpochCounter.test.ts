import { loadFixture, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { anyValue } from "@nomicfoundation/hardhat-chai-matchers/withArgs";
import { expect } from "chai";
import { ZeroAddress, ZeroHash, id } from "ethers";
import { ethers } from "hardhat";

import { FIRST_COMMITMENT, HOUR, registries } from "../../helpers/registry";

describe("K3EpochCounter", () => {
  const second = id("second commitment");
  const third = id("third commitment");

  describe("constructor", () => {
    it("starts epoch 1 with its commitment and owner", async () => {
      const { epochs, governance } = await loadFixture(registries);
      expect(await epochs.currentEpoch()).to.equal(1);
      expect(await epochs.commitmentOf(1)).to.equal(FIRST_COMMITMENT);
      expect(await epochs.commitmentOf(0)).to.equal(ZeroHash);
      expect(await epochs.commitmentOf(2)).to.equal(ZeroHash);
      expect(await epochs.owner()).to.equal(governance.address);
      const factory = await ethers.getContractFactory("K3EpochCounter");
      const other = await factory.deploy(governance, second);
      await expect(other.deploymentTransaction()).to.emit(other, "K3Rotated").withArgs(1, second, anyValue);
    });

    it("refuses a zero commitment and no owner", async () => {
      const { epochs, governance } = await loadFixture(registries);
      const factory = await ethers.getContractFactory("K3EpochCounter");
      await expect(factory.deploy(governance, ZeroHash))
        .to.be.revertedWithCustomError(epochs, "InvalidCommitment")
        .withArgs(ZeroHash);
      await expect(factory.deploy(ZeroAddress, second))
        .to.be.revertedWithCustomError(epochs, "OwnableInvalidOwner")
        .withArgs(ZeroAddress);
    });
  });

  describe("advanceEpoch", () => {
    it("makes the next epoch current and keeps the earlier commitments", async () => {
      const { epochs } = await loadFixture(registries);
      const now = (await time.latest()) + 1;
      await time.setNextBlockTimestamp(now);
      await expect(epochs.advanceEpoch(second)).to.emit(epochs, "K3Rotated").withArgs(2, second, now);
      expect(await epochs.currentEpoch()).to.equal(2);
      expect(await epochs.commitmentOf(1)).to.equal(FIRST_COMMITMENT);
      expect(await epochs.commitmentOf(2)).to.equal(second);
    });

    it("works again after exactly an hour, not a second earlier", async () => {
      const { epochs } = await loadFixture(registries);
      await epochs.advanceEpoch(second);
      const allowedAt = (await time.latest()) + HOUR;
      await time.setNextBlockTimestamp(allowedAt - 1);
      await expect(epochs.advanceEpoch(third))
        .to.be.revertedWithCustomError(epochs, "AdvancedTooSoon")
        .withArgs(allowedAt - 1, allowedAt);
      await time.setNextBlockTimestamp(allowedAt);
      await epochs.advanceEpoch(third);
      expect(await epochs.currentEpoch()).to.equal(3);
    });

    it("refuses zero and the commitment that is current", async () => {
      const { epochs } = await loadFixture(registries);
      for (const commitment of [ZeroHash, FIRST_COMMITMENT]) {
        await expect(epochs.advanceEpoch(commitment))
          .to.be.revertedWithCustomError(epochs, "InvalidCommitment")
          .withArgs(commitment);
      }
    });

    it("refuses everybody but the owner", async () => {
      const { epochs, alice } = await loadFixture(registries);
      await expect(epochs.connect(alice).advanceEpoch(second))
        .to.be.revertedWithCustomError(epochs, "OwnableUnauthorizedAccount")
        .withArgs(alice.address);
    });
  });

  describe("ownership", () => {
    it("passes in two steps", async () => {
      const { epochs, governance, carol } = await loadFixture(registries);
      await epochs.transferOwnership(carol);
      expect(await epochs.owner()).to.equal(governance.address);
      await epochs.connect(carol).acceptOwnership();
      await epochs.connect(carol).advanceEpoch(second);
      await expect(epochs.advanceEpoch(third)).to.be.revertedWithCustomError(epochs, "OwnableUnauthorizedAccount");
    });

    it("cannot be renounced", async () => {
      const { epochs } = await loadFixture(registries);
      await expect(epochs.renounceOwnership()).to.be.revertedWithCustomError(epochs, "OwnershipNotRenounceable");
    });
  });
});

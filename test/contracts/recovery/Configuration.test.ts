import { loadFixture, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import { Wallet, ZeroAddress, concat, getAddress, id } from "ethers";
import { ethers } from "hardhat";

import { testPasskey } from "../../helpers/account";
import { DAY, DELAY, HOUR, RecoveryWorld } from "../../helpers/recovery";

describe("AccountRecovery: configuration and delayed changes", () => {
  const some = (count: number): string[] =>
    Array.from({ length: count }, (_, n) => new Wallet(id(`some ${n}`)).address.toLowerCase());

  it("is off until configured, and configured at once", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const fresh = await w.accounts.newAccount(testPasskey());
    expect(await w.recovery.isConfigured(fresh)).to.equal(false);
    const self = await w.speaker(fresh);
    await expect(w.recovery.connect(self).configure(some(2), 2, DELAY))
      .to.emit(w.recovery, "RecoveryConfigured")
      .withArgs(getAddress(fresh.target as string), some(2), 2, DELAY);
    expect(await w.recovery.isConfigured(fresh)).to.equal(true);
    expect(await w.recovery.configurationOf(fresh)).to.deep.equal([some(2), 2n, BigInt(DELAY)]);
    await expect(w.recovery.connect(self).configure(some(3), 1, DELAY))
      .to.be.revertedWithCustomError(w.recovery, "RecoveryAlreadyConfigured")
      .withArgs(getAddress(fresh.target as string));
  });

  it("takes no configuration that could not recover, or could too soon or never", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const fresh = await w.accounts.newAccount(testPasskey());
    const as = w.recovery.connect(await w.speaker(fresh));
    const [one = "", two = ""] = some(2);
    const refused: readonly (readonly [string, readonly unknown[], string[], number, number])[] = [
      ["ThresholdInvalid", [0, 0], [], 0, 0],
      ["ThresholdInvalid", [0, 2], [one, two], 0, DELAY],
      ["ThresholdInvalid", [3, 2], [one, two], 3, DELAY],
      ["ThresholdInvalid", [1, 0], [], 1, DELAY],
      ["TooManyGuardians", [17, 16], some(17), 2, DELAY],
      ["GuardianRepeated", [2, one], [one, two, one], 2, DELAY],
      ["GuardianInvalid", [1, ZeroAddress], [one, ZeroAddress], 1, DELAY],
      ["GuardianInvalid", [0, "0x"], ["0x"], 1, DELAY],
      ["GuardianInvalid", [0, one.slice(0, 40).toLowerCase()], [one.slice(0, 40)], 1, DELAY],
      ["GuardianInvalid", [0, fresh.target], [fresh.target as string], 1, DELAY],
      ["GuardianInvalid", [0, concat([one, id("key")])], [concat([one, id("key")])], 1, DELAY],
      ["DelayInvalid", [DAY - 1, DAY, 14 * DAY], [one], 1, DAY - 1],
      ["DelayInvalid", [14 * DAY + 1, DAY, 14 * DAY], [one], 1, 14 * DAY + 1],
    ];
    for (const [error, values, guardians, threshold, delay] of refused) {
      const words = values.map((value) => (typeof value === "string" ? value.toLowerCase() : value));
      await expect(as.configure(guardians, threshold, delay))
        .to.be.revertedWithCustomError(w.recovery, error)
        .withArgs(...words);
    }
    await as.configure(some(16), 16, 14 * DAY);
    expect((await w.recovery.configurationOf(fresh)).threshold).to.equal(16);
  });

  it("changes guardians, threshold and delay after the delay, at its exact second", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const args: [string[], number, number] = [some(4), 3, DAY];
    const change = await w.recovery.configurationId(...args);
    await expect(w.asAccount.executeConfiguration(...args))
      .to.be.revertedWithCustomError(w.recovery, "ChangeNotScheduled")
      .withArgs(w.address, change);
    const at = await w.next();
    await expect(w.asAccount.scheduleConfiguration(...args))
      .to.emit(w.recovery, "ConfigurationScheduled")
      .withArgs(w.address, change, args[0], 3, DAY, at + DELAY);
    expect(await w.recovery.readyAt(w.address, change)).to.equal(at + DELAY);
    await expect(w.asAccount.scheduleConfiguration(...args))
      .to.be.revertedWithCustomError(w.recovery, "ChangeAlreadyScheduled")
      .withArgs(w.address, change);
    await time.setNextBlockTimestamp(at + DELAY - 1);
    await expect(w.asAccount.executeConfiguration(...args))
      .to.be.revertedWithCustomError(w.recovery, "TooEarly")
      .withArgs(at + DELAY - 1, at + DELAY);
    await time.setNextBlockTimestamp(at + DELAY);
    await expect(w.asAccount.executeConfiguration(...args))
      .to.emit(w.recovery, "ChangeExecuted")
      .withArgs(w.address, change);
    expect(await w.recovery.configurationOf(w.address)).to.deep.equal([args[0], 3n, BigInt(DAY)]);
    await expect(w.asAccount.executeConfiguration(...args)).to.be.revertedWithCustomError(
      w.recovery,
      "ChangeNotScheduled",
    );
  });

  it("refuses an account without guardians to schedule, and a stranger to change anything of another", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const [stranger] = await ethers.getSigners();
    const as = w.recovery.connect(stranger);
    await expect(as.scheduleRemoval(w.owner.contract.credIdHash))
      .to.be.revertedWithCustomError(w.recovery, "RecoveryNotConfigured")
      .withArgs(stranger?.address);
    await w.asAccount.scheduleConfiguration([], 0, 0);
    const change = await w.recovery.configurationId([], 0, 0);
    for (const call of [as.cancelChange(change), as.executeConfiguration([], 0, 0)]) {
      await expect(call)
        .to.be.revertedWithCustomError(w.recovery, "ChangeNotScheduled")
        .withArgs(stranger?.address, change);
    }
    await expect(as.cancel()).to.be.revertedWithCustomError(w.recovery, "RecoveryNotPending");
  });

  it("removes a passkey after the delay only, while on; at once again when off", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const second = testPasskey();
    const { credIdHash } = second.contract;
    const account = w.account.connect(w.self);
    await account.addPasskey(second.contract);
    await expect(account.removePasskey(credIdHash))
      .to.be.revertedWithCustomError(w.account, "RemovalNeedsDelay")
      .withArgs(credIdHash);
    const at = await w.next();
    const change = await w.recovery.removalId(credIdHash);
    await expect(w.asAccount.scheduleRemoval(credIdHash))
      .to.emit(w.recovery, "RemovalScheduled")
      .withArgs(w.address, change, credIdHash, at + DELAY);
    await time.setNextBlockTimestamp(at + DELAY - 1);
    await expect(w.asAccount.executeRemoval(credIdHash)).to.be.revertedWithCustomError(w.recovery, "TooEarly");
    await time.setNextBlockTimestamp(at + DELAY);
    await expect(w.asAccount.executeRemoval(credIdHash)).to.emit(w.account, "PasskeyRemoved").withArgs(credIdHash);
    expect(await w.account.isPasskey(credIdHash)).to.equal(false);

    await w.asAccount.scheduleRemoval(w.owner.contract.credIdHash);
    await w.asAccount.scheduleConfiguration([], 0, 0);
    await time.increase(DELAY);
    await expect(w.asAccount.executeRemoval(w.owner.contract.credIdHash)).to.be.revertedWithCustomError(
      w.account,
      "LastPasskey",
    );
    await w.asAccount.executeConfiguration([], 0, 0);
    expect(await w.recovery.isConfigured(w.address)).to.equal(false);
    await account.addPasskey(second.contract);
    await account.removePasskey(credIdHash);
    expect(await w.account.passkeyCount()).to.equal(1);
  });

  it("voids every scheduled change when a configuration takes effect, so that none returns later", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const { credIdHash } = w.owner.contract;
    await w.account.connect(w.self).addPasskey(testPasskey().contract);
    await w.asAccount.scheduleRemoval(credIdHash);
    await w.asAccount.scheduleConfiguration([], 0, 0);
    await time.increase(DELAY);
    await w.asAccount.executeConfiguration([], 0, 0);
    await w.asAccount.configure(some(2), 2, DELAY);
    await expect(w.asAccount.executeRemoval(credIdHash)).to.be.revertedWithCustomError(
      w.recovery,
      "ChangeNotScheduled",
    );
    await w.asAccount.scheduleRemoval(credIdHash);
    await time.increase(DELAY);
    await w.asAccount.executeRemoval(credIdHash);
  });

  it("lets the account and enough guardians cancel a change, each signature for one scheduling only", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const { credIdHash } = w.owner.contract;
    const change = await w.recovery.removalId(credIdHash);
    await w.asAccount.scheduleRemoval(credIdHash);
    await expect(w.asAccount.cancelChange(change))
      .to.emit(w.recovery, "ChangeCancelled")
      .withArgs(w.address, change, false);

    await w.asAccount.scheduleRemoval(credIdHash);
    const readyAt = await w.recovery.readyAt(w.address, change);
    const message = { account: w.address, change, readyAt };
    await expect(w.recovery.cancelChangeByGuardians(w.address, change, await w.sign("CancelChange", message, [1])))
      .to.be.revertedWithCustomError(w.recovery, "TooFewSignatures")
      .withArgs(1, 2);
    const signatures = await w.sign("CancelChange", message, [1, 2]);
    await expect(w.recovery.cancelChangeByGuardians(w.address, change, signatures))
      .to.emit(w.recovery, "ChangeCancelled")
      .withArgs(w.address, change, true);
    await expect(w.recovery.cancelChangeByGuardians(w.address, change, signatures))
      .to.be.revertedWithCustomError(w.recovery, "ChangeNotScheduled")
      .withArgs(w.address, change);
    await time.increase(HOUR);
    await w.asAccount.scheduleRemoval(credIdHash);
    await expect(w.recovery.cancelChangeByGuardians(w.address, change, signatures)).to.be.revertedWithCustomError(
      w.recovery,
      "GuardianSignatureInvalid",
    );
  });

  it("needs a registry", async () => {
    const { recovery } = await loadFixture(RecoveryWorld.make);
    await expect(ethers.deployContract("AccountRecovery", [ZeroAddress]))
      .to.be.revertedWithCustomError(recovery, "RegistryInvalid")
      .withArgs(ZeroAddress);
  });
});

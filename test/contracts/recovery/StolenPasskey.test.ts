import { loadFixture, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import { ethers } from "hardhat";

import { EVM, type TestPasskey, assertion, failure, randomHash, testPasskey } from "../../helpers/account";
import { type TestAgent, sessionOf, testAgent } from "../../helpers/session";
import { erc7562Violations } from "../../helpers/erc7562";
import { DAY, DELAY, HOUR, RecoveryWorld } from "../../helpers/recovery";

/**
 * D19 on the contracts alone: whoever holds one of the owner's passkeys plays every move that could outrun the guardians.
 * `asAccount` is that thief; the owner's side are the guardians.
 */
describe("A stolen passkey against the guardians (D19)", function () {
  this.timeout(300_000);
  const next = testPasskey();
  const MAGIC = "0x1626ba7e";

  /** The account is the owner's again, and so is the operator. */
  async function recovered(w: RecoveryWorld, passkeys: readonly TestPasskey[] = [next]): Promise<void> {
    await w.finish(passkeys);
    expect((await w.account.passkeys()).map(({ credIdHash }) => credIdHash)).to.deep.equal(
      passkeys.map(({ contract }) => contract.credIdHash),
    );
    expect(await w.registry.masterOf(w.omni)).to.equal(w.address);
    expect(await w.sessions.endsOf(w.address)).to.equal(1);
    expect(await failure(w.accounts.run(w.owner, w.address, [w.accounts.write(66n)]))).to.match(/AA24/);
    expect(await w.accounts.run(next, w.address, [w.accounts.write(67n)])).to.equal(true);
  }

  it("cannot remove the owner's other passkeys at once, as an operation either", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const spare = testPasskey();
    await w.account.connect(w.self).addPasskey(spare.contract);
    const data = w.account.interface.encodeFunctionData("removePasskey", [spare.contract.credIdHash]);
    expect(await w.accounts.run(w.owner, w.address, [w.accounts.call(data, w.address)])).to.equal(false);
    expect(await w.account.isPasskey(spare.contract.credIdHash)).to.equal(true);
    // announced, it is seen, and any other passkey withdraws it in time
    await w.asAccount.scheduleRemoval(spare.contract.credIdHash);
    const change = await w.recovery.removalId(spare.contract.credIdHash);
    const cancel = w.recovery.interface.encodeFunctionData("cancelChange", [change]);
    const honest = w.accounts.call(cancel, w.recovery.target as string);
    expect(await w.accounts.run(spare, w.address, [honest])).to.equal(true);
    await time.increase(DELAY);
    await expect(w.asAccount.executeRemoval(spare.contract.credIdHash)).to.be.revertedWithCustomError(
      w.recovery,
      "ChangeNotScheduled",
    );
  });

  it("cannot re-guard, lower the threshold, shorten the delay or switch off before the guardians are through", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const thief = ethers.Wallet.createRandom().address;
    const moves: readonly (readonly [string[], number, number])[] = [
      [[thief], 1, DELAY],
      [w.guardianList, 1, DELAY],
      [w.guardianList, 2, DAY],
      [[], 0, 0],
    ];
    for (const move of moves) {
      const [guardians, threshold, delay] = move;
      await expect(w.asAccount.configure([...guardians, thief], threshold + 1, delay)).to.be.revertedWithCustomError(
        w.recovery,
        "RecoveryAlreadyConfigured",
      );
      await w.asAccount.scheduleConfiguration(guardians, threshold, delay);
    }
    await time.increase(DELAY - HOUR);
    await w.start([next]);
    await time.increase(HOUR);
    for (const move of moves) {
      await expect(w.asAccount.executeConfiguration(...move)).to.be.revertedWithCustomError(
        w.recovery,
        "RecoveryIsPending",
      );
      await expect(w.asAccount.scheduleConfiguration(...move)).to.be.revertedWithCustomError(
        w.recovery,
        "RecoveryIsPending",
      );
    }
    await expect(w.asAccount.scheduleRemoval(next.contract.credIdHash)).to.be.revertedWithCustomError(
      w.recovery,
      "RecoveryIsPending",
    );
    await recovered(w);
  });

  it("cannot cancel once and execute what has ripened meanwhile: the start dropped it", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const thief = ethers.Wallet.createRandom().address;
    const spare = testPasskey();
    await w.account.connect(w.self).addPasskey(spare.contract);
    await w.asAccount.scheduleConfiguration([thief], 1, DELAY);
    await w.asAccount.scheduleRemoval(spare.contract.credIdHash);
    await time.increase(DELAY - HOUR);
    await w.start([next]);
    await time.increase(DELAY - HOUR);
    await w.asAccount.cancel();
    for (const call of [
      w.asAccount.executeConfiguration([thief], 1, DELAY),
      w.asAccount.executeRemoval(spare.contract.credIdHash),
    ]) {
      await expect(call).to.be.revertedWithCustomError(w.recovery, "ChangeNotScheduled");
    }
    // what is scheduled between cancel and restart is dropped again, and a second cancel comes 30 days later
    await w.asAccount.scheduleConfiguration([thief], 1, DELAY);
    await time.increase(DELAY - HOUR);
    await w.start([next]);
    await time.increase(HOUR);
    await expect(w.asAccount.cancel()).to.be.revertedWithCustomError(w.recovery, "CancelledRecently");
    await expect(w.asAccount.executeConfiguration([thief], 1, DELAY)).to.be.revertedWithCustomError(
      w.recovery,
      "RecoveryIsPending",
    );
    await recovered(w);
    await expect(w.asAccount.executeConfiguration([thief], 1, DELAY)).to.be.revertedWithCustomError(
      w.recovery,
      "ChangeNotScheduled",
    );
  });

  it("cannot cancel for ever, with the longest delay and the latest start either", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const longest = [w.guardianList, 2, 14 * DAY] as const;
    await w.asAccount.scheduleConfiguration(...longest);
    await time.increase(DELAY);
    await w.asAccount.executeConfiguration(...longest);
    const start = async () => w.start([next], { notBefore: (await time.latest()) + 1 + 21 * DAY });
    await start();
    await time.increase(21 * DAY);
    await w.asAccount.cancel(); // just before somebody finishes
    await start();
    const { notBefore } = await w.recovery.pendingOf(w.address);
    await time.increaseTo(notBefore - 2n);
    await expect(w.asAccount.cancel()).to.be.revertedWithCustomError(w.recovery, "CancelledRecently");
    await recovered(w);
    // and the owner's own right to cancel is fresh
    expect(await w.recovery.cancellableAt(w.address)).to.equal(0);
    await w.start([testPasskey()], { notBefore: (await time.latest()) + 1 + 14 * DAY });
    await w.asAccount.cancel();
  });

  it("cannot keep the account by filling it with passkeys, of the owner's new key too", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const account = w.account.connect(w.self);
    await w.start([next]);
    const own = Array.from({ length: 14 }, () => testPasskey());
    for (const { contract } of [...own, next]) await account.addPasskey(contract);
    await expect(account.addPasskey(testPasskey().contract)).to.be.revertedWithCustomError(
      w.account,
      "TooManyPasskeys",
    );
    await recovered(w);
    for (const passkey of own) {
      const hash = randomHash();
      expect(await w.accounts.validationData(w.account, hash, assertion(passkey, hash))).to.equal(1n);
    }
  });

  it("cannot pass the operator on: announced before, during, or between cancel and restart", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const [, , thief] = await ethers.getSigners();
    if (thief === undefined) throw new Error("three accounts are needed");
    const registry = w.registry.connect(w.self);
    const accept = () => w.registry.connect(thief).acceptOperator(w.omni);
    await registry.transferOperator(thief);
    await time.increase(2 * DAY - HOUR);
    await expect(w.start([next]))
      .to.emit(w.registry, "TransferCancelled")
      .withArgs(w.omni, w.address, thief.address);
    await time.increase(HOUR);
    await expect(accept()).to.be.revertedWithCustomError(w.registry, "NoTransferAnnounced");
    await expect(registry.transferOperator(thief))
      .to.be.revertedWithCustomError(w.registry, "RecoveryIsPending")
      .withArgs(w.address);
    await w.asAccount.cancel();
    await registry.transferOperator(thief);
    await time.increase(2 * DAY - HOUR);
    await w.start([next]);
    await time.increase(HOUR);
    await expect(accept()).to.be.revertedWithCustomError(w.registry, "NoTransferAnnounced");
    await recovered(w);
    // the owner passes it on when it wants to
    await registry.transferOperator(thief);
    await time.increase(2 * DAY);
    await accept();
    expect(await w.registry.masterOf(w.omni)).to.equal(thief.address);
  });

  it("cannot have the transfer survive by giving the start too little gas", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const [, , thief] = await ethers.getSigners();
    await w.registry.connect(w.self).transferOperator(thief ?? w.self);
    const list = [next.contract];
    const notBefore = (await time.latest()) + 2 * DELAY;
    const newPasskeysHash = await w.recovery.hashPasskeys(list);
    const message = { account: w.address, newPasskeysHash, recoveryNonce: 1n, notBefore };
    const signatures = await w.sign("Recover", message);
    const gas = await w.recovery.start.estimateGas(w.address, list, notBefore, signatures);
    for (let gasLimit = 60_000n; gasLimit < gas; gasLimit += 2_000n) {
      await failure(w.recovery.start.staticCall(w.address, list, notBefore, signatures, { gasLimit }));
    }
    await expect(w.recovery.start(w.address, list, notBefore, signatures)).to.emit(w.registry, "TransferCancelled");
  });

  it("speaks for the account no more, through ERC-1271 neither, and the new passkey keeps ERC-7562", async function () {
    const w = await loadFixture(RecoveryWorld.make);
    const message = ethers.hashMessage("all of it is mine");
    const domain = {
      name: "AgentKeys MasterAccount",
      version: "1",
      chainId: w.accounts.domain.chainId,
      verifyingContract: w.address,
    };
    const coder = ethers.AbiCoder.defaultAbiCoder();
    const words = coder.encode(["bytes32", "bytes32"], [ethers.id("PersonalSign(bytes prefixed)"), message]);
    const digest = ethers.keccak256(
      ethers.concat(["0x1901", ethers.TypedDataEncoder.hashDomain(domain), ethers.keccak256(words)]),
    );
    expect(await w.account.isValidSignature(message, assertion(w.owner, digest))).to.equal(MAGIC);
    await w.start([next]);
    await w.finish([next]);
    expect(await w.account.isValidSignature(message, assertion(w.owner, digest))).to.not.equal(MAGIC);
    expect(await w.account.isValidSignature(message, assertion(next, digest))).to.equal(MAGIC);

    if (EVM === "prague") return; // Hardhat replays a traced transaction without RIP-7212's precompile
    const operation = await w.accounts.operation(w.address, [w.accounts.write(1n)]);
    const { hash } = await w.accounts.handle(w.accounts.signed(operation, next));
    const entities = {
      entryPoint: w.accounts.domain.entryPoint,
      sender: w.address.toLowerCase(),
      factory: (w.accounts.factory.target as string).toLowerCase(),
    };
    expect(await erc7562Violations(hash, entities)).to.deep.equal([]);
  });

  it("cannot grant sessions while a recovery is pending, and those of before end with it", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const recovery = await w.recovery.getAddress();
    const names = [w.accounts.domain.entryPoint, recovery, []] as const;
    const validator = await ethers.deployContract("SessionKeyValidator", [...names]);
    const of = await w.about(await w.accountNaming(await validator.getAddress(), recovery));
    await of.asAccount.configure(w.guardianList, 2, DELAY);
    const [before, during, between, after] = [testAgent(), testAgent(), testAgent(), testAgent()];
    const grant = async (agent: TestAgent) => validator.connect(of.self).grant(await sessionOf(agent));
    const live = async () => (await validator.sessionsOf(of.address)).length;
    await grant(before);
    await of.start([next]);
    await expect(grant(during)).to.be.revertedWithCustomError(validator, "RecoveryPending").withArgs(of.address);
    await of.asAccount.cancel();
    await grant(between);
    await of.start([next]);
    await expect(grant(during)).to.be.revertedWithCustomError(validator, "RecoveryPending");
    expect(await live()).to.equal(2);
    await of.finish([next]);
    expect(await live()).to.equal(0);
    expect(await validator.generationOf(of.address)).to.equal(1);
    await grant(after);
    expect(await live()).to.equal(1);
  });

  it("has an operation in flight that the recovery makes worthless", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    await w.start([next]);
    const operation = w.accounts.signed(await w.accounts.operation(w.address, [w.accounts.write(99n)]), w.owner);
    await w.finish([next]);
    expect(await failure(w.accounts.handle(operation))).to.match(/AA24/);
  });
});

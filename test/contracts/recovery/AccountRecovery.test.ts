import { loadFixture, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import { AbiCoder, ZeroHash, dataSlice, id, toBeHex } from "ethers";
import { ethers } from "hardhat";

import type { Answerer } from "../../../typechain-types";
import { type TestPasskey, assertion, failure, randomHash, testPasskey } from "../../helpers/account";
import { DAY, DELAY, RecoveryWorld } from "../../helpers/recovery";

const KIND = { words: 0, failure: 1, endless: 2, callBack: 3 } as const;
const NOBODY = ethers.ZeroAddress;

describe("AccountRecovery: guardians recover an account", function () {
  this.timeout(300_000);
  const next = testPasskey();
  const contracts = (passkeys: readonly TestPasskey[]) => passkeys.map(({ contract }) => contract);

  it("gives a lost account its new passkeys, and nothing of the old ones works", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const { accounts, owner } = w;
    expect(await accounts.run(owner, w.address, [accounts.write(1n)])).to.equal(true);
    const notBefore = (await time.latest()) + 1 + DELAY;
    await expect(w.start([next]))
      .to.emit(w.recovery, "RecoveryStarted")
      .withArgs(
        w.address,
        1,
        notBefore,
        contracts([next]).map((key) => [key.credIdHash, key.rpIdHash, key.x, key.y]),
      );
    expect(await w.recovery.isPending(w.address)).to.equal(true);
    expect(await w.account.recoveryPending()).to.equal(true);
    const hash = await w.recovery.hashPasskeys(contracts([next]));
    expect(await w.recovery.pendingOf(w.address)).to.deep.equal([1n, BigInt(notBefore), hash]);

    await time.setNextBlockTimestamp(notBefore - 1);
    await expect(w.recovery.finish(w.address, contracts([next])))
      .to.be.revertedWithCustomError(w.recovery, "TooEarly")
      .withArgs(notBefore - 1, notBefore);
    await time.setNextBlockTimestamp(notBefore);
    await expect(w.recovery.finish(w.address, contracts([next])))
      .to.emit(w.recovery, "RecoveryFinished")
      .withArgs(w.address, 1)
      .and.to.emit(w.account, "PasskeysReplaced")
      .withArgs(1);

    expect(await w.recovery.isPending(w.address)).to.equal(false);
    expect(await w.recovery.pendingOf(w.address)).to.deep.equal([0n, 0n, ZeroHash]);
    expect((await w.account.passkeys()).map(({ credIdHash }) => credIdHash)).to.deep.equal([next.contract.credIdHash]);
    expect(await w.sessions.endsOf(w.address)).to.equal(1);
    expect(await failure(accounts.run(owner, w.address, [accounts.write(2n)]))).to.match(/AA24/);
    expect(await accounts.run(next, w.address, [accounts.write(3n)])).to.equal(true);
    expect(await w.registry.masterOf(w.omni)).to.equal(w.address);
    expect(await w.recovery.isConfigured(w.address)).to.equal(true);
  });

  it("starts with the threshold of different guardians over exactly this message, and with nothing less", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const one = ethers.Wallet.createRandom();
    const refused: readonly (readonly [string, Parameters<RecoveryWorld["start"]>[1]])[] = [
      ["TooFewSignatures", { by: [] }],
      ["TooFewSignatures", { by: [2] }],
      ["GuardiansNotAscending", { by: [1, 1] }],
      ["GuardiansNotAscending", { by: [2, 0] }],
      ["GuardianUnknown", { by: [0, 3] }],
      ["GuardianSignatureInvalid", { by: [0, 1], domain: { ...w.domain, chainId: 1 } }],
      ["GuardianSignatureInvalid", { by: [0, 1], domain: { ...w.domain, verifyingContract: one.address } }],
      ["GuardianSignatureInvalid", { nonce: 0n }],
      ["GuardianSignatureInvalid", { nonce: 2n }],
      ["RecoveryNotConfigured", { account: one.address }],
      ["GuardianSignatureInvalid", { signatures: [0, 1].map((guardian) => ({ guardian, signature: "0x" })) }],
      [
        "GuardianUnknown",
        { signatures: [0, 2n ** 256n - 1n].map((g) => ({ guardian: g as number, signature: "0x" })) },
      ],
    ];
    for (const [error, wish] of refused) {
      await expect(w.start([next], wish), error).to.be.revertedWithCustomError(
        w.recovery,
        error === "GuardianUnknown" && wish?.signatures !== undefined ? "GuardianSignatureInvalid" : error,
      );
    }
    // a foreign key under a guardian's position, and one bad signature above the threshold
    const at = (await time.latest()) + 10;
    const message = {
      account: w.address,
      newPasskeysHash: await w.recovery.hashPasskeys(contracts([next])),
      recoveryNonce: 1n,
      notBefore: at + DELAY,
    };
    const good = await w.sign("Recover", message, [0, 1]);
    const [foreign] = await w.sign("Recover", message, [9]);
    const signature = foreign?.signature ?? "";
    for (const signatures of [
      [good[0], { guardian: 1, signature }],
      [...good, { guardian: 2, signature }],
    ]) {
      await expect(
        w.recovery.start(w.address, contracts([next]), at + DELAY, signatures as typeof good),
      ).to.be.revertedWithCustomError(w.recovery, "GuardianSignatureInvalid");
    }
    await w.recovery.start(w.address, contracts([next]), at + DELAY, good);
    await expect(w.start([next]))
      .to.be.revertedWithCustomError(w.recovery, "RecoveryIsPending")
      .withArgs(w.address);
  });

  it("starts no sooner than the delay and no later than a week more", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    for (const off of [-1, 7 * DAY + 1]) {
      const at = (await time.latest()) + 1;
      await expect(w.start([next], { notBefore: at + DELAY + off }))
        .to.be.revertedWithCustomError(w.recovery, "NotBeforeInvalid")
        .withArgs(at + DELAY + off, at + DELAY, at + DELAY + 7 * DAY);
    }
    await w.start([next], { notBefore: (await time.latest()) + 1 + DELAY + 7 * DAY });
  });

  it("uses a signature up: after cancel, for other passkeys, for another account, it starts nothing", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const other = await w.accounts.newAccount(testPasskey());
    const otherSelf = await w.speaker(other);
    await w.recovery.connect(otherSelf).configure(w.guardianList, 2, DELAY);
    const at = await w.next();
    const [list, notBefore] = [contracts([next]), at + DELAY + DAY];
    const signatures = await w.sign("Recover", {
      account: w.address,
      newPasskeysHash: await w.recovery.hashPasskeys(list),
      recoveryNonce: 1n,
      notBefore,
    });
    const start = (account: string, passkeys = list, when = notBefore) =>
      w.recovery.start(account, passkeys, when, signatures);
    for (const attempt of [
      start(other.target as string),
      start(w.address, contracts([testPasskey()])),
      start(w.address, list, notBefore + 1),
    ]) {
      await expect(attempt).to.be.revertedWithCustomError(w.recovery, "GuardianSignatureInvalid");
    }
    await start(w.address);
    await w.asAccount.cancel();
    await expect(start(w.address)).to.be.revertedWithCustomError(w.recovery, "GuardianSignatureInvalid");
    await w.start([next]);
  });

  it("lets a passkey cancel once in 30 days, at the exact second, and guardians always", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    await expect(w.asAccount.cancel()).to.be.revertedWithCustomError(w.recovery, "RecoveryNotPending");
    await w.start([next]);
    const at = await w.next();
    await expect(w.asAccount.cancel()).to.emit(w.recovery, "RecoveryCancelled").withArgs(w.address, 1, false);
    expect(await w.recovery.cancellableAt(w.address)).to.equal(at + 30 * DAY);
    await w.start([next]);
    await expect(w.asAccount.cancel())
      .to.be.revertedWithCustomError(w.recovery, "CancelledRecently")
      .withArgs((await time.latest()) + 1, at + 30 * DAY);
    await expect(w.cancelByGuardians([0])).to.be.revertedWithCustomError(w.recovery, "TooFewSignatures");
    await expect(w.cancelByGuardians([0, 1], 1n)).to.be.revertedWithCustomError(w.recovery, "GuardianSignatureInvalid");
    await expect(w.cancelByGuardians([0, 2]))
      .to.emit(w.recovery, "RecoveryCancelled")
      .withArgs(w.address, 2, true);
    await w.start([next]);
    await w.cancelByGuardians([1, 2]);
    await w.start([next]);
    await time.setNextBlockTimestamp(at + 30 * DAY - 1);
    await expect(w.asAccount.cancel()).to.be.revertedWithCustomError(w.recovery, "CancelledRecently");
    await time.setNextBlockTimestamp(at + 30 * DAY);
    await w.asAccount.cancel();
    await expect(w.recovery.finish(w.address, contracts([next]))).to.be.revertedWithCustomError(
      w.recovery,
      "RecoveryNotPending",
    );
  });

  it("finishes with the signed passkeys only, in their order", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const list = [next, testPasskey()];
    await w.start(list);
    const { notBefore } = await w.recovery.pendingOf(w.address);
    await time.increaseTo(notBefore);
    for (const wrong of [[], [next], [...list].reverse(), [...list, testPasskey()]]) {
      await expect(w.recovery.finish(w.address, contracts(wrong))).to.be.revertedWithCustomError(
        w.recovery,
        "NewPasskeysMismatch",
      );
    }
    await w.recovery.finish(w.address, contracts(list));
    expect(await w.account.passkeyCount()).to.equal(2);
  });

  it("refuses at the start what the account would refuse at the end", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const bad = (change: object): TestPasskey => ({ ...next, contract: { ...next.contract, ...change } });
    const refused: readonly (readonly ["recovery" | "account", string, readonly TestPasskey[]])[] = [
      ["recovery", "NoPasskeys", []],
      ["account", "TooManyPasskeys", Array.from({ length: 17 }, () => testPasskey())],
      ["account", "PublicKeyInvalid", [bad({ x: toBeHex(BigInt(next.contract.x) ^ 1n, 32) })]],
      ["account", "PublicKeyInvalid", [testPasskey(), bad({ x: ZeroHash })]],
      [
        "account",
        "PasskeyExists",
        [next, { ...testPasskey(), contract: { ...testPasskey().contract, credIdHash: next.contract.credIdHash } }],
      ],
      ["account", "PublicKeyInUse", [next, bad({ credIdHash: randomHash() })]],
    ];
    for (const [contract, error, passkeys] of refused) {
      await expect(w.start(passkeys), error).to.be.revertedWithCustomError(w[contract], error);
    }
    expect(await w.recovery.isPending(w.address)).to.equal(false);
  });

  it("puts sixteen passkeys in, one of before among them, and revives no other of before", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const [kept, dropped] = [testPasskey(), testPasskey()];
    const account = w.account.connect(w.self);
    for (const { contract } of [kept, dropped]) await account.addPasskey(contract);
    const list = [kept, ...Array.from({ length: 15 }, () => testPasskey())];
    await w.start(list);
    await w.finish(list);
    expect(await w.account.passkeyCount()).to.equal(16);
    expect(await w.account.isPasskey(kept.contract.credIdHash)).to.equal(true);
    for (const old of [dropped, w.owner]) {
      expect(await w.account.isPasskey(old.contract.credIdHash)).to.equal(false);
      const hash = randomHash();
      expect(await w.accounts.validationData(w.account, hash, assertion(old, hash))).to.equal(1n);
    }
    const hash = randomHash();
    expect(await w.accounts.validationData(w.account, hash, assertion(kept, hash))).to.equal(0n);
    await expect(account.addPasskey(testPasskey().contract)).to.be.revertedWithCustomError(
      w.account,
      "TooManyPasskeys",
    );
  });

  it("takes an old credential id with a new key, under which the old key stays dead", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const fresh = testPasskey();
    const { credIdHash } = w.owner.contract;
    const same: TestPasskey = { ...fresh, contract: { ...fresh.contract, credIdHash } };
    await w.start([same]);
    await w.finish([same]);
    const hash = randomHash();
    expect(await w.accounts.validationData(w.account, hash, assertion(w.owner, hash))).to.equal(1n);
    expect(await w.accounts.validationData(w.account, hash, assertion(same, hash))).to.equal(0n);
    // and the first one may be the owner's again: it comes back by a recovery, not by itself
    await w.start([w.owner]);
    await w.finish([w.owner]);
    expect(await w.accounts.validationData(w.account, hash, assertion(w.owner, hash))).to.equal(0n);
    expect(await w.accounts.validationData(w.account, hash, assertion(same, hash))).to.equal(1n);
    expect(await w.sessions.endsOf(w.address)).to.equal(2);
  });

  it("cannot be had for an account that is not deployed", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const account = await w.accounts.fundedAddress(testPasskey());
    await expect(w.start([next], { account }))
      .to.be.revertedWithCustomError(w.recovery, "RecoveryNotConfigured")
      .withArgs(ethers.getAddress(account));
  });

  it("does without a session validator, and without a recovery contract an account knows no guardians", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const bare = await w.accountNaming(NOBODY, NOBODY);
    const bareSelf = await w.speaker(bare);
    expect(await bare.recoveryPending()).to.equal(false);
    await bare.connect(bareSelf).addPasskey(next.contract);
    await bare.connect(bareSelf).removePasskey(next.contract.credIdHash);

    const without = await w.about(await w.accountNaming(NOBODY, await w.recovery.getAddress()));
    await without.asAccount.configure(w.guardianList, 2, DELAY);
    await without.start([next]);
    await without.finish([next]);
    expect(await without.account.isPasskey(next.contract.credIdHash)).to.equal(true);
  });

  it("lets nobody but the recovery contract replace passkeys or cancel a transfer, the account itself included", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const [stranger] = await ethers.getSigners();
    for (const caller of [w.self, stranger]) {
      const account = w.account.connect(caller);
      for (const call of [account.replacePasskeys(next.contract), account.cancelTransfer(w.registry)]) {
        await expect(call).to.be.revertedWithCustomError(w.account, "CallerNotAllowed").withArgs(caller?.address);
      }
    }
  });

  describe("guardians of every kind", () => {
    async function guardedBy(w: RecoveryWorld, guardians: string[], threshold = 1): Promise<void> {
      await w.asAccount.scheduleConfiguration(guardians, threshold, DELAY);
      await time.increase(DELAY);
      await w.asAccount.executeConfiguration(guardians, threshold, DELAY);
    }
    const startBy = (w: RecoveryWorld, ...signatures: string[]) =>
      w.start([next], { signatures: signatures.map((signature, guardian) => ({ guardian, signature })) });

    it("a passkey signs as a guardian, and only over this recovery", async () => {
      const w = await loadFixture(RecoveryWorld.make);
      const verifier = await ethers.deployContract("WebAuthnGuardian");
      const friend = testPasskey();
      await guardedBy(w, [w.passkeyGuardian(await verifier.getAddress(), friend)]);
      const notBefore = (await time.latest()) + 10 + DELAY;
      const digest = await w.recovery.recoverDigest(
        w.address,
        await w.recovery.hashPasskeys(contracts([next])),
        2,
        notBefore,
      );
      // the account's encoding without its first word
      const by = (passkey: TestPasskey, challenge: string) => dataSlice(assertion(passkey, challenge), 32);
      const wrapped = (signature: string) => w.start([next], { notBefore, signatures: [{ guardian: 0, signature }] });
      for (const wrong of [by(friend, randomHash()), by(testPasskey(), digest), "0x"]) {
        await expect(wrapped(wrong)).to.be.revertedWithCustomError(w.recovery, "GuardianSignatureInvalid");
      }
      await wrapped(by(friend, digest));
      expect(await w.recovery.isPending(w.address)).to.equal(true);
    });

    it("a contract that reverts, says nothing, junk, or burns its gas, does not consent", async () => {
      const w = await loadFixture(RecoveryWorld.make);
      const guardian: Answerer = await ethers.deployContract("Answerer");
      const verifier: Answerer = await ethers.deployContract("Answerer");
      const withKey = ethers.concat([await verifier.getAddress(), id("key")]);
      const magic = (selector: string) => selector.padEnd(66, "0");
      const [erc1271, erc7913] = [magic("0x1626ba7e"), magic(id("verify(bytes,bytes32,bytes)").slice(0, 10))];
      await guardedBy(w, [await guardian.getAddress(), withKey], 2);
      const hostile: readonly (readonly [number, string])[] = [
        [KIND.failure, "0x"],
        [KIND.failure, erc1271],
        [KIND.words, "0x"],
        [KIND.words, "0x1626ba7e"],
        [KIND.words, toBeHex(1, 32)],
        [KIND.words, id("junk")],
        [KIND.words, `0x${"ff".repeat(4096)}`],
        [KIND.endless, "0x"],
      ];
      for (const [kind, words] of hostile) {
        await guardian.tell(kind, words, NOBODY, "0x");
        await verifier.tell(KIND.words, erc7913, NOBODY, "0x");
        await expect(startBy(w, "0x", "0x"), words).to.be.revertedWithCustomError(
          w.recovery,
          "GuardianSignatureInvalid",
        );
        await guardian.tell(KIND.words, erc1271, NOBODY, "0x");
        await verifier.tell(kind, words === erc1271 ? erc7913 : words, NOBODY, "0x");
        await expect(startBy(w, "0x", "0x"), words).to.be.revertedWithCustomError(
          w.recovery,
          "GuardianSignatureInvalid",
        );
      }
      await verifier.tell(KIND.words, erc7913, NOBODY, "0x");
      await startBy(w, "0x", "0x");
      expect(await w.recovery.isPending(w.address)).to.equal(true);
    });

    it("a contract that calls back changes nothing", async () => {
      const w = await loadFixture(RecoveryWorld.make);
      const guardian: Answerer = await ethers.deployContract("Answerer");
      await guardedBy(w, [await guardian.getAddress()]);
      const signatures = [{ guardian: 0, signature: "0x" }];
      const back = w.recovery.interface.encodeFunctionData("cancelByGuardians", [w.address, signatures]);
      const configure = w.recovery.interface.encodeFunctionData("configure", [[NOBODY], 1, DELAY]);
      for (const data of [back, configure]) {
        await guardian.tell(KIND.callBack, "0x1626ba7e".padEnd(66, "0"), w.recovery, data);
        await startBy(w, "0x");
        expect(await w.recovery.isPending(w.address)).to.equal(true);
        expect(await w.recovery.isConfigured(guardian)).to.equal(false);
        await w.recovery.cancelByGuardians(w.address, signatures);
      }
    });

    it("an account that calls back, or fails, harms itself only", async () => {
      const w = await loadFixture(RecoveryWorld.make);
      const hostile: Answerer = await ethers.deployContract("Answerer");
      const address = await hostile.getAddress();
      const { interface: abi } = w.recovery;
      await hostile.run(w.recovery, abi.encodeFunctionData("configure", [w.guardianList, 2, DELAY]));
      await hostile.tell(KIND.failure, "0x", NOBODY, "0x");
      await expect(w.start([next], { account: address })).to.be.reverted;
      await hostile.tell(
        KIND.callBack,
        "0x",
        w.recovery,
        abi.encodeFunctionData("finish", [address, contracts([next])]),
      );
      await w.start([next], { account: address });
      expect(await w.recovery.isPending(address)).to.equal(true);
      const { notBefore } = await w.recovery.pendingOf(address);
      await time.setNextBlockTimestamp(notBefore);
      const receipt = await (await w.recovery.finish(address, contracts([next]))).wait();
      expect(receipt?.logs.length).to.equal(1);
    });
  });

  it("says what is pending in the encoding that it documents", async () => {
    const w = await loadFixture(RecoveryWorld.make);
    const list = contracts([next, testPasskey()]);
    const coder = AbiCoder.defaultAbiCoder();
    const encoded = coder.encode(["tuple(bytes32 credIdHash,bytes32 rpIdHash,bytes32 x,bytes32 y)[]"], [list]);
    expect(await w.recovery.hashPasskeys(list)).to.equal(ethers.keccak256(encoded));
    const parts = coder.encode(["bytes[]", "uint8", "uint32"], [w.guardianList, 2, DELAY]);
    expect(await w.recovery.configurationId(w.guardianList, 2, DELAY)).to.equal(ethers.keccak256(parts));
    expect(await w.recovery.removalId(id("credential"))).to.equal(ethers.keccak256(id("credential")));
  });
});

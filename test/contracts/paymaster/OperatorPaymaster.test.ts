import { loadFixture, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import { type ContractTransactionReceipt, getBytes, id, toBeHex } from "ethers";
import hre, { ethers } from "hardhat";

import type { PackedUserOperation } from "../../../offchain/chain/entry-point";
import type { Hex } from "../../../offchain/wire/bytes";
import { encodePaymasterAndData, sponsorshipDigest } from "../../../offchain/wire/sponsorship";
import { greatestCostOf, packTwo, unpackTwo } from "../../../offchain/wire/user-operation";
import type { EntryPointVersion } from "../../../ignition/modules/EntryPoint";
import { EVM, failure, randomHash, testPasskey } from "../../helpers/account";
import { erc7562Violations } from "../../helpers/erc7562";
import {
  ETHER,
  type PaymasterWorld,
  WINDOW,
  accountAddress,
  lost,
  paymasterWorld,
  setBudget,
  sponsored,
  startWindow,
  stranger,
  terms,
} from "../../helpers/paymaster";

const VERSIONS: readonly EntryPointVersion[] = ["0.7", "0.8"];
const PREFUND_TOO_LOW = id("UserOperationPrefundTooLow(bytes32,address,uint256)");
const POST_OP_REVERTED = id("PostOpRevertReason(bytes32,address,uint256,bytes)");

for (const version of VERSIONS) {
  describe(`OperatorPaymaster on EntryPoint v${version}`, function () {
    this.timeout(300_000);
    const made = async (): Promise<PaymasterWorld> => paymasterWorld(version);
    let at: PaymasterWorld;
    beforeEach(async () => {
      at = await loadFixture(made);
    });

    const handle = async (...operations: readonly PackedUserOperation[]) => at.world.handle(...operations);
    const leftNow = async () => at.paymaster.leftIn(at.account, await time.latest());
    const hasLog = (receipt: ContractTransactionReceipt, topic: string) =>
      receipt.logs.some(({ topics }) => topics[0] === topic);

    /** What the paymaster answers the EntryPoint about an operation that nobody else has judged. */
    async function judged(operation: PackedUserOperation, maxCost = greatestCostOf(operation)) {
      const abi = at.paymaster.interface;
      const data = abi.encodeFunctionData("validatePaymasterUserOp", [operation, randomHash(), maxCost]);
      const answer = await ethers.provider.call({ from: at.world.domain.entryPoint, to: at.paymaster.target, data });
      const word = abi.decodeFunctionResult("validatePaymasterUserOp", answer)[1] as bigint;
      return { failed: word & (2n ** 160n - 1n), validUntil: (word >> 160n) % 2n ** 48n, validAfter: word >> 208n };
    }

    describe("an operation that a sponsor signed", () => {
      it("is paid for, the account having no money at all", async () => {
        const operation = await sponsored(at);
        const { deposit, budget, receipt } = await lost(at, () => handle(operation));
        expect(await at.world.target.value()).to.equal(1n);
        expect(hasLog(receipt, POST_OP_REVERTED)).to.equal(false);
        expect(deposit).to.be.greaterThan(0n);
        expect(budget).to.be.within(deposit, greatestCostOf(operation) - 1n);
        expect(await ethers.provider.getBalance(at.account)).to.equal(0n);
        expect(await at.world.entryPoint.getFunction("balanceOf")(at.account)).to.equal(0n);
      });

      it("may create the account and make its first call", async () => {
        const passkey = testPasskey();
        const sender = await accountAddress(at.world, passkey);
        await setBudget(at, ETHER, { account: sender });
        const initCode = at.world.initCode(passkey);
        await handle(await sponsored(at, { passkey, sender, initCode, calls: [at.world.write(2n)] }));
        expect(await at.world.target.value()).to.equal(2n);
        expect(await ethers.provider.getCode(sender)).to.not.equal("0x");
      });

      it("is refused with any one of its fields changed afterwards", async () => {
        const passkey = testPasskey();
        await at.world.newAccount(passkey);
        const honest = await sponsored(at);
        expect((await judged(honest)).failed).to.equal(0n);
        await setBudget(at, ETHER, { account: at.world.target.target as string });
        const other = (word: Hex, high: bigint, low: bigint) => {
          const both = unpackTwo(word);
          return packTwo(both.high + high, both.low + low);
        };
        const { accountGasLimits, gasFees, paymasterAndData } = honest;
        const byte = (index: number) => {
          const bytes = getBytes(paymasterAndData);
          bytes[index] = (bytes[index] ?? 0) ^ 1;
          return { paymasterAndData: ethers.hexlify(bytes) as Hex };
        };
        const changes: Readonly<Record<string, Partial<PackedUserOperation>>> = {
          sender: { sender: (at.world.target.target as string).toLowerCase() as Hex },
          nonce: { nonce: honest.nonce + 1n },
          "nonce key": { nonce: honest.nonce + (1n << 64n) },
          initCode: { initCode: at.world.initCode(passkey) },
          callData: { callData: `${honest.callData.slice(0, -2)}01` as Hex },
          verificationGasLimit: { accountGasLimits: other(accountGasLimits, 1n, 0n) },
          callGasLimit: { accountGasLimits: other(accountGasLimits, 0n, 1n) },
          preVerificationGas: { preVerificationGas: honest.preVerificationGas + 1n },
          maxPriorityFeePerGas: { gasFees: other(gasFees, 1n, 0n) },
          maxFeePerGas: { gasFees: other(gasFees, 0n, 1n) },
          paymasterVerificationGasLimit: byte(35),
          paymasterPostOpGasLimit: byte(51),
          validAfter: byte(57),
          validUntil: byte(63),
          r: byte(64),
          s: byte(96),
          v: byte(128),
        };
        for (const [name, change] of Object.entries(changes)) {
          expect((await judged({ ...honest, ...change })).failed, name).to.equal(1n);
        }
      });

      it("is refused by the EntryPoint as AA34 when its gas was raised, and nothing is charged", async () => {
        const changed = (operation: PackedUserOperation) => ({
          ...operation,
          preVerificationGas: operation.preVerificationGas + 1n,
        });
        const before = await leftNow();
        expect(await failure(handle(await sponsored(at, { changed })))).to.match(/AA34/);
        expect(await leftNow()).to.equal(before);
      });

      it("is of no use on another chain, at another paymaster or at another EntryPoint", async () => {
        const { domain } = at;
        const elsewhere = await ethers.deployContract("OperatorPaymaster", [
          at.world.domain.entryPoint,
          await at.paymaster.owner(),
          at.sponsor.address,
        ]);
        for (const wrong of [
          { ...domain, chainId: domain.chainId + 1 },
          { ...domain, paymaster: (elsewhere.target as string).toLowerCase() as Hex },
        ]) {
          expect((await judged(await sponsored(at, { domain: wrong }))).failed).to.equal(1n);
        }
        const operation = await sponsored(at);
        const [, notEntryPoint] = await ethers.getSigners();
        await expect(
          at.paymaster.connect(notEntryPoint).validatePaymasterUserOp.staticCall(operation, randomHash(), 0n),
        )
          .to.be.revertedWithCustomError(at.paymaster, "PaymasterUnauthorized")
          .withArgs(notEntryPoint?.address);
      });

      it("is good once", async () => {
        const operation = await sponsored(at);
        await handle(operation);
        expect(await failure(handle(operation))).to.match(/AA25/);
      });
    });

    describe("who may sign", () => {
      it("is nobody whom the owner did not name", async () => {
        expect((await judged(await sponsored(at, { sponsor: stranger() }))).failed).to.equal(1n);
        expect((await judged(await sponsored(at))).failed).to.equal(0n);
      });

      it("is the old key and the new one until the old is removed, whatever it signed before", async () => {
        const next = stranger();
        const [byOld, byNew] = [await sponsored(at), await sponsored(at, { sponsor: next })];
        await expect(at.paymaster.addSponsor(next.address)).to.emit(at.paymaster, "SponsorAdded");
        expect((await judged(byOld)).failed).to.equal(0n);
        expect((await judged(byNew)).failed).to.equal(0n);
        await expect(at.paymaster.removeSponsor(at.sponsor.address)).to.emit(at.paymaster, "SponsorRemoved");
        expect((await judged(byOld)).failed).to.equal(1n);
        expect(await failure(handle(byOld))).to.match(/AA34/);
        await handle(byNew);
      });

      it("cannot be the zero address, one twice, or be removed twice", async () => {
        const { paymaster, sponsor } = at;
        for (const wrong of [ethers.ZeroAddress, sponsor.address]) {
          await expect(paymaster.addSponsor(wrong)).to.be.revertedWithCustomError(paymaster, "InvalidSponsor");
        }
        await paymaster.removeSponsor(sponsor.address);
        await expect(paymaster.removeSponsor(sponsor.address)).to.be.revertedWithCustomError(paymaster, "NotSponsor");
        // what no signature recovers to signs for nobody
        const none = { ...(await sponsored(at)) };
        const zeros = `${none.paymasterAndData.slice(0, 2 + 2 * 64)}${"00".repeat(65)}` as Hex;
        expect((await judged({ ...none, paymasterAndData: zeros })).failed).to.equal(1n);
      });
    });

    describe("malformed data", () => {
      it("of every other length fail validation and do not revert it", async () => {
        const honest = await sponsored(at);
        for (let bytes = 52; bytes <= 132; bytes += 1) {
          const cut = `${honest.paymasterAndData}000000`.slice(0, 2 + 2 * bytes) as Hex;
          const { failed } = await judged({ ...honest, paymasterAndData: cut });
          expect(failed, String(bytes)).to.equal(bytes === 129 ? 0n : 1n);
        }
      });

      it("cost what a right signature costs", async () => {
        await handle(await sponsored(at)); // so that both find the same storage
        const entryPoint = await ethers.getImpersonatedSigner(at.world.domain.entryPoint);
        await hre.network.provider.send("hardhat_setBalance", [entryPoint.address, toBeHex(ETHER)]);
        const abi = at.paymaster.interface;
        const cost = async (operation: PackedUserOperation): Promise<number> => {
          const data = abi.encodeFunctionData("validatePaymasterUserOp", [operation, ethers.ZeroHash, 1n]);
          const receipt = await (await entryPoint.sendTransaction({ to: at.paymaster.target, data })).wait();
          const price = getBytes(data).reduce((sum, byte) => sum + (byte === 0 ? 4 : 16), 21_000);
          return Number(receipt?.gasUsed) - price;
        };
        const right = await cost(await sponsored(at));
        expect((await cost(await sponsored(at, { sponsor: stranger() }))) / right).to.be.within(0.95, 1.05);
      });
    });

    describe("times", () => {
      // v0.7 takes validAfter itself for valid, v0.8 does not
      const first = version === "0.7" ? 0 : 1;

      it("hold from validAfter (v0.8: the next second) to validUntil, both exactly", async () => {
        const start = await time.latest();
        const [validAfter, validUntil] = [start + 10, start + 20];
        const wish = { terms: { validAfter, validUntil } };
        const operation = await sponsored(at, wish);
        expect((await judged(operation)).validAfter).to.equal(BigInt(validAfter));
        await time.setNextBlockTimestamp(validAfter + first - 1);
        expect(await failure(handle(operation))).to.match(/AA32/);
        await time.setNextBlockTimestamp(validAfter + first);
        await handle(operation);
        await time.setNextBlockTimestamp(validUntil);
        await handle(await sponsored(at, wish));
        await time.setNextBlockTimestamp(validUntil + 1);
        expect(await failure(handle(await sponsored(at, wish)))).to.match(/AA32/);
      });

      it("are within the window that validUntil names: no second belongs to two", async () => {
        const start = await startWindow();
        const [end, next] = [start + WINDOW - 1, start + WINDOW];
        const inThis = await sponsored(at, { terms: { validUntil: end } });
        const inNext = await sponsored(at, { terms: { validUntil: next + 9 } });
        expect((await judged(inThis)).validAfter).to.equal(BigInt(start));
        expect((await judged(inThis)).validUntil).to.equal(BigInt(end));
        expect((await judged(inNext)).validAfter).to.equal(BigInt(next));
        await time.setNextBlockTimestamp(end);
        expect(await failure(handle(inNext))).to.match(/AA32/);
        await time.setNextBlockTimestamp(next + first);
        expect(await failure(handle(inThis))).to.match(/AA32/);
        await handle(inNext);
      });

      it("of an earlier window have nothing left once a later one was charged", async () => {
        const start = await startWindow();
        await handle(await sponsored(at));
        const before = await sponsored(at, { terms: { validUntil: start - 1 } });
        await expect(judged(before)).to.be.revertedWithCustomError(at.paymaster, "BudgetExceeded");
        expect(await at.paymaster.leftIn(at.account, start - 1)).to.equal(0n);
      });

      it("end with the budget, whatever the sponsor signed", async () => {
        const until = (await time.latest()) + 60;
        await setBudget(at, ETHER, { validUntil: until });
        const operation = await sponsored(at, { terms: { validUntil: until + 1_000 } });
        expect((await judged(operation)).validUntil).to.equal(BigInt(until));
        await time.setNextBlockTimestamp(until + 1);
        expect(await failure(handle(operation))).to.match(/AA32/);
        expect(await at.paymaster.leftIn(at.account, until)).to.equal(ETHER);
        expect(await at.paymaster.leftIn(at.account, until + 1)).to.equal(0n);
      });

      it("of zero or with the bit of block numbers are no times", async () => {
        const flag = 2 ** 47;
        for (const wrong of [
          { validUntil: 0 },
          { validUntil: flag + 1_000, validAfter: flag },
          { validAfter: flag },
          { validUntil: 2 ** 48 - 1 },
        ]) {
          const operation = await sponsored(at, { terms: wrong });
          expect((await judged(operation)).failed, JSON.stringify(wrong)).to.equal(1n);
          expect(await failure(handle(operation))).to.match(/AA3[24]/);
        }
      });
    });

    describe("budget", () => {
      it("may be used up exactly, and not by a wei more", async () => {
        const operation = await sponsored(at);
        const cost = greatestCostOf(operation);
        await setBudget(at, cost - 1n);
        await expect(judged(operation))
          .to.be.revertedWithCustomError(at.paymaster, "BudgetExceeded")
          .withArgs(ethers.getAddress(at.account), cost - 1n, cost);
        expect(await failure(handle(operation))).to.match(/AA33/);
        await setBudget(at, cost);
        await handle(operation);
      });

      it("of nothing pays nothing, and an account without one has none", async () => {
        const operation = await sponsored(at);
        await setBudget(at, 0n);
        await expect(judged(operation, 0n)).to.be.revertedWithCustomError(at.paymaster, "BudgetExceeded");
        const sender = (at.world.target.target as string).toLowerCase() as Hex;
        await expect(judged(await sponsored(at, { sender }), 0n)).to.be.revertedWithCustomError(
          at.paymaster,
          "BudgetExceeded",
        );
        expect(await at.paymaster.leftIn(sender, await time.latest())).to.equal(0n);
      });

      for (const count of [2, 5]) {
        it(`holds for ${count} operations of one bundle together`, async () => {
          const operations: PackedUserOperation[] = [];
          const { nonce } = await at.world.operation(at.account, "0x");
          for (let n = 0; n < count; n += 1) {
            const word = BigInt(n) + 1n;
            operations.push(await sponsored(at, { nonce: nonce + BigInt(n), calls: [at.world.write(word)] }));
          }
          const together = operations.reduce((sum, operation) => sum + greatestCostOf(operation), 0n);
          await setBudget(at, together - 1n);
          expect(await failure(handle(...operations))).to.match(/AA33/);
          expect(await leftNow()).to.equal(together - 1n);
          await setBudget(at, together);
          const { deposit, budget } = await lost(at, () => handle(...operations));
          expect(budget).to.be.within(deposit, together);
          expect(await at.world.target.value()).to.equal(BigInt(count));
        });
      }

      it("is shared by nobody", async () => {
        const passkey = testPasskey();
        const sender = (await at.world.newAccount(passkey, 3n)).target as string;
        await setBudget(at, ETHER, { account: sender });
        await handle(await sponsored(at, { passkey, sender: sender.toLowerCase() as Hex }));
        expect(await leftNow()).to.equal(ETHER);
        expect(await at.paymaster.leftIn(sender, await time.latest())).to.be.lessThan(ETHER);
      });

      it("that was lowered refuses signatures that are out", async () => {
        const operation = await sponsored(at);
        await setBudget(at, greatestCostOf(operation) / 2n);
        expect(await failure(handle(operation))).to.match(/AA33/);
      });

      it("is not given back by setting it again, nor with windows of another length", async () => {
        const { budget: spent } = await lost(at, async () => handle(await sponsored(at)));
        for (const windowSeconds of [WINDOW, WINDOW - 7, 2 * WINDOW, WINDOW]) {
          await setBudget(at, ETHER, { windowSeconds });
          expect(await leftNow()).to.equal(ETHER - spent);
        }
        await setBudget(at, spent - 1n);
        expect(await leftNow()).to.equal(0n);
      });

      it("is whole again in the next window", async () => {
        await handle(await sponsored(at));
        expect(await leftNow()).to.be.lessThan(ETHER);
        const next = await startWindow();
        expect(await at.paymaster.leftIn(at.account, next)).to.equal(ETHER);
        const { deposit, budget } = await lost(at, async () => handle(await sponsored(at)));
        expect(budget).to.be.within(deposit, ETHER);
        expect(await leftNow()).to.equal(ETHER - budget);
      });

      it("is set for an account, with a window, to a second that is not past", async () => {
        const { paymaster, account } = at;
        const now = (await time.latest()) + 1;
        const far = now + WINDOW;
        await expect(paymaster.setBudget(account, 5n, WINDOW, far))
          .to.emit(paymaster, "BudgetSet")
          .withArgs(ethers.getAddress(account), 5n, WINDOW, far);
        expect(await paymaster.budgetOf(account)).to.deep.equal([5n, BigInt(WINDOW), BigInt(far)]);
        for (const [whose, seconds, until] of [
          [ethers.ZeroAddress, WINDOW, far],
          [account, 0, far],
          [account, WINDOW, 0],
          [account, WINDOW, await time.latest()],
          [account, WINDOW, 2 ** 47],
        ] as const) {
          await expect(paymaster.setBudget(whose, 5n, seconds, until)).to.be.revertedWithCustomError(
            paymaster,
            "InvalidBudget",
          );
        }
      });
    });

    describe("what an operation cost is never counted too low", () => {
      it("whatever it asked for and did", async () => {
        const { world } = at;
        const failing = world.call(world.target.interface.encodeFunctionData("fail", [7n]));
        const long = world.call(`${world.target.interface.encodeFunctionData("write", [1n])}${"ff".repeat(8_000)}`);
        const cases: readonly (readonly [string, Parameters<typeof sponsored>[1]])[] = [
          ["a call", {}],
          ["a call that reverts", { calls: [failing] }],
          ["much unused gas", { callGasLimit: 5_000_000n }],
          ["a call out of gas", { callGasLimit: 20_000n }],
          ["no gas for the call", { callGasLimit: 0n }],
          ["no gas to spare", { callGasLimit: 0n, terms: { postOpGasLimit: 4_500n } }],
          [
            "no gas to spare, and long calldata",
            { calls: [long], callGasLimit: 0n, terms: { postOpGasLimit: 4_500n } },
          ],
          ["much gas after the operation", { terms: { postOpGasLimit: 1_500_000n } }],
          ["much of both", { callGasLimit: 3_000_000n, terms: { postOpGasLimit: 1_500_000n } }],
          ["long calldata", { calls: [long], callGasLimit: 2_000_000n }],
        ];
        for (const [name, wish] of cases) {
          const operation = await sponsored(at, wish);
          const { deposit, budget, receipt } = await lost(at, () => handle(operation));
          expect(hasLog(receipt, POST_OP_REVERTED), name).to.equal(false);
          expect(deposit, name).to.be.greaterThan(0n);
          expect(budget, name).to.be.within(deposit, greatestCostOf(operation) - 1n);
        }
      });

      it("when the post-operation call runs out of gas: all that was reserved is charged", async () => {
        for (const postOpGasLimit of [0n, 500n, 3_000n]) {
          const operation = await sponsored(at, { terms: { postOpGasLimit } });
          const { deposit, budget, receipt } = await lost(at, () => handle(operation));
          expect(hasLog(receipt, POST_OP_REVERTED)).to.equal(true);
          expect(budget).to.equal(greatestCostOf(operation));
          expect(deposit).to.be.within(1n, budget);
        }
        expect(await at.world.target.value()).to.equal(0n);
      });

      it("when the EntryPoint takes all that was reserved", async () => {
        const { receipt, deposit, budget, reserved } = await tooLowPrefund();
        expect(hasLog(receipt, PREFUND_TOO_LOW)).to.equal(true);
        expect(budget).to.equal(reserved);
        expect(deposit).to.equal(reserved);
      });

      it("when the operation itself makes the owner change the budget", async () => {
        const { paymaster, account, world } = at;
        await (await paymaster.transferOwnership(account)).wait();
        const own = (data: string) => world.call(data, paymaster.target as string);
        await handle(await sponsored(at, { calls: [own(paymaster.interface.encodeFunctionData("acceptOwnership"))] }));
        for (const windowSeconds of [WINDOW, 2 * WINDOW, 60]) {
          const data = paymaster.interface.encodeFunctionData("setBudget", [account, ETHER, windowSeconds, 2 ** 40]);
          const { deposit, budget } = await lost(at, async () => handle(await sponsored(at, { calls: [own(data)] })));
          expect(await paymaster.budgetOf(account)).to.deep.equal([ETHER, BigInt(windowSeconds), 2n ** 40n]);
          expect(budget).to.be.greaterThanOrEqual(deposit);
        }
      });

      /** An operation with limits so tight that the EntryPoint's own work on its calldata costs more than is left of them. */
      async function tooLowPrefund() {
        const tight = async (verificationGasLimit: bigint, paymasterGas: bigint) => {
          const data = `${at.world.target.interface.encodeFunctionData("write", [1n])}${"ff".repeat(20_000)}`;
          const draft = await at.world.operation(at.account, [at.world.call(data)]);
          const operation = {
            ...draft,
            preVerificationGas: 0n,
            accountGasLimits: packTwo(verificationGasLimit, 10_000n),
          };
          const agreed = await terms({ verificationGasLimit: paymasterGas, postOpGasLimit: 1_500n });
          const signature = at.sponsor.sign(sponsorshipDigest(operation, agreed, at.domain));
          const paymasterAndData = encodePaymasterAndData(at.domain.paymaster, agreed, signature);
          return at.world.signed({ ...operation, paymasterAndData }, at.passkey);
        };
        const passes = async (operation: PackedUserOperation) => {
          const [, beneficiary] = await ethers.getSigners();
          const handleOps = at.world.entryPoint.getFunction("handleOps");
          return handleOps.staticCall([operation], beneficiary?.address, { gasLimit: 5_000_000 }).then(
            () => true,
            () => false,
          );
        };
        const least = async (make: (gas: bigint) => Promise<PackedUserOperation>): Promise<bigint> => {
          let [low, high] = [1_000n, 500_000n];
          while (high - low > 200n) {
            const middle = (low + high) / 2n;
            if (await passes(await make(middle))) high = middle;
            else low = middle;
          }
          return high;
        };
        await handle(await sponsored(at)); // the storage it writes holds something from here on
        const verification = await least((gas) => tight(gas, 120_000n));
        const operation = await tight(verification, await least((gas) => tight(verification, gas)));
        return { reserved: greatestCostOf(operation), ...(await lost(at, () => handle(operation))) };
      }
    });

    describe("deposit and stake", () => {
      it("are the owner's, who may send them anywhere", async () => {
        const { paymaster, world } = at;
        const to = ethers.getAddress(toBeHex(BigInt(randomHash()) >> 96n, 20));
        const [, anyone] = await ethers.getSigners();
        const before = (await world.entryPoint.getFunction("balanceOf")(paymaster.target)) as bigint;
        await paymaster.connect(anyone).deposit({ value: 7n });
        expect(await world.entryPoint.getFunction("balanceOf")(paymaster.target)).to.equal(before + 7n);
        await paymaster.withdraw(to, 5n);
        expect(await ethers.provider.getBalance(to)).to.equal(5n);
        await expect(paymaster.withdrawStake(to)).to.be.reverted;
        await paymaster.unlockStake();
        await time.increase(86_399 - 60);
        await expect(paymaster.withdrawStake(to)).to.be.reverted;
        await time.increase(60);
        await paymaster.withdrawStake(to);
        expect(await ethers.provider.getBalance(to)).to.equal(ETHER + 5n);
      });

      it("too low a deposit pays for nothing", async () => {
        await at.paymaster.withdraw(await at.paymaster.owner(), 100n * ETHER);
        expect(await failure(handle(await sponsored(at)))).to.match(/AA31/);
      });
    });

    describe("ownership", () => {
      it("is asked for by everything that is the owner's", async () => {
        const { paymaster, account, sponsor } = at;
        const [owner, other] = await ethers.getSigners();
        if (owner === undefined || other === undefined) throw new Error("the network has no accounts");
        const theirs = paymaster.connect(other);
        const calls: Readonly<Record<string, () => Promise<unknown>>> = {
          setBudget: () => theirs.setBudget(account, 1n, WINDOW, 2 ** 40),
          addSponsor: () => theirs.addSponsor(other.address),
          removeSponsor: () => theirs.removeSponsor(sponsor.address),
          withdraw: () => theirs.withdraw(other.address, 1n),
          addStake: () => theirs.addStake(86_400, { value: 1n }),
          unlockStake: () => theirs.unlockStake(),
          withdrawStake: () => theirs.withdrawStake(other.address),
          transferOwnership: () => theirs.transferOwnership(other.address),
        };
        for (const [name, call] of Object.entries(calls)) {
          await expect(call(), name)
            .to.be.revertedWithCustomError(paymaster, "OwnableUnauthorizedAccount")
            .withArgs(other.address);
        }
        await expect(theirs.postOp(0, "0x", 0n, 0n)).to.be.revertedWithCustomError(paymaster, "PaymasterUnauthorized");
        await expect(paymaster.postOp(0, "0x", 0n, 0n)).to.be.revertedWithCustomError(
          paymaster,
          "PaymasterUnauthorized",
        );
        expect(await paymaster.owner()).to.equal(owner.address);
      });

      it("moves in two steps and is never given up", async () => {
        const { paymaster } = at;
        const [owner, next] = await ethers.getSigners();
        if (owner === undefined || next === undefined) throw new Error("the network has no accounts");
        await paymaster.transferOwnership(next.address);
        expect(await paymaster.owner()).to.equal(owner.address);
        await expect(paymaster.acceptOwnership()).to.be.revertedWithCustomError(
          paymaster,
          "OwnableUnauthorizedAccount",
        );
        await paymaster.connect(next).acceptOwnership();
        expect(await paymaster.owner()).to.equal(next.address);
        await expect(paymaster.connect(next).renounceOwnership()).to.be.revertedWithCustomError(
          paymaster,
          "OwnershipNotRenounceable",
        );
      });

      it("needs an owner from the start, and no sponsor", async () => {
        const factory = await ethers.getContractFactory("OperatorPaymaster");
        const { entryPoint } = at.world.domain;
        await expect(factory.deploy(entryPoint, ethers.ZeroAddress, at.sponsor.address)).to.be.revertedWithCustomError(
          at.paymaster,
          "OwnableInvalidOwner",
        );
        const made = await factory.deploy(entryPoint, at.world.target.target, ethers.ZeroAddress);
        expect(await made.isSponsor(ethers.ZeroAddress)).to.equal(false);
        expect(await made.entryPoint()).to.equal(ethers.getAddress(entryPoint));
      });
    });

    describe("ERC-7562, with a stake", () => {
      const entitiesOf = (sender: string) => ({
        entryPoint: at.world.domain.entryPoint,
        sender,
        factory: (at.world.factory.target as string).toLowerCase(),
        paymaster: at.domain.paymaster,
      });

      it("is kept by the first operation of a budget, a later one, and one that creates", async function () {
        if (EVM === "prague") this.skip(); // Hardhat's tracer shows no call to RIP-7212's precompile there
        const passkey = testPasskey();
        const sender = await accountAddress(at.world, passkey);
        await setBudget(at, ETHER, { account: sender });
        const initCode = at.world.initCode(passkey);
        for (const wish of [{}, {}, { passkey, sender, initCode }]) {
          const { hash } = await handle(await sponsored(at, wish));
          expect(await erc7562Violations(hash, entitiesOf(wish.sender ?? at.account))).to.deep.equal([]);
        }
      });

      it("is found broken by the checker where the paymaster has no stake", async function () {
        if (EVM === "prague") this.skip(); // as above
        const { hash } = await handle(await sponsored(at));
        const { entryPoint, sender } = entitiesOf(at.account);
        const swapped = { entryPoint, sender, factory: at.domain.paymaster };
        expect((await erc7562Violations(hash, swapped)).join()).to.match(/in the storage of/);
      });
    });
  });
}

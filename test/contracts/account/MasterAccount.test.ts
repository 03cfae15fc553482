import { expect } from "chai";
import {
  AbiCoder,
  TypedDataEncoder,
  concat,
  getBytes,
  hashMessage,
  hexlify,
  id,
  keccak256,
  randomBytes,
  toBeHex,
} from "ethers";
import hre, { ethers } from "hardhat";

import { encodeExecute } from "../../../offchain/client/account-calls";
import { userOperationHash } from "../../../offchain/client/user-operation";
import type { Hex } from "../../../offchain/wire/bytes";
import type { EntryPointVersion } from "../../../ignition/modules/EntryPoint";
import type { MasterAccount } from "../../../typechain-types";
import { AccountWorld, EVM, assertion, failure, randomHash, testPasskey } from "../../helpers/account";
import { erc7562Violations } from "../../helpers/erc7562";

const MAGIC = "0x1626ba7e";
const VERSIONS: readonly EntryPointVersion[] = ["0.7", "0.8"];

for (const version of VERSIONS) {
  describe(`MasterAccount on EntryPoint v${version}`, function () {
    this.timeout(300_000);
    const [first, second] = [testPasskey(), testPasskey()];
    let world: AccountWorld;
    let account: MasterAccount;
    let address: string;
    const own = (data: string) => world.call(data, address);

    before(async () => {
      world = await AccountWorld.over(version);
    });
    beforeEach(async () => {
      account = await world.newAccount(first, BigInt(hexlify(randomBytes(8))));
      address = account.target as string;
    });
    const add = (key = second) => own(account.interface.encodeFunctionData("addPasskey", [key.contract]));
    const remove = (key = first) =>
      own(account.interface.encodeFunctionData("removePasskey", [key.contract.credIdHash]));

    it("is created by its first operation, at the address promised before", async () => {
      const fresh = testPasskey();
      const promised = await world.fundedAddress(fresh);
      expect(await ethers.provider.getCode(promised)).to.equal("0x");
      expect(await world.run(fresh, promised, [world.write(11n)], world.initCode(fresh))).to.equal(true);
      expect(await world.target.value()).to.equal(11n);
      const made = await ethers.getContractAt("MasterAccount", promised);
      expect((await made.passkeys()).map((key) => key.credIdHash)).to.deep.equal([fresh.contract.credIdHash]);
    });

    it("runs a batch in order, or nothing of it", async () => {
      expect(await world.run(first, address, [world.write(1n), world.write(2n)])).to.equal(true);
      expect(await world.target.value()).to.equal(2n);
      const failing = world.call(world.target.interface.encodeFunctionData("fail", [7n]));
      expect(await world.run(first, address, [world.write(3n), failing])).to.equal(false);
      expect(await world.target.value()).to.equal(2n);
    });

    it("takes a second passkey, which may end the first; the last one stays", async () => {
      expect(await world.run(first, address, [add()])).to.equal(true);
      expect(await world.run(second, address, [remove(first)])).to.equal(true);
      expect(await account.isPasskey(first.contract.credIdHash)).to.equal(false);
      expect(await failure(world.run(first, address, [world.write(5n)]))).to.match(/AA24/);
      expect(await world.run(second, address, [remove(second)])).to.equal(false);
      expect(await account.passkeyCount()).to.equal(1n);
      expect(await world.run(second, address, [add(first)])).to.equal(true);
      expect(await world.run(first, address, [world.write(6n)])).to.equal(true);
    });

    it("refuses a passkey twice, a key twice, a point off the curve, and a seventeenth", async () => {
      const { contract } = second;
      const asSelf = async (key: typeof contract) => {
        const signer = await ethers.getImpersonatedSigner(address);
        await hre.network.provider.send("hardhat_setBalance", [address, "0x3635c9adc5dea00000"]);
        return account.connect(signer).addPasskey(key);
      };
      await (await asSelf(contract)).wait();
      await expect(asSelf(contract)).to.be.revertedWithCustomError(account, "PasskeyExists");
      await expect(asSelf({ ...contract, credIdHash: randomHash() })).to.be.revertedWithCustomError(
        account,
        "PublicKeyInUse",
      );
      for (const x of [`0x${"00".repeat(32)}`, `0x${"ff".repeat(32)}`, toBeHex(BigInt(contract.x) ^ 1n, 32)]) {
        const wrong = { ...contract, credIdHash: randomHash(), x: x as Hex };
        await expect(asSelf(wrong)).to.be.revertedWithCustomError(account, "PublicKeyInvalid");
      }
      for (let n = 2; n < 16; n += 1) await (await asSelf(testPasskey().contract)).wait();
      await expect(asSelf(testPasskey().contract)).to.be.revertedWithCustomError(account, "TooManyPasskeys");
    });

    it("obeys only the EntryPoint and itself", async () => {
      const operation = await world.operation(address, [world.write(1n)]);
      await expect(account.validateUserOp(operation, randomHash(), 0)).to.be.revertedWithCustomError(
        account,
        "CallerNotAllowed",
      );
      await expect(account.execute(`0x${"00".repeat(32)}`, `0x${"00".repeat(52)}`)).to.be.revertedWithCustomError(
        account,
        "CallerNotAllowed",
      );
      await expect(account.addPasskey(second.contract)).to.be.revertedWithCustomError(account, "CallerNotAllowed");
      await expect(account.removePasskey(first.contract.credIdHash)).to.be.revertedWithCustomError(
        account,
        "CallerNotAllowed",
      );
    });

    it("lets no target back in", async () => {
      const wanted = [
        account.interface.encodeFunctionData("addPasskey", [second.contract]),
        encodeExecute([world.write(9n)]),
        account.interface.encodeFunctionData("validateUserOp", [
          await world.operation(address, "0x"),
          randomHash(),
          0n,
        ]),
      ];
      for (const data of wanted) {
        const call = world.call(world.target.interface.encodeFunctionData("callBack", [data]));
        expect(await world.run(first, address, [call])).to.equal(true);
        expect(await world.target.isReentered()).to.equal(false);
      }
      expect(await account.passkeyCount()).to.equal(1n);
    });

    it("refuses unknown modes and execution data that point outside", async () => {
      const execute = (mode: string, data: string) =>
        account.interface.encodeFunctionData("execute", [mode, data]) as Hex;
      const batch = `0x01${"00".repeat(31)}`;
      const hostile = [
        execute(`0x0101${"00".repeat(30)}`, "0x"),
        execute(`0x01000000000078210001${"00".repeat(22)}`, "0x"),
        execute(`0xff${"00".repeat(31)}`, "0x"),
        execute(`0x${"00".repeat(32)}`, `0x${"00".repeat(51)}`),
        execute(batch, "0x"),
        execute(batch, concat([toBeHex(32, 32), toBeHex(1, 32)])),
        execute(batch, concat([toBeHex(32, 32), toBeHex(2n ** 64n, 32)])),
        execute(batch, concat([toBeHex(2n ** 256n - 32n, 32), toBeHex(1, 32)])),
        execute(batch, concat([toBeHex(32, 32), toBeHex(1, 32), toBeHex(2n ** 200n, 32)])),
      ];
      for (const callData of hostile) expect(await world.run(first, address, callData), callData).to.equal(false);
    });

    it("refuses a replay, another nonce key, and a signature that is wrong", async () => {
      const signed = world.signed(await world.operation(address, [world.write(21n)]), first);
      await world.handle(signed);
      expect(await failure(world.handle(signed))).to.match(/AA25/);
      const keyed = world.signed(await world.operation(address, [world.write(22n)], { nonceKey: 1n }), first);
      expect(await failure(world.handle(keyed))).to.match(/AA24/);
      const wrong = {
        ...(await world.operation(address, [world.write(22n)])),
        signature: assertion(first, randomHash()),
      };
      expect(await failure(world.handle(wrong))).to.match(/AA24/);
      expect(await world.target.value()).to.equal(21n);
    });

    it("signs the hash that the EntryPoint computes, which every member changes", async () => {
      const word = () => hexlify(randomBytes(32)) as Hex;
      const base = await world.operation(address, [world.write(1n)]);
      const onChain = (operation: typeof base) =>
        world.entryPoint.getFunction("getUserOpHash").staticCall(operation) as Promise<string>;
      const seen = new Set([userOperationHash(base, world.domain)]);
      for (let n = 0; n < 20; n += 1) {
        const changes = [
          { sender: hexlify(randomBytes(20)) as Hex },
          { nonce: BigInt(word()) },
          { initCode: `0x${"12".repeat(20)}${word().slice(2)}` as Hex },
          { callData: word() },
          { accountGasLimits: word() },
          { preVerificationGas: BigInt(word()) },
          { gasFees: word() },
          { paymasterAndData: `0x${"34".repeat(20)}${word().slice(2)}${word().slice(2)}` as Hex },
        ];
        const changed = { ...base, ...changes[n % changes.length] };
        const hash = userOperationHash(changed, world.domain);
        // v0.8 asks the sender's code where initCode is an EIP-7702 marker only; none of these is
        expect(await onChain(changed)).to.equal(hash);
        seen.add(hash);
      }
      seen.add(userOperationHash(base, { ...world.domain, chainId: 1 }));
      seen.add(userOperationHash(base, { ...world.domain, entryPoint: `0x${"11".repeat(20)}` }));
      expect(seen.size).to.equal(23);
    });

    it("keeps the rules of ERC-7562: created, first call, second call, batch, added passkey", async function () {
      if (EVM === "prague") this.skip(); // Hardhat replays a traced transaction without RIP-7212's precompile
      const fresh = testPasskey();
      const sender = (await world.fundedAddress(fresh)).toLowerCase();
      const entities = {
        entryPoint: world.domain.entryPoint,
        sender,
        factory: (world.factory.target as string).toLowerCase(),
      };
      const made = await ethers.getContractAt("MasterAccount", sender);
      const addSecond = world.call(made.interface.encodeFunctionData("addPasskey", [second.contract]), sender);
      const steps = [
        { by: fresh, calls: [world.write(1n)], initCode: world.initCode(fresh) },
        { by: fresh, calls: [world.write(2n)] },
        { by: fresh, calls: [world.write(3n), addSecond] },
        { by: second, calls: [world.write(4n)] },
      ];
      for (const { by, calls, initCode } of steps) {
        const operation = await world.operation(sender, calls, initCode === undefined ? {} : { initCode });
        const { hash } = await world.handle(world.signed(operation, by));
        expect(await erc7562Violations(hash, entities)).to.deep.equal([]);
      }
    });

    it("the checker of those rules finds what breaks them", async function () {
      if (EVM === "prague") this.skip(); // as above
      const { hash } = await world.handle(world.signed(await world.operation(address, [world.write(1n)]), first));
      const factory = (world.factory.target as string).toLowerCase();
      // told that the verified account is somebody else's storage, it must object
      const found = await erc7562Violations(hash, {
        entryPoint: world.domain.entryPoint,
        sender: factory,
        factory: address.toLowerCase(),
      });
      expect(found.join()).to.match(/in the storage of/);
    });

    it("a wrong signature costs what a right one costs", async () => {
      const signer = await ethers.getImpersonatedSigner(world.domain.entryPoint);
      await hre.network.provider.send("hardhat_setBalance", [world.domain.entryPoint, "0x3635c9adc5dea00000"]);
      const hash = randomHash();
      const cost = async (signature: Hex): Promise<number> => {
        const operation = { ...(await world.operation(address, "0x")), signature };
        const data = account.interface.encodeFunctionData("validateUserOp", [operation, hash, 0n]);
        const receipt = await (await signer.sendTransaction({ to: address, data, gasLimit: 3_000_000 })).wait();
        const price = getBytes(data).reduce((sum, byte) => sum + (byte === 0 ? 4 : 16), 21_000);
        return Number(receipt?.gasUsed) - price;
      };
      const right = await cost(assertion(first, hash));
      for (let n = 0; n < 5; n += 1) {
        const wrong = await cost(
          assertion(first, hash, { r: BigInt(randomHash()) >> 1n, s: () => BigInt(randomHash()) >> 2n }),
        );
        expect(wrong / right).to.be.within(0.95, 1.05);
      }
    });

    it("two accounts of one passkey, and two chains, do not share ERC-1271 signatures", async () => {
      const sibling = await world.newAccount(first, BigInt(hexlify(randomBytes(8))));
      const message = hashMessage("pay the bill");
      const digest = (of: string, chainId: number) => {
        const domain = { name: "AgentKeys MasterAccount", version: "1", chainId, verifyingContract: of };
        const struct = keccak256(
          AbiCoder.defaultAbiCoder().encode(["bytes32", "bytes32"], [id("PersonalSign(bytes prefixed)"), message]),
        );
        return keccak256(concat(["0x1901", TypedDataEncoder.hashDomain(domain), struct]));
      };
      const { chainId } = world.domain;
      const signature = assertion(first, digest(address, chainId));
      expect(await account.isValidSignature(message, signature)).to.equal(MAGIC);
      expect(await sibling.isValidSignature(message, signature)).to.not.equal(MAGIC);
      expect(await account.isValidSignature(message, assertion(first, digest(address, chainId + 1)))).to.not.equal(
        MAGIC,
      );
      // a bare signature over the hash itself is nobody's
      expect(await account.isValidSignature(message, assertion(first, message))).to.not.equal(MAGIC);
      expect(await account.isValidSignature(message, "0x")).to.not.equal(MAGIC);
    });

    it("signs an application's typed data through ERC-7739", async () => {
      const app = {
        name: "Shop",
        version: "3",
        chainId: world.domain.chainId,
        verifyingContract: world.target.target as string,
      };
      const types = { Order: [{ name: "item", type: "string" }] };
      const contents = { item: "tea" };
      const nested = {
        TypedDataSign: [
          { name: "contents", type: "Order" },
          { name: "name", type: "string" },
          { name: "version", type: "string" },
          { name: "chainId", type: "uint256" },
          { name: "verifyingContract", type: "address" },
          { name: "salt", type: "bytes32" },
        ],
        ...types,
      };
      const signedBy = (verifyingContract: string) =>
        TypedDataEncoder.hash(app, nested, {
          contents,
          name: "AgentKeys MasterAccount",
          version: "1",
          chainId: world.domain.chainId,
          verifyingContract,
          salt: `0x${"00".repeat(32)}`,
        });
      const description = Buffer.from("Order(string item)");
      const wrap = (verifyingContract: string) =>
        concat([
          assertion(first, signedBy(verifyingContract)),
          TypedDataEncoder.hashDomain(app),
          TypedDataEncoder.from(types).hashStruct("Order", contents),
          description,
          toBeHex(description.length, 2),
        ]);
      const asked = TypedDataEncoder.hash(app, types, contents);
      expect(await account.isValidSignature(asked, wrap(address))).to.equal(MAGIC);
      const sibling = await world.newAccount(first, BigInt(hexlify(randomBytes(8))));
      expect(await sibling.isValidSignature(asked, wrap(address))).to.not.equal(MAGIC);
    });
  });
}

describe("MasterAccountFactory", () => {
  const passkey = testPasskey();
  let world: AccountWorld;
  before(async () => {
    world = await AccountWorld.over("0.8");
  });
  const addressOf = (key: typeof passkey.contract, salt: bigint) =>
    world.factory
      .getFunction("getAddress((bytes32,bytes32,bytes32,bytes32),uint256)")
      .staticCall(key, salt) as Promise<string>;

  it("makes an account once, whoever asks, and returns it ever after", async () => {
    const [, stranger] = await ethers.getSigners();
    if (stranger === undefined) throw new Error("no second account");
    const address = await addressOf(passkey.contract, 0n);
    const make = () => world.factory.connect(stranger).createAccount(passkey.contract, 0n);
    await expect(make()).to.emit(world.factory, "AccountCreated").withArgs(address, passkey.contract.credIdHash);
    await expect(make()).to.not.emit(world.factory, "AccountCreated");
    expect(await world.factory.createAccount.staticCall(passkey.contract, 0n)).to.equal(address);
  });

  it("commits the address to every member of the passkey and to the salt", async () => {
    const key = passkey.contract;
    const twin = { ...key, y: testPasskey().contract.y };
    const p = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
    const others = await Promise.all([
      addressOf(key, 0n),
      addressOf(key, 1n),
      addressOf({ ...key, credIdHash: randomHash() }, 0n),
      addressOf({ ...key, rpIdHash: randomHash() }, 0n),
      addressOf({ ...key, y: toBeHex(p - BigInt(key.y), 32) as Hex }, 0n),
      addressOf(testPasskey().contract, 0n),
    ]);
    expect(new Set(others).size).to.equal(6);
    expect(await failure(addressOf(twin, 0n))).to.match(/PublicKeyInvalid|custom error/);
    await expect(world.factory.createAccount(twin, 0n)).to.be.revertedWithCustomError(
      await ethers.getContractAt("MasterAccount", world.factory.target),
      "PublicKeyInvalid",
    );
  });

  it("leaves the implementation locked", async () => {
    const implementation = await ethers.getContractAt("MasterAccount", await world.factory.implementation());
    expect(await implementation.passkeyCount()).to.equal(0n);
    expect(await implementation.passkeys()).to.deep.equal([]);
    const hash = randomHash();
    for (const credIdHash of [passkey.contract.credIdHash, `0x${"00".repeat(32)}` as const]) {
      expect(await world.validationData(implementation, hash, assertion(passkey, hash, { credIdHash }))).to.equal(1n);
    }
  });

  it("leaves a key delegated by EIP-7702 without an owner", async function () {
    if (EVM === "cancun") this.skip(); // the EVM has no delegations
    const stranger = ethers.Wallet.createRandom().address;
    const implementation = await world.factory.implementation();
    await hre.network.provider.send("hardhat_setCode", [stranger, concat(["0xef0100", implementation])]);
    const delegated = await ethers.getContractAt("MasterAccount", stranger);
    expect(await delegated.passkeyCount()).to.equal(0n);
    const hash = randomHash();
    expect(await world.validationData(delegated, hash, assertion(passkey, hash))).to.equal(1n);
    await expect(delegated.addPasskey(passkey.contract)).to.be.revertedWithCustomError(delegated, "CallerNotAllowed");
  });
});

import { expect } from "chai";
import { AbiCoder, TypedDataEncoder, keccak256 } from "ethers";
import fc from "fast-check";

import { type Hex, toHex } from "../../../offchain/wire/bytes";
import { readJson } from "../../../offchain/wire/json";
import { keccakReady } from "../../../offchain/wire/keccak";
import {
  type EntryPointDomain,
  type PackedUserOperation,
  encodeUserOperation,
  packTwo,
  readUserOperation,
  unpackTwo,
  userOperationHash,
} from "../../../offchain/wire/user-operation";
import { notBytes32, withMember } from "../../helpers/malformed";

const hex = (min: number, max = min): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) => toHex(bytes));
const uint = (bits: number): fc.Arbitrary<bigint> => fc.bigInt({ min: 0n, max: (1n << BigInt(bits)) - 1n });

const operations: fc.Arbitrary<PackedUserOperation> = fc.record({
  sender: hex(20),
  nonce: uint(256),
  initCode: hex(0, 100),
  callData: hex(0, 300),
  accountGasLimits: hex(32),
  preVerificationGas: uint(256),
  gasFees: hex(32),
  paymasterAndData: hex(0, 100),
  signature: hex(0, 100),
});

const good: PackedUserOperation = {
  sender: `0x${"11".repeat(20)}`,
  nonce: (0xaabbn << 64n) | 7n,
  initCode: "0x",
  callData: "0xe9ae5c53",
  accountGasLimits: packTwo(100_000n, 200_000n),
  preVerificationGas: 50_000n,
  gasFees: packTwo(1n, 2n),
  paymasterAndData: "0x",
  signature: "0x",
};

const V08_TYPES = {
  PackedUserOperation: [
    { name: "sender", type: "address" },
    { name: "nonce", type: "uint256" },
    { name: "initCode", type: "bytes" },
    { name: "callData", type: "bytes" },
    { name: "accountGasLimits", type: "bytes32" },
    { name: "preVerificationGas", type: "uint256" },
    { name: "gasFees", type: "bytes32" },
    { name: "paymasterAndData", type: "bytes" },
  ],
};

/** As the two EIPs say it, by a library that knows nothing of ours. */
function hashByEthers(operation: PackedUserOperation, domain: EntryPointDomain): string {
  const { chainId, entryPoint, entryPointVersion } = domain;
  const { sender, nonce, initCode, callData, accountGasLimits, preVerificationGas, gasFees } = operation;
  if (entryPointVersion === "0.8") {
    const separator = { name: "ERC4337", version: "1", chainId, verifyingContract: entryPoint };
    return TypedDataEncoder.hash(separator, V08_TYPES, operation);
  }
  const coder = AbiCoder.defaultAbiCoder();
  const fields = coder.encode(
    ["address", "uint256", "bytes32", "bytes32", "bytes32", "uint256", "bytes32", "bytes32"],
    [
      sender,
      nonce,
      keccak256(initCode),
      keccak256(callData),
      accountGasLimits,
      preVerificationGas,
      gasFees,
      keccak256(operation.paymasterAndData),
    ],
  );
  return keccak256(coder.encode(["bytes32", "address", "uint256"], [keccak256(fields), entryPoint, chainId]));
}

describe("wire: the hash of a user operation", () => {
  before(keccakReady);

  for (const entryPointVersion of ["0.7", "0.8"] as const) {
    it(`is what ethers computes for random operations, ${entryPointVersion}`, () => {
      fc.assert(
        fc.property(operations, fc.nat(), hex(20), (operation, chainId, entryPoint) => {
          const domain = { chainId, entryPoint, entryPointVersion };
          expect(userOperationHash(operation, domain)).to.equal(hashByEthers(operation, domain));
        }),
      );
    });

    it(`changes with every member but the signature, and with chain and EntryPoint, ${entryPointVersion}`, () => {
      const domain = { chainId: 31337, entryPoint: `0x${"ee".repeat(20)}`, entryPointVersion } as const;
      const seen = new Set([userOperationHash(good, domain)]);
      const changes: readonly Partial<PackedUserOperation>[] = [
        { sender: `0x${"12".repeat(20)}` },
        { nonce: good.nonce + 1n },
        { initCode: "0x00" },
        { callData: "0xe9ae5c5300" },
        { accountGasLimits: packTwo(200_000n, 100_000n) },
        { preVerificationGas: 50_001n },
        { gasFees: packTwo(2n, 1n) },
        { paymasterAndData: "0x00" },
      ];
      for (const change of changes) seen.add(userOperationHash({ ...good, ...change }, domain));
      seen.add(userOperationHash(good, { ...domain, chainId: 1 }));
      seen.add(userOperationHash(good, { ...domain, entryPoint: `0x${"ef".repeat(20)}` }));
      expect(seen.size).to.equal(changes.length + 3);
      expect(userOperationHash({ ...good, signature: "0x1234" }, domain)).to.equal(userOperationHash(good, domain));
    });
  }

  it("differs between the versions, and takes no number above 256 bits", () => {
    const domain = { chainId: 31337, entryPoint: `0x${"ee".repeat(20)}` } as const;
    const [v07, v08] = (["0.7", "0.8"] as const).map((entryPointVersion) => ({ ...domain, entryPointVersion }));
    if (v07 === undefined || v08 === undefined) throw new Error("there are two");
    expect(userOperationHash(good, v07)).to.not.equal(userOperationHash(good, v08));
    for (const nonce of [1n << 256n, -1n])
      expect(() => userOperationHash({ ...good, nonce }, v08)).to.throw(RangeError);
  });

  it("packs and unpacks two numbers", () => {
    fc.assert(
      fc.property(uint(128), uint(128), (high, low) => {
        expect(unpackTwo(packTwo(high, low))).to.deep.equal({ high, low });
      }),
    );
    expect(() => packTwo(1n << 128n, 0n)).to.throw(RangeError);
    expect(() => packTwo(0n, 1n << 128n)).to.throw(RangeError);
  });
});

describe("wire: a user operation as JSON", () => {
  const text = JSON.stringify(encodeUserOperation(good));
  const read = (json: string): PackedUserOperation | undefined => {
    const value = readJson(Buffer.from(json));
    return value.ok ? readUserOperation(value.value) : undefined;
  };

  it("comes back as it went, for random operations", () => {
    fc.assert(
      fc.property(operations, (operation) => {
        expect(read(JSON.stringify(encodeUserOperation(operation)))).to.deep.equal(operation);
      }),
    );
  });

  it("may lack the signature, and nothing else", () => {
    expect(read(withMember(text, "signature", undefined))).to.deep.equal(good);
    for (const member of Object.keys(good)) {
      if (member !== "signature") expect(read(withMember(text, member, undefined)), member).to.equal(undefined);
    }
  });

  it("has no other form", () => {
    const noData = ["null", "1", `""`, `"0"`, `"0x0"`, `"0X00"`, `"0xAA"`, `"00"`, `"0x0g"`, `"0x00 "`, `["0x"]`, "{}"];
    const tooBig = `"0x1${"00".repeat(32)}"`;
    const noQuantity = ["null", "7", "0", `""`, `"7"`, `"0x"`, `"0x07"`, `"0x00"`, `"0xAB"`, `"0x1 "`, tooBig, "[]"];
    const noAddress = [...noData, `"0x"`, `"0x${"11".repeat(19)}"`, `"0x${"11".repeat(21)}"`, `"0x${"AA".repeat(20)}"`];
    const rows: Readonly<Record<string, readonly string[]>> = {
      sender: noAddress,
      nonce: noQuantity,
      initCode: noData,
      callData: noData,
      accountGasLimits: notBytes32(good.accountGasLimits),
      preVerificationGas: noQuantity,
      gasFees: notBytes32(good.gasFees),
      paymasterAndData: noData,
      signature: noData,
    };
    for (const [member, values] of Object.entries(rows)) {
      for (const value of values)
        expect(read(withMember(text, member, value)), `${member}: ${value}`).to.equal(undefined);
    }
    for (const value of ["null", "1", `"0x"`, `[${text}]`]) expect(read(value), value).to.equal(undefined);
    expect(read(text)).to.deep.equal(good);
  });

  it("takes no member that it does not know: the unpacked form, a delegation, a later version", () => {
    const others = ["factory", "factoryData", "callGasLimit", "maxFeePerGas", "paymaster", "eip7702Auth", "hash", "a"];
    for (const member of others) {
      for (const value of [`"0x"`, "null", "{}"])
        expect(read(withMember(text, member, value)), member).to.equal(undefined);
    }
  });
});

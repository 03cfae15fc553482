import { expect } from "chai";
import { TypedDataEncoder } from "ethers";
import fc from "fast-check";

import { type Hex, toHex } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { encodePaymasterAndData, sponsorshipDigest } from "../../../offchain/wire/sponsorship";
import { gasLimitOf, greatestCostOf, packTwo } from "../../../offchain/wire/user-operation";

/** OpenZeppelin's struct, which the contract hashes. */
const TYPES = {
  UserOperationRequest: [
    { name: "sender", type: "address" },
    { name: "nonce", type: "uint256" },
    { name: "initCode", type: "bytes" },
    { name: "callData", type: "bytes" },
    { name: "accountGasLimits", type: "bytes32" },
    { name: "preVerificationGas", type: "uint256" },
    { name: "gasFees", type: "bytes32" },
    { name: "paymasterVerificationGasLimit", type: "uint256" },
    { name: "paymasterPostOpGasLimit", type: "uint256" },
    { name: "validAfter", type: "uint48" },
    { name: "validUntil", type: "uint48" },
  ],
};

const hex = (min: number, max: number): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) => toHex(bytes));
const uint128 = fc.bigInt({ min: 0n, max: 2n ** 128n - 1n });
const uint256 = fc.bigInt({ min: 0n, max: 2n ** 256n - 1n });
const uint48 = fc.integer({ min: 0, max: 2 ** 48 - 1 });

describe("sponsorship", () => {
  before(keccakReady);

  it("digest: that of ethers for the contract's struct", () => {
    fc.assert(
      fc.property(
        fc.record({
          sender: hex(20, 20),
          nonce: uint256,
          initCode: hex(0, 60),
          callData: hex(0, 100),
          accountGasLimits: hex(32, 32),
          preVerificationGas: uint256,
          gasFees: hex(32, 32),
        }),
        fc.record({ verificationGasLimit: uint128, postOpGasLimit: uint128, validAfter: uint48, validUntil: uint48 }),
        fc.record({ chainId: fc.integer({ min: 1, max: 2 ** 40 }), paymaster: hex(20, 20) }),
        (operation, terms, domain) => {
          const { verificationGasLimit, postOpGasLimit, ...times } = terms;
          const expected = TypedDataEncoder.hash(
            {
              name: "AgentKeys OperatorPaymaster",
              version: "1",
              chainId: domain.chainId,
              verifyingContract: domain.paymaster,
            },
            TYPES,
            {
              ...operation,
              ...times,
              paymasterVerificationGasLimit: verificationGasLimit,
              paymasterPostOpGasLimit: postOpGasLimit,
            },
          );
          expect(toHex(sponsorshipDigest(operation, terms, domain))).to.equal(expected);
        },
      ),
    );
  });

  it("paymasterAndData: address, two limits, two times, signature", () => {
    const paymaster: Hex = `0x${"fa".repeat(20)}`;
    const terms = { verificationGasLimit: 1n, postOpGasLimit: 2n, validAfter: 3, validUntil: 2 ** 47 };
    const encoded = encodePaymasterAndData(paymaster, terms, `0x${"55".repeat(65)}`);
    const limits = `${"1".padStart(32, "0")}${"2".padStart(32, "0")}`;
    expect(encoded).to.equal(`${paymaster}${limits}000000000003800000000000${"55".repeat(65)}`);
  });

  it("greatest cost: five gas fields at maxFeePerGas", () => {
    const operation = {
      sender: `0x${"aa".repeat(20)}` as const,
      nonce: 0n,
      initCode: "0x" as const,
      callData: "0x" as const,
      accountGasLimits: packTwo(1n, 20n),
      preVerificationGas: 300n,
      gasFees: packTwo(9n, 7n),
      signature: "0x" as const,
    };
    const terms = { verificationGasLimit: 4_000n, postOpGasLimit: 50_000n, validAfter: 0, validUntil: 1 };
    const paymasterAndData = encodePaymasterAndData(`0x${"fa".repeat(20)}`, terms, "0x");
    expect(gasLimitOf({ ...operation, paymasterAndData })).to.equal(54_321n);
    expect(greatestCostOf({ ...operation, paymasterAndData })).to.equal(7n * 54_321n);
    expect(greatestCostOf({ ...operation, paymasterAndData: "0x" })).to.equal(7n * 321n);
  });
});

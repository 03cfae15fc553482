import { type Hex, fromHex, toHex } from "./bytes";
import { addressWord, stringWord, typeHash, typedDigest, uintWord } from "./eip712";
import { keccak256 } from "./keccak";
import { type PackedUserOperation, packTwo, uint256Word } from "./user-operation";

/** Where a sponsor's signature is valid: one chain, one paymaster, and by that one EntryPoint. */
export interface PaymasterDomain {
  readonly chainId: number;
  /** OperatorPaymaster, lowercase. */
  readonly paymaster: Hex;
}

/** What a sponsor adds to an operation. */
export interface SponsorshipTerms {
  readonly verificationGasLimit: bigint;
  readonly postOpGasLimit: bigint;
  /** Unix seconds, the last second in which it does not hold yet; 0 for at once. */
  readonly validAfter: number;
  /** Unix seconds, the last second; it names the window of the budget that is charged. */
  readonly validUntil: number;
}

const REQUEST_TYPE = typeHash(
  "UserOperationRequest(address sender,uint256 nonce,bytes initCode,bytes callData,bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,uint256 paymasterVerificationGasLimit,uint256 paymasterPostOpGasLimit,uint48 validAfter,uint48 validUntil)",
);
const DOMAIN_TYPE = typeHash("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

/**
 * What a sponsor signs: every field of the operation but its own signature and the account's, 32 bytes. The operation's
 * `paymasterAndData` are not looked at.
 * @see contracts/interfaces/IOperatorPaymaster.sol
 */
export function sponsorshipDigest(
  operation: Omit<PackedUserOperation, "paymasterAndData" | "signature">,
  terms: SponsorshipTerms,
  { chainId, paymaster }: PaymasterDomain,
): Buffer {
  const name = stringWord("AgentKeys OperatorPaymaster");
  const separator = keccak256(
    Buffer.concat([DOMAIN_TYPE(), name, stringWord("1"), uintWord(chainId), addressWord(paymaster)]),
  );
  return typedDigest(separator, REQUEST_TYPE(), [
    addressWord(operation.sender),
    uint256Word(operation.nonce),
    keccak256(fromHex(operation.initCode)),
    keccak256(fromHex(operation.callData)),
    fromHex(operation.accountGasLimits),
    uint256Word(operation.preVerificationGas),
    fromHex(operation.gasFees),
    uint256Word(terms.verificationGasLimit),
    uint256Word(terms.postOpGasLimit),
    uintWord(terms.validAfter),
    uintWord(terms.validUntil),
  ]);
}

/** The operation's `paymasterAndData`: 129 bytes. @param signature `r ‖ s ‖ v` over {@link sponsorshipDigest} */
export function encodePaymasterAndData(paymaster: Hex, terms: SponsorshipTerms, signature: Hex): Hex {
  const times = Buffer.alloc(12);
  times.writeUIntBE(terms.validAfter, 0, 6);
  times.writeUIntBE(terms.validUntil, 6, 6);
  const limits = packTwo(terms.verificationGasLimit, terms.postOpGasLimit);
  return toHex(Buffer.concat([fromHex(paymaster), fromHex(limits), times, fromHex(signature)]));
}

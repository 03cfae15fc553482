import { AbiCoder, TypedDataEncoder, keccak256 } from "ethers";

import type { EntryPointVersion } from "../chain/deployment";
import type { PackedUserOperation } from "../chain/entry-point";
import { type Hex, fromHex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import { type AccountCall, decodeExecute } from "./account-calls";
import { type Authenticator, encodeAssertion } from "./authenticator";

/** Where a user operation is valid. */
export interface EntryPointDomain {
  readonly chainId: number;
  /** EntryPoint, lowercase. */
  readonly entryPoint: Hex;
  readonly entryPointVersion: EntryPointVersion;
}

/** Gas and fees of one operation. */
export interface OperationGas {
  readonly verificationGasLimit: bigint;
  readonly callGasLimit: bigint;
  readonly preVerificationGas: bigint;
  /** Wei; both zero where whoever sends the transaction pays for it. */
  readonly maxPriorityFeePerGas: bigint;
  readonly maxFeePerGas: bigint;
}

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

/** Two uint128 in one word, as EntryPoint v0.7 and later pack them. */
export function packTwo(high: bigint, low: bigint): Hex {
  if (high >> 128n !== 0n || low >> 128n !== 0n) throw new RangeError("a packed number has at most 128 bits");
  return `0x${((high << 128n) | low).toString(16).padStart(64, "0")}`;
}

/** An operation without its signature. */
export function packOperation(operation: {
  readonly sender: Hex;
  readonly nonce: bigint;
  readonly initCode: Hex;
  readonly callData: Hex;
  readonly gas: OperationGas;
}): PackedUserOperation {
  const { sender, nonce, initCode, callData, gas } = operation;
  return {
    sender,
    nonce,
    initCode,
    callData,
    accountGasLimits: packTwo(gas.verificationGasLimit, gas.callGasLimit),
    preVerificationGas: gas.preVerificationGas,
    gasFees: packTwo(gas.maxPriorityFeePerGas, gas.maxFeePerGas),
    paymasterAndData: "0x",
    signature: "0x",
  };
}

/**
 * The hash that the passkey signs, computed here and never taken from anyone.
 * v0.7: keccak256 of the packed fields, EntryPoint and chain id; v0.8: EIP-712, domain "ERC4337" version "1".
 * @see https://eips.ethereum.org/EIPS/eip-4337
 */
export function userOperationHash(operation: PackedUserOperation, domain: EntryPointDomain): Hex {
  const { chainId, entryPoint, entryPointVersion } = domain;
  if (entryPointVersion === "0.8") {
    const separator = { name: "ERC4337", version: "1", chainId, verifyingContract: entryPoint };
    return TypedDataEncoder.hash(separator, V08_TYPES, operation) as Hex; // the types leave the signature out
  }
  const coder = AbiCoder.defaultAbiCoder();
  const fields = coder.encode(
    ["address", "uint256", "bytes32", "bytes32", "bytes32", "uint256", "bytes32", "bytes32"],
    [
      operation.sender,
      operation.nonce,
      keccak256(operation.initCode),
      keccak256(operation.callData),
      operation.accountGasLimits,
      operation.preVerificationGas,
      operation.gasFees,
      keccak256(operation.paymasterAndData),
    ],
  );
  const words = coder.encode(["bytes32", "address", "uint256"], [keccak256(fields), entryPoint, chainId]);
  return keccak256(words) as Hex;
}

/** An operation that is about to be signed, and what was asked for. */
export interface SigningRequest {
  readonly operation: PackedUserOperation;
  readonly domain: EntryPointDomain;
  /** The calls that the owner asked for. */
  readonly asked: readonly AccountCall[];
  /** The account that the owner knows as theirs. */
  readonly account: Hex;
  /** The one `initCode` that would be right; empty for a deployed account. */
  readonly initCode: Hex;
  /** The EntryPoint's own `getUserOpHash` of this operation, from the chain. */
  readonly hashOnChain: Hex;
  /** What the owner is shown, one line per call. */
  readonly shown: readonly string[];
  readonly authenticator: Authenticator;
}

/**
 * Signs only what was asked for: the calldata decodes to just those calls, nothing else is in the operation, and the
 * hash computed here is the one that the EntryPoint computes. @see drill D18
 * @returns `request_malformed` before the owner is asked, when anything differs
 */
export async function signOperation(request: SigningRequest): Promise<Result<PackedUserOperation>> {
  const { operation, domain, asked, account, initCode, hashOnChain, shown, authenticator } = request;
  const refused = (what: string): Result<never> =>
    refuse("request_malformed", `The operation is not what was asked for, and was not signed: ${what}.`);
  const calls = decodeExecute(operation.callData);
  if (calls === undefined) return refused("its calldata is not a plain call of the account");
  if (!isSameCalls(calls, asked)) return refused("its calldata makes other calls");
  if (operation.sender !== account) return refused("it is for another account");
  if (operation.initCode !== initCode) return refused("it deploys something else");
  if (operation.paymasterAndData !== "0x") return refused("it names a paymaster");
  const hash = userOperationHash(operation, domain);
  if (hash !== hashOnChain) return refused("the EntryPoint computes another hash for it");
  const assertion = await authenticator.getAssertion(fromHex(hash), shown);
  if (!assertion.ok) return assertion;
  const signature = encodeAssertion(authenticator.credential, fromHex(hash), assertion.value);
  return signature.ok ? ok({ ...operation, signature: signature.value }) : signature;
}

function isSameCalls(a: readonly AccountCall[], b: readonly AccountCall[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ to, value, data }, i) => to === b[i]?.to && value === b[i].value && data === b[i].data)
  );
}

import { type Hex, fromHex, isAddressHex, isBytes32, toHex } from "./bytes";
import { addressWord, typedDigest, typeHash, uintWord } from "./eip712";
import { type JsonValue, isJsonObject } from "./json";
import { keccak256 } from "./keccak";

/** Versions of the ERC-4337 EntryPoint that the accounts are built for. */
export type EntryPointVersion = "0.7" | "0.8";

/** Where a user operation is valid. */
export interface EntryPointDomain {
  readonly chainId: number;
  /** EntryPoint, lowercase. */
  readonly entryPoint: Hex;
  readonly entryPointVersion: EntryPointVersion;
}

/** ERC-4337 user operation as EntryPoint v0.7 and v0.8 take it. @see https://eips.ethereum.org/EIPS/eip-4337 */
export interface PackedUserOperation {
  readonly sender: Hex;
  /** 192-bit key ‖ 64-bit sequence; passkeys use key 0. */
  readonly nonce: bigint;
  /** Factory address ‖ its calldata, or empty once the account is deployed. */
  readonly initCode: Hex;
  readonly callData: Hex;
  /** uint128 verificationGasLimit ‖ uint128 callGasLimit. */
  readonly accountGasLimits: Hex;
  readonly preVerificationGas: bigint;
  /** uint128 maxPriorityFeePerGas ‖ uint128 maxFeePerGas, wei. */
  readonly gasFees: Hex;
  readonly paymasterAndData: Hex;
  readonly signature: Hex;
}

/** Two uint128 in one word, as EntryPoint v0.7 and later pack them. */
export function packTwo(high: bigint, low: bigint): Hex {
  if (high >> 128n !== 0n || low >> 128n !== 0n) throw new RangeError("a packed number has at most 128 bits");
  return `0x${((high << 128n) | low).toString(16).padStart(64, "0")}`;
}

/** The two uint128 of one word, high first. */
export function unpackTwo(word: Hex): { readonly high: bigint; readonly low: bigint } {
  return { high: BigInt(word.slice(0, 34)), low: BigInt(`0x${word.slice(34)}`) };
}

/** Hex digits of a paymaster's part of `paymasterAndData`: address, uint128 verification gas, uint128 post-operation gas. */
export const PAYMASTER_HEAD = 2 + 2 * (20 + 16 + 16);

/** All gas that an operation may use: its five gas fields, the paymaster's two included. */
export function gasLimitOf(operation: PackedUserOperation): bigint {
  const account = unpackTwo(operation.accountGasLimits);
  const paymaster = unpackTwo(`0x${operation.paymasterAndData.slice(42, PAYMASTER_HEAD).padStart(64, "0")}`);
  return account.high + account.low + operation.preVerificationGas + paymaster.high + paymaster.low;
}

/** The most that an operation may cost, in wei, whoever pays: {@link gasLimitOf} times `maxFeePerGas`. */
export function greatestCostOf(operation: PackedUserOperation): bigint {
  return gasLimitOf(operation) * unpackTwo(operation.gasFees).low;
}

const V08_TYPE = typeHash(
  "PackedUserOperation(address sender,uint256 nonce,bytes initCode,bytes callData,bytes32 accountGasLimits,uint256 preVerificationGas,bytes32 gasFees,bytes paymasterAndData)",
);
const DOMAIN_TYPE = typeHash("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)");

/**
 * The hash of an operation, computed here and never taken from anyone; the signature is not in it.
 * v0.7: keccak256 of the packed fields, EntryPoint and chain id; v0.8: EIP-712, domain "ERC4337" version "1". An
 * `initCode` that starts with the EIP-7702 marker 0x7702 is hashed as it stands, v0.8 hashes the delegate's address in
 * its place: no account of ours is delegated to, and nobody signs such an operation.
 */
export function userOperationHash(operation: PackedUserOperation, domain: EntryPointDomain): Hex {
  const words = [
    addressWord(operation.sender),
    uint256Word(operation.nonce),
    keccak256(fromHex(operation.initCode)),
    keccak256(fromHex(operation.callData)),
    fromHex(operation.accountGasLimits),
    uint256Word(operation.preVerificationGas),
    fromHex(operation.gasFees),
    keccak256(fromHex(operation.paymasterAndData)),
  ];
  if (domain.entryPointVersion === "0.8") return toHex(typedDigest(v08Separator(domain), V08_TYPE(), words));
  const fields = keccak256(Buffer.concat(words));
  return toHex(keccak256(Buffer.concat([fields, addressWord(domain.entryPoint), uintWord(domain.chainId)])));
}

function v08Separator({ chainId, entryPoint }: EntryPointDomain): Buffer {
  const name = keccak256(Buffer.from("ERC4337"));
  const version = keccak256(Buffer.from("1"));
  return keccak256(Buffer.concat([DOMAIN_TYPE(), name, version, uintWord(chainId), addressWord(entryPoint)]));
}

/** A `uint256` member. */
export function uint256Word(value: bigint): Buffer {
  const hex = value.toString(16);
  if (value < 0n || hex.length > 64) throw new RangeError("a uint256 is 0 to 2^256-1");
  return Buffer.from(hex.padStart(64, "0"), "hex");
}

/** A user operation as the signer's body carries it: the packed form, numbers as quantities, everything lowercase hex. */
export function encodeUserOperation(operation: PackedUserOperation): Readonly<Record<string, string>> {
  const { nonce, preVerificationGas, ...rest } = operation;
  return { ...rest, nonce: quantity(nonce), preVerificationGas: quantity(preVerificationGas) };
}

const MEMBERS: ReadonlySet<string> = new Set([
  "sender",
  "nonce",
  "initCode",
  "callData",
  "accountGasLimits",
  "preVerificationGas",
  "gasFees",
  "paymasterAndData",
  "signature",
]);

/**
 * Reads that form: all members, `signature` alone may be missing (it is what is asked for, and no part of the hash),
 * and none beside them: the unpacked form of ERC-7769 or a member of a later version must not look understood.
 */
export function readUserOperation(value: JsonValue | undefined): PackedUserOperation | undefined {
  if (!isJsonObject(value) || Object.keys(value).some((member) => !MEMBERS.has(member))) return undefined;
  const { sender, initCode, callData, accountGasLimits, gasFees, paymasterAndData, signature = "0x" } = value;
  const nonce = readQuantity(value["nonce"]);
  const preVerificationGas = readQuantity(value["preVerificationGas"]);
  if (!isAddressHex(sender) || nonce === undefined || preVerificationGas === undefined) return undefined;
  if (!isBytesHex(initCode) || !isBytesHex(callData) || !isBytesHex(paymasterAndData)) return undefined;
  if (!isBytes32(accountGasLimits) || !isBytes32(gasFees) || !isBytesHex(signature)) return undefined;
  return {
    sender,
    nonce,
    initCode,
    callData,
    accountGasLimits,
    preVerificationGas,
    gasFees,
    paymasterAndData,
    signature,
  };
}

const QUANTITY = /^0x(?:0|[1-9a-f][0-9a-f]{0,63})$/;
const BYTES = /^0x[0-9a-f]*$/;

/** A uint256 without leading zeros. */
function readQuantity(value: JsonValue | undefined): bigint | undefined {
  return typeof value === "string" && QUANTITY.test(value) ? BigInt(value) : undefined;
}

function quantity(value: bigint): Hex {
  return `0x${value.toString(16)}`;
}

function isBytesHex(value: JsonValue | undefined): value is Hex {
  return typeof value === "string" && value.length % 2 === 0 && BYTES.test(value);
}

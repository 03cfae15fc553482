import type { Hex } from "./bytes";
import { keccak256 } from "./keccak";
import { addressOf, recoverAddress, signDigest } from "./secp256k1";

/** What an agent key answers: whose account, which key, and its signature. @see contracts note 2.5 */
export interface AgentSignature {
  /** The master account that the agent signs for; the operation's sender. */
  readonly account: Hex;
  /** The agent key's address. */
  readonly key: Hex;
  /** 65 bytes `r ‖ s ‖ v` over `eip191Digest` of the 32 bytes. */
  readonly signature: Hex;
}

/** First byte: the session validator checks it and never dispatches on it. */
const TAG = "08";
const LENGTH = 2 + 2 * (1 + 20 + 20 + 65);
const PREFIX = Buffer.from("\x19Ethereum Signed Message:\n32", "latin1");

/**
 * keccak256("\x19Ethereum Signed Message:\n32" ‖ 32 bytes). What is signed is never the 32 bytes themselves, so it is
 * neither a transaction, nor EIP-712 data, nor an EIP-7702 authorization. @see EIP-191, version 0x45
 */
export function eip191Digest(bytes32: Uint8Array): Buffer {
  if (bytes32.length !== 32) throw new RangeError("only 32 bytes are signed");
  return keccak256(Buffer.concat([PREFIX, bytes32]));
}

/** `0x08 ‖ account(20) ‖ key(20) ‖ r ‖ s ‖ v`, 106 bytes, over 32 bytes. `secret` stays the caller's to zero. */
export function signAsAgent(account: Hex, bytes32: Uint8Array, secret: Uint8Array): Hex {
  const signature = signDigest(eip191Digest(bytes32), secret);
  return encodeAgentSignature({ account, key: addressOf(secret), signature });
}

/** The 106 bytes. */
export function encodeAgentSignature({ account, key, signature }: AgentSignature): Hex {
  return `0x${TAG}${account.slice(2)}${key.slice(2)}${signature.slice(2)}`;
}

/** The members of 106 bytes, of which nothing but their places is known yet. */
export function readAgentSignature(value: unknown): AgentSignature | undefined {
  if (typeof value !== "string" || value.length !== LENGTH || !/^0x08[0-9a-f]*$/.test(value)) return undefined;
  const account: Hex = `0x${value.slice(4, 44)}`;
  const key: Hex = `0x${value.slice(44, 84)}`;
  return { account, key, signature: `0x${value.slice(84)}` };
}

/** True when these 106 bytes are the named key's signature over `bytes32`, for this account. */
export function isAgentSignature(
  value: unknown,
  expected: { readonly account: Hex; readonly key: Hex; readonly bytes32: Uint8Array },
): boolean {
  const read = readAgentSignature(value);
  if (read?.account !== expected.account || read.key !== expected.key) return false;
  return recoverAddress(eip191Digest(expected.bytes32), read.signature) === expected.key;
}

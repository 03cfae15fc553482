import { parseAbi } from "viem";
import {
  type SmartAccountImplementation,
  entryPoint07Abi,
  entryPoint08Abi,
  toPackedUserOperation,
} from "viem/account-abstraction";
import { readContract } from "viem/actions";

import type { Deployment } from "../chain/deployment";
import type { Hex } from "../wire/bytes";
import { type Failure, type Result } from "../wire/result";
import type { EntryPointVersion, PackedUserOperation } from "../wire/user-operation";

/** A smart account's implementation on the EntryPoints that the accounts are built for. */
export type Implementation = SmartAccountImplementation<
  typeof entryPoint07Abi | typeof entryPoint08Abi,
  EntryPointVersion,
  object,
  false
>;

/** A viem client that reads the chain of the deployment. */
export type ChainClient = Implementation["client"];

/** An operation as viem gives it to be signed. */
export type UnsignedOperation = Parameters<Implementation["signUserOperation"]>[0];

/** A refusal for a caller that expects exceptions, as viem's clients do. */
export class RefusalError extends Error {
  /** @param failure the same code and words that our own client returns as a value */
  constructor(readonly failure: Failure) {
    super(`${failure.code}: ${failure.detail}`);
    this.name = "RefusalError";
  }
}

/** The value, or the refusal as an exception. */
export function orThrow<T>(result: Result<T>): T {
  if (!result.ok) throw new RefusalError(result.failure);
  return result.value;
}

/** The deployment's EntryPoint in viem's words. */
export function viemEntryPoint({ entryPoint, entryPointVersion }: Deployment): Implementation["entryPoint"] {
  const abi = entryPointVersion === "0.7" ? entryPoint07Abi : entryPoint08Abi;
  return { abi, address: entryPoint, version: entryPointVersion };
}

const NONCE = parseAbi(["function getNonce(address sender, uint192 key) view returns (uint256)"]);

/**
 * Nonces with one key, which alone chooses who validates: viem's clients draw keys from a clock by default, and the
 * account refuses all but two.
 */
export function nonceOfKey(options: {
  readonly client: ChainClient;
  readonly entryPoint: Hex;
  readonly address: Hex;
  readonly key: bigint;
}): Required<Pick<Implementation, "getNonce" | "nonceKeyManager">> {
  const { client, entryPoint, address, key } = options;
  return {
    // asked only where the caller names no key; 0 stands for this account's own
    nonceKeyManager: { consume: zero, get: zero, increment: () => undefined, reset: () => undefined },
    async getNonce(parameters) {
      const asked = parameters?.key ?? 0n;
      if (asked !== 0n && asked !== key) throw new RangeError(`no nonce key but ${key} validates for this account`);
      return readContract(client, { abi: NONCE, address: entryPoint, functionName: "getNonce", args: [address, key] });
    },
  };
}

function zero(): Promise<number> {
  return Promise.resolve(0);
}

/** The hash that the EntryPoint itself computes. */
export function hashOnChain(client: ChainClient, entryPoint: Hex, operation: PackedUserOperation): Promise<Hex> {
  const call = { abi: entryPoint07Abi, address: entryPoint, functionName: "getUserOpHash", args: [operation] } as const;
  return readContract(client, call);
}

/** viem's operation in the packed form, lowercase, without its signature. */
export function packedOf(operation: UnsignedOperation, sender: Hex): PackedUserOperation {
  const packed = toPackedUserOperation({ ...operation, sender, signature: "0x" });
  return {
    sender: lower(packed.sender),
    nonce: packed.nonce,
    initCode: lower(packed.initCode),
    callData: lower(packed.callData),
    accountGasLimits: lower(packed.accountGasLimits),
    preVerificationGas: packed.preVerificationGas,
    gasFees: lower(packed.gasFees),
    paymasterAndData: lower(packed.paymasterAndData),
    signature: "0x",
  };
}

/** Hex in lower case, as everything of ours is. */
export function lower(hex: Hex): Hex {
  return hex.toLowerCase() as Hex;
}

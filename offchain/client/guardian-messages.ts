import { AbiCoder, type TypedDataDomain, TypedDataEncoder, type TypedDataField, keccak256 } from "ethers";

import type { Hex } from "../wire/bytes";
import type { ContractPasskey } from "./authenticator";

/** What guardians sign. Times are Unix seconds. @see contracts/interfaces/IAccountRecovery.sol */
export type GuardianMessage =
  | {
      readonly kind: "start";
      /** The account's only passkeys afterwards, in this order. */
      readonly newPasskeys: readonly ContractPasskey[];
      readonly recoveryNonce: number;
      readonly notBefore: number;
    }
  | { readonly kind: "cancel"; readonly recoveryNonce: number }
  | { readonly kind: "cancel-change"; readonly change: Hex; readonly readyAt: number };

/** A message, and the one place where its signatures count. Addresses lowercase. */
export interface GuardianRequest {
  readonly chainId: number;
  /** AccountRecovery. */
  readonly recovery: Hex;
  readonly account: Hex;
  readonly message: GuardianMessage;
}

const PASSKEY = "tuple(bytes32 credIdHash, bytes32 rpIdHash, bytes32 x, bytes32 y)";

const field = (type: string, name: string): TypedDataField => ({ type, name });
const ACCOUNT = field("address", "account");
const TYPES: Readonly<Record<GuardianMessage["kind"], Readonly<Record<string, readonly TypedDataField[]>>>> = {
  start: {
    Recover: [
      ACCOUNT,
      field("bytes32", "newPasskeysHash"),
      field("uint64", "recoveryNonce"),
      field("uint64", "notBefore"),
    ],
  },
  cancel: { CancelRecovery: [ACCOUNT, field("uint64", "recoveryNonce")] },
  "cancel-change": { CancelChange: [ACCOUNT, field("bytes32", "change"), field("uint64", "readyAt")] },
};

/** keccak256(abi.encode(Passkey[])), as the contract's `hashPasskeys`. */
export function hashPasskeys(passkeys: readonly ContractPasskey[]): Hex {
  return hashOf([`${PASSKEY}[]`], [passkeys]);
}

/** The change that another configuration is, as the contract's `configurationId`. */
export function configurationId({ guardians, threshold, delay }: Configuration): Hex {
  return hashOf(["bytes[]", "uint8", "uint32"], [guardians, threshold, delay]);
}

/** The change that the end of a passkey is, as the contract's `removalId`. */
export function removalId(credIdHash: Hex): Hex {
  return hashOf(["bytes32"], [credIdHash]);
}

/** Guardians, how many of them must sign, and the delay in seconds; nothing and zeros while off. */
export interface Configuration {
  /** ERC-7913 signers: an address, or verifier ‖ key. Lowercase. */
  readonly guardians: readonly Hex[];
  readonly threshold: number;
  readonly delay: number;
}

/** A passkey as a guardian, ERC-7913: WebAuthnGuardian's address ‖ x ‖ y. */
export function passkeyGuardian(verifier: Hex, { x, y }: { readonly x: Hex; readonly y: Hex }): Hex {
  return `${verifier}${x.slice(2)}${y.slice(2)}`;
}

/** The EIP-712 digest that guardians sign, as the contract computes it. */
export function guardianDigest(request: GuardianRequest): Hex {
  const { domain, types, value } = typedDataOf(request);
  return TypedDataEncoder.hash(domain, types, value) as Hex;
}

/** The EIP-712 typed data, for wallets that sign it themselves. */
export function typedDataOf({ chainId, recovery, account, message }: GuardianRequest): {
  readonly domain: TypedDataDomain;
  readonly types: Record<string, TypedDataField[]>;
  readonly value: Record<string, unknown>;
} {
  const types = Object.entries(TYPES[message.kind]).map(
    ([name, fields]) => [name, [...fields]] satisfies [string, TypedDataField[]],
  );
  const rest =
    message.kind === "start" ? { ...message, newPasskeysHash: hashPasskeys(message.newPasskeys) } : { ...message };
  return {
    domain: { name: "AgentKeys", version: "2", chainId, verifyingContract: recovery },
    types: Object.fromEntries(types),
    value: { account, ...rest },
  };
}

/** What a guardian's signature allows, one line each, for the guardian's eyes. */
export function describeRequest({ chainId, recovery, account, message }: GuardianRequest): readonly string[] {
  const where = `on chain ${chainId}, AccountRecovery ${recovery}`;
  const at = (seconds: number): string => new Date(seconds * 1_000).toISOString();
  switch (message.kind) {
    case "start":
      return [
        `Recover(account: ${account}, recoveryNonce: ${message.recoveryNonce}) ${where}`,
        `from ${at(message.notBefore)} on, every passkey of the account ends and these take their place:`,
        ...message.newPasskeys.map(({ credIdHash, x, y }) => `passkey ${credIdHash}, x ${x}, y ${y}`),
      ];
    case "cancel":
      return [`CancelRecovery(account: ${account}, recoveryNonce: ${message.recoveryNonce}) ${where}`];
    case "cancel-change":
      return [
        `CancelChange(account: ${account}, change: ${message.change}) ${where}`,
        `it could take effect from ${at(message.readyAt)} on`,
      ];
  }
}

function hashOf(types: readonly string[], values: readonly unknown[]): Hex {
  return keccak256(AbiCoder.defaultAbiCoder().encode(types, values)) as Hex;
}

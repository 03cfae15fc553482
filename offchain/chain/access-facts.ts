import { IScopeRegistry__factory } from "../../typechain-types";
import { type Hex, fromHex } from "../wire/bytes";
import { DATA_CLASS_ID, type DataClass, serviceHash } from "../wire/names";
import type { Head } from "./head";

/** What one decision asks the chain. */
export interface AccessQuery {
  readonly deviceKeyHash: Hex;
  readonly operatorOmni: Hex;
  readonly actorOmni: Hex;
  readonly dataClass: DataClass;
  /** The service's name, not its hash. */
  readonly service: string;
}

/** How the device stands to the actor. */
export type Binding = "none" | "self" | "parent";

/** Everything that protocol 3.5 decides by, read at one block. @see contracts/interfaces/IScopeRegistry.sol */
export interface AccessFacts {
  /** 1. */
  readonly version: number;
  readonly deviceRegistered: boolean;
  /** Not revoked, its generation included. */
  readonly deviceNotRevoked: boolean;
  /** Of the device's own operator. */
  readonly operatorNotFrozen: boolean;
  /** The device has CAP_MINT. */
  readonly deviceMayMint: boolean;
  readonly binding: Binding;
  /** The device's own actor is the operator, and it asks for just that actor: no grant is needed. */
  readonly isOperatorSelf: boolean;
  /** Bitmap STORE 1 | FETCH 2 | TEARDOWN 4 | CLASSIFY 8, 0 without a grant. */
  readonly grantOps: number;
  /** Unix seconds, covers times strictly before; 0 without a grant. */
  readonly grantValidUntil: number;
  /** The current K3 epoch, from 1. */
  readonly k3Epoch: number;
  /** Unix seconds. */
  readonly blockTime: number;
  readonly chainId: number;
  readonly blockHash: Hex;
  readonly blockNumber: number;
}

const SCOPE_REGISTRY = IScopeRegistry__factory.createInterface();
const BINDINGS: readonly Binding[] = ["none", "self", "parent"];
const WORDS = 12;
const ANSWER = new RegExp(`^0x[0-9a-f]{${WORDS * 64}}$`);

/** Calldata of `checkAccess` for a query. */
export function encodeCheckAccess(query: AccessQuery): Hex {
  return SCOPE_REGISTRY.encodeFunctionData("checkAccess", [
    query.deviceKeyHash,
    query.operatorOmni,
    query.actorOmni,
    DATA_CLASS_ID[query.dataClass],
    serviceHash(query.service),
  ]) as Hex;
}

/**
 * The answer's words, read strictly: exactly twelve, version 1, booleans 0 or 1, numbers below 2⁵³, this chain and
 * this block's time. ABI decoders forgive dirty words; a decision must not.
 * @returns undefined for anything else
 */
export function decodeAccessFacts(answer: Hex, head: Head, chainId: number): AccessFacts | undefined {
  if (!ANSWER.test(answer)) return undefined;
  const bytes = fromHex(answer);
  const numbers: number[] = [];
  for (let i = 0; i < WORDS; i += 1) {
    const word = wordAsNumber(bytes, i * 32);
    if (word === undefined) return undefined;
    numbers.push(word);
  }
  const [version, registered, notRevoked, notFrozen, mayMint, binding, self, ops, until, epoch, time, chain] =
    numbers as Twelve;
  const bindingName = BINDINGS[binding];
  const areBooleans = [registered, notRevoked, notFrozen, mayMint, self].every((word) => word <= 1);
  if (version !== 1 || !areBooleans || bindingName === undefined || ops > 0xff) return undefined;
  if (time !== head.timestamp || chain !== chainId) return undefined;
  return {
    version,
    deviceRegistered: registered === 1,
    deviceNotRevoked: notRevoked === 1,
    operatorNotFrozen: notFrozen === 1,
    deviceMayMint: mayMint === 1,
    binding: bindingName,
    isOperatorSelf: self === 1,
    grantOps: ops,
    grantValidUntil: until,
    k3Epoch: epoch,
    blockTime: time,
    chainId: chain,
    blockHash: head.hash,
    blockNumber: head.number,
  };
}

type Twelve = [number, number, number, number, number, number, number, number, number, number, number, number];

function wordAsNumber(bytes: Buffer, at: number): number | undefined {
  for (let i = at; i < at + 24; i += 1) if (bytes[i] !== 0) return undefined;
  const value = bytes.readBigUInt64BE(at + 24);
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}

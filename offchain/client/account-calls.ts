import { AbiCoder, Interface, type ParamType, getAddress } from "ethers";

import type { KnownContract } from "../chain/known-contracts";
import type { Hex } from "../wire/bytes";

/** One call that the master account makes. */
export interface AccountCall {
  /** Lowercase. */
  readonly to: Hex;
  /** Wei. */
  readonly value: bigint;
  readonly data: Hex;
}

const ACCOUNT = new Interface(["function execute(bytes32 mode, bytes executionData)"]);
const SINGLE: Hex = `0x${"00".repeat(32)}`;
const BATCH: Hex = `0x01${"00".repeat(31)}`;
const CALLS = "tuple(address to, uint256 value, bytes data)[]";

/** The account's calldata for one call (ERC-7579 single mode, the cheaper one) or several (ERC-7821 batch). */
export function encodeExecute(calls: readonly AccountCall[]): Hex {
  const [first] = calls;
  if (first === undefined) throw new RangeError("an operation makes at least one call");
  const isSingle = calls.length === 1;
  const executionData = isSingle
    ? `0x${first.to.slice(2)}${first.value.toString(16).padStart(64, "0")}${first.data.slice(2)}`
    : AbiCoder.defaultAbiCoder().encode([CALLS], [calls]);
  return ACCOUNT.encodeFunctionData("execute", [isSingle ? SINGLE : BATCH, executionData]) as Hex;
}

/** The calls that this calldata makes the account do; undefined for any calldata that is not exactly our own encoding. */
export function decodeExecute(callData: Hex): readonly AccountCall[] | undefined {
  try {
    const [mode, executionData] = ACCOUNT.decodeFunctionData("execute", callData) as unknown as [Hex, Hex];
    const calls = mode === SINGLE ? [decodeSingle(executionData)] : mode === BATCH ? decodeBatch(executionData) : [];
    return calls.length > 0 && encodeExecute(calls) === callData ? calls : undefined;
  } catch {
    return undefined; // ethers throws for calldata that is cut short or points outside of itself
  }
}

function decodeSingle(data: Hex): AccountCall {
  return {
    to: data.slice(0, 42).toLowerCase() as Hex,
    value: BigInt(`0x${data.slice(42, 106)}`),
    data: `0x${data.slice(106)}`,
  };
}

function decodeBatch(data: Hex): readonly AccountCall[] {
  const [calls] = AbiCoder.defaultAbiCoder().decode([CALLS], data) as unknown as [
    readonly { readonly to: string; readonly value: bigint; readonly data: Hex }[],
  ];
  return calls.map(({ to, value, data: inner }) => ({ to: to.toLowerCase() as Hex, value, data: inner }));
}

/**
 * One line per call, for the owner's eyes: contract, function, and every argument by name; raw data where unknown.
 * @param glossary words for hashes that the caller has computed itself, such as a service for its hash
 */
export function describeCalls(
  calls: readonly AccountCall[],
  known: readonly KnownContract[],
  glossary: ReadonlyMap<Hex, string> = new Map(),
): readonly string[] {
  return calls.map(({ to, value, data }) => {
    const contract = known.find(({ address }) => address === to);
    const call = contract?.abi.parseTransaction({ data });
    const ether = value === 0n ? "" : ` sending ${value} wei`;
    if (contract === undefined || call === null || call === undefined) {
      return `unknown contract ${getAddress(to)}: ${data}${ether}`;
    }
    const words = call.fragment.inputs.map((type, i) => `${type.name}: ${inWords(type, call.args[i], glossary)}`);
    return `${contract.name}.${call.name}(${words.join(", ")})${ether}`;
  });
}

function inWords(type: ParamType, value: unknown, glossary: ReadonlyMap<Hex, string>): string {
  const items = value as readonly unknown[];
  if (type.arrayChildren !== null) {
    const child = type.arrayChildren;
    return `[${items.map((item) => inWords(child, item, glossary)).join(", ")}]`;
  }
  if (type.components !== null) {
    const words = type.components.map((member, i) => `${member.name}: ${inWords(member, items[i], glossary)}`);
    return `{${words.join(", ")}}`;
  }
  const text = String(value);
  const word = glossary.get(text as Hex);
  return word === undefined ? text : `${word} (${text})`;
}

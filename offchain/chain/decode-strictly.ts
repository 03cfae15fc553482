import type { Interface, Result as AbiResult } from "ethers";

import type { Hex } from "../wire/bytes";

/** Decodes what a view returned, or undefined where encoding the values again gives other bytes: no dirty words, no tail. */
export function decodeStrictly(contract: Interface, view: string, answer: Hex): AbiResult | undefined {
  try {
    const values = contract.decodeFunctionResult(view, answer);
    return contract.encodeFunctionResult(view, values) === answer ? values : undefined;
  } catch {
    return undefined; // ethers throws for answers that are too short or out of range
  }
}

/** A decoded unsigned integer as a number, or undefined above 2⁵³−1. */
export function safeNumber(value: bigint): number | undefined {
  return value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : undefined;
}

import { IK3EpochCounter__factory } from "../../typechain-types";
import type { Hex } from "../wire/bytes";
import { decodeStrictly, safeNumber } from "./decode-strictly";

const EPOCH_COUNTER = IK3EpochCounter__factory.createInterface();

/** Calldata of `commitmentOf`. */
export function encodeCommitmentOf(epoch: number): Hex {
  return EPOCH_COUNTER.encodeFunctionData("commitmentOf", [epoch]) as Hex;
}

/** The commitment, zero for an epoch that is not yet; undefined for an answer that is none. */
export function decodeCommitment(answer: Hex): Hex | undefined {
  return decodeStrictly(EPOCH_COUNTER, "commitmentOf", answer)?.[0] as Hex | undefined;
}

/** Calldata of `currentEpoch`. */
export function encodeCurrentEpoch(): Hex {
  return EPOCH_COUNTER.encodeFunctionData("currentEpoch") as Hex;
}

/** The current epoch, from 1; undefined for an answer that is none. */
export function decodeEpoch(answer: Hex): number | undefined {
  const epoch = decodeStrictly(EPOCH_COUNTER, "currentEpoch", answer)?.[0] as bigint | undefined;
  return epoch === undefined || epoch === 0n ? undefined : safeNumber(epoch);
}

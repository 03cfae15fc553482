import type { Hex } from "../wire/bytes";
import { type Result, refuse } from "../wire/result";
import type { ChainReader } from "./reader";

/** Heads that may come while the reads are under way before it is given up. */
const TRIES = 4;

/**
 * Reads again until all reads of one decision were made at one head. Heads never go back, so the same one before and
 * after means that it was the same in between. What a read refuses is answered as it is. @see protocol 3.5
 * @param blockOf hash of the block that the answer itself names, where it names one
 * @returns `chain_unavailable` where the head does not rest
 */
export async function atOneHead<T>(
  chain: Pick<ChainReader, "head">,
  read: () => Promise<Result<T>>,
  blockOf?: (value: T) => Hex,
): Promise<Result<T>> {
  for (let tries = 0; tries < TRIES; tries += 1) {
    const before = chain.head()?.hash;
    const answer = await read();
    if (!answer.ok) return answer;
    const isOne = before !== undefined && before === chain.head()?.hash;
    if (isOne && (blockOf === undefined || blockOf(answer.value) === before)) return answer;
  }
  return refuse("chain_unavailable", "The chain cannot be asked: its head moves faster than it answers.");
}

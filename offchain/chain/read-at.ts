import { setTimeout as sleep } from "node:timers/promises";

import type { Hex } from "../wire/bytes";
import type { AgreedHead } from "./followed-head";
import { type Endpoint, type Head, wordsFor } from "./head";
import { RpcAnswerError } from "./rpc";

/** A read whose last parameter is the block: `eth_call` or `eth_getCode`. */
export interface BlockRead {
  readonly method: "eth_call" | "eth_getCode";
  /** Everything before the block parameter. */
  readonly params: readonly unknown[];
}

// together the time that a laggard is waited for; undefined: no further try
const PAUSES_MS = [50, 100, 200, 400, 700, undefined];
// reverted; no such method; over the provider's limit
const FINAL_CODES: ReadonlySet<number> = new Set([3, -32601, -32005]);
const DATA = /^0x([0-9a-f]{2})*$/;

/**
 * The answer of every endpoint that serves the head, at exactly that block (EIP-1898, canonical only). `quorum` of them
 * must answer, and no two answers may differ in a byte.
 * @returns the answer, or in words why there is none together with the endpoints to suspect
 */
export async function readAt(
  agreed: AgreedHead,
  quorum: number,
  read: BlockRead,
): Promise<{ readonly answer: Hex } | { readonly words: string; readonly failed: readonly Endpoint[] }> {
  const replies = await Promise.all(
    agreed.servers.map(async (endpoint) => ({ endpoint, reply: await readOne(endpoint, agreed.head, read) })),
  );
  const answers = replies.flatMap(({ reply }) => ("answer" in reply ? [reply.answer] : []));
  const failed = replies.flatMap(({ endpoint, reply }) => ("words" in reply ? [endpoint] : []));
  const [first] = answers;
  if (first === undefined || answers.length < quorum) {
    const words = replies.flatMap(({ reply }) => ("words" in reply ? [reply.words] : []));
    return { words: words.join("; "), failed };
  }
  if (answers.some((answer) => answer !== first)) return { words: "the RPCs answer differently", failed };
  return { answer: first };
}

type Reply = { readonly answer: Hex } | { readonly words: string };

/**
 * Behind a balancer, the node that answers may not have the block that another node announced, and how it says so
 * differs by client: so the question is put again, a few times and ever more slowly, to whichever node comes next.
 */
async function readOne(endpoint: Endpoint, head: Head, read: BlockRead): Promise<Reply> {
  const params = [...read.params, { blockHash: head.hash, requireCanonical: true }];
  for (const pause of PAUSES_MS) {
    try {
      const answer = await endpoint.rpc.call(read.method, params);
      if (typeof answer === "string" && DATA.test(answer)) return { answer: answer as Hex };
      return { words: `RPC ${endpoint.index} answered with something that is no data` };
    } catch (error) {
      const words = wordsFor(error, endpoint.index);
      const mayLackBlock = error instanceof RpcAnswerError && !FINAL_CODES.has(error.rpcCode);
      if (!mayLackBlock || pause === undefined) return { words };
      await sleep(pause);
    }
  }
  throw new Error("the last pause is undefined");
}

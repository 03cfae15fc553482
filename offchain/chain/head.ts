import { performance } from "node:perf_hooks";

import { type Hex, isBytes32 } from "../wire/bytes";
import type { ChainProfile } from "./profiles";
import { type Rpc, RpcAnswerError, RpcTransportError } from "./rpc";

/** The block that decisions are made at. */
export interface Head {
  readonly number: number;
  readonly hash: Hex;
  /** Unix seconds. */
  readonly timestamp: number;
}

/** A head as one endpoint reported it. */
export interface ReportedHead {
  readonly head: Head;
  /** `performance.now()` when the question was sent: what it says is at least as new as that. */
  readonly askedAt: number;
}

/** One endpoint whose head is asked for. */
export interface Endpoint {
  /** Position in the configuration, from 1: how log lines and details name it, since a URL may hold a key. */
  readonly index: number;
  readonly rpc: Rpc;
  /** The newest head, or why there is none, in words without a URL. */
  newest(): Promise<ReportedHead | string>;
  /** True when the node has that block. */
  has(hash: Hex): Promise<boolean>;
}

/** An endpoint that must be on this chain: its id is asked again whenever its head has moved. */
export function endpoint(rpc: Rpc, index: number, chainId: number, profile: ChainProfile): Endpoint {
  let last: Head | undefined;

  async function ask(): Promise<ReportedHead | string> {
    const askedAt = performance.now();
    try {
      const head = parseBlock(await rpc.call("eth_getBlockByNumber", [profile.headTag, false]));
      if (head === undefined) return `RPC ${index} answered with something that is no block`;
      if (head.hash !== last?.hash) {
        const id = await rpc.call("eth_chainId", []);
        if (id !== `0x${chainId.toString(16)}`) {
          last = undefined;
          return `RPC ${index} serves another chain than ${chainId}`;
        }
        last = head;
      }
      return { head, askedAt };
    } catch (error) {
      last = undefined;
      return wordsFor(error, index);
    }
  }

  return {
    index,
    rpc,
    newest: shared(ask),
    async has(hash) {
      try {
        return parseBlock(await rpc.call("eth_getBlockByHash", [hash, false]))?.hash === hash;
      } catch (error) {
        wordsFor(error, index);
        return false;
      }
    },
  };
}

/** What went wrong with a call, without a URL; rethrows what is a bug of ours. */
export function wordsFor(error: unknown, index: number): string {
  if (error instanceof RpcTransportError) return `RPC ${index}: ${error.message}`;
  if (error instanceof RpcAnswerError) return `RPC ${index} answered with JSON-RPC error ${error.rpcCode}`;
  throw error;
}

/** Callers that ask while a run is under way get that run's answer. */
export function shared<T>(run: () => Promise<T>): () => Promise<T> {
  let running: Promise<T> | undefined;
  return () =>
    (running ??= run().finally(() => {
      running = undefined;
    }));
}

function parseBlock(value: unknown): Head | undefined {
  if (typeof value !== "object" || value === null) return undefined;
  const { number, hash, timestamp } = value as Record<string, unknown>;
  const height = quantity(number);
  const time = quantity(timestamp);
  if (height === undefined || time === undefined || !isBytes32(hash)) return undefined;
  return { number: height, hash, timestamp: time };
}

function quantity(value: unknown): number | undefined {
  if (typeof value !== "string" || !/^0x[0-9a-f]{1,14}$/.test(value)) return undefined;
  const number = Number(value);
  return Number.isSafeInteger(number) ? number : undefined;
}

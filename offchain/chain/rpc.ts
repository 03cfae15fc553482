import { performance } from "node:perf_hooks";

import { Pool } from "undici";

/** The call never got an answer: no connection, a cut one, HTTP trouble, or the deadline passed. */
export class RpcTransportError extends Error {
  override readonly name = "RpcTransportError";
}

/** The node answered with a JSON-RPC error. Never retried: the node has spoken. */
export class RpcAnswerError extends Error {
  override readonly name = "RpcAnswerError";

  constructor(
    /** JSON-RPC error code; 3 is "execution reverted" by convention. */
    readonly rpcCode: number,
    message: string,
  ) {
    super(message);
  }
}

/** One JSON-RPC endpoint, for idempotent reads only. */
export interface Rpc {
  /**
   * @returns the `result` member
   * @throws RpcTransportError after the deadline or a second transport error, RpcAnswerError at once
   */
  call(method: string, params: readonly unknown[]): Promise<unknown>;
  close(): Promise<void>;
}

const MAX_ANSWER_BYTES = 8 * 1024 * 1024;

/**
 * Plain JSON-RPC over HTTP, one answer per call. Not ethers' provider: the quorum compares the raw words that each
 * node sent, and a reader must not cache or batch behind the caller's back.
 * @param deadlineMs for a call with its one retry together
 */
export function httpRpc(url: string, deadlineMs = 2_000): Rpc {
  const { origin, pathname, search, username, password } = new URL(url);
  const pool = new Pool(origin, { connections: 32, pipelining: 1 });
  const headers: Record<string, string> = { "content-type": "application/json" };
  if (username !== "") {
    const userinfo = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
    headers["authorization"] = `Basic ${Buffer.from(userinfo).toString("base64")}`;
  }
  let lastId = 0;

  async function once(body: string, id: number, signal: AbortSignal): Promise<unknown> {
    let text: string;
    try {
      const answer = await pool.request({ path: pathname + search, method: "POST", headers, body, signal });
      if (answer.statusCode !== 200 && answer.statusCode !== 400) {
        await answer.body.dump();
        throw new RpcTransportError(`HTTP status ${answer.statusCode}`);
      }
      text = await readText(answer.body);
    } catch (error) {
      if (error instanceof RpcTransportError) throw error;
      throw new RpcTransportError(signal.aborted ? "no answer in time" : "no connection", { cause: error });
    }
    return resultOf(text, id);
  }

  return {
    async call(method, params) {
      const id = (lastId += 1);
      const body = JSON.stringify({ jsonrpc: "2.0", id, method, params });
      const signal = AbortSignal.timeout(deadlineMs);
      const started = performance.now();
      try {
        return await once(body, id, signal);
      } catch (error) {
        const isWorthIt = error instanceof RpcTransportError && performance.now() - started < deadlineMs;
        if (!isWorthIt || signal.aborted) throw error;
        return await once(body, id, signal);
      }
    },
    close: () => pool.destroy(),
  };
}

async function readText(body: AsyncIterable<Buffer>): Promise<string> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > MAX_ANSWER_BYTES) throw new RpcTransportError("the answer is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function resultOf(text: string, id: number): unknown {
  const answer = jsonObject(text);
  if (answer?.["id"] !== id) throw new RpcTransportError("the answer is not JSON-RPC");
  const error = answer["error"];
  if (typeof error === "object" && error !== null) {
    const { code, message } = error as { code?: unknown; message?: unknown };
    throw new RpcAnswerError(typeof code === "number" ? code : 0, typeof message === "string" ? message : "");
  }
  if (!("result" in answer)) throw new RpcTransportError("the answer is not JSON-RPC");
  return answer["result"];
}

// JSON-RPC answers hold null, negative numbers and fractions, so they are not a text of our own protocol.
function jsonObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

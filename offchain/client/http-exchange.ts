import { Agent, request } from "undici";

import { readJsonObject } from "../wire/json";
import { isProblemCode } from "../wire/problem";
import { type Result, failure, isFailureReason, ok, refuse } from "../wire/result";

/** Milliseconds for one whole exchange; the vault and the chain behind a worker have 10,000 each. */
const TIMEOUT_MS = 30_000;
/** Largest answer that is read: 1 MiB of plaintext, encoded twice, with room. */
const MAX_ANSWER_BYTES = 4 * 1024 * 1024;

/** POSTs to one service; redirects are not followed. */
export interface Exchange {
  /** The body of a 200, the service's own refusal, or `unreachable` when there was no whole answer. */
  post(url: string, body: string, headers?: Readonly<Record<string, string>>): Promise<Result<Buffer> | "unreachable">;
  close(): Promise<void>;
}

/** Over kept-alive connections; `ca` in place of the system's roots. */
export function httpExchange(ca?: string | Buffer, timeoutMs = TIMEOUT_MS): Exchange {
  const connect = ca === undefined ? {} : { ca };
  const dispatcher = new Agent({ connect });
  return {
    async post(url, body, headers = {}) {
      try {
        const answer = await request(url, {
          method: "POST",
          headers: { "content-type": "application/json", ...headers },
          body,
          dispatcher,
          // of the whole: a server that sends a byte now and then is no answer either
          signal: AbortSignal.timeout(timeoutMs),
        });
        const chunks: Buffer[] = [];
        let size = 0;
        for await (const chunk of answer.body as AsyncIterable<Buffer>) {
          size += chunk.length;
          if (size > MAX_ANSWER_BYTES) return "unreachable";
          chunks.push(chunk);
        }
        const bytes = Buffer.concat(chunks, size);
        return answer.statusCode === 200 ? ok(bytes) : refusalIn(bytes, answer.statusCode);
      } catch {
        return "unreachable";
      }
    },
    close: () => dispatcher.close(),
  };
}

function refusalIn(bytes: Buffer, status: number): Result<never> {
  const read = readJsonObject(bytes);
  if (!read.ok || !isProblemCode(read.value["code"])) {
    // 502 to 504 come from what stands before a service that is down
    const code = status > 500 ? "upstream_unavailable" : "internal_error";
    return refuse(code, `The service answered ${String(status)} without a problem document.`);
  }
  const { code, detail, reason } = read.value;
  const why = isFailureReason(reason) ? reason : undefined;
  const words = typeof detail === "string" ? detail : "The service gave no detail.";
  return { ok: false, failure: failure(code, words, why) };
}

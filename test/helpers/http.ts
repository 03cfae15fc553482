import { type Dispatcher, request } from "undici";

/** An answer read whole. `json` is undefined where the body is no JSON object. */
export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
  readonly json: Readonly<Record<string, unknown>> | undefined;
  /** `code` of a problem document. */
  readonly code: string | undefined;
  readonly reason: string | undefined;
}

/** POSTs exactly these bytes with exactly these headers. */
export async function post(
  url: string,
  body: string | Buffer,
  headers: Readonly<Record<string, string>> = {},
  dispatcher?: Dispatcher,
): Promise<Answer> {
  const response = await request(url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body,
    ...(dispatcher === undefined ? {} : { dispatcher }),
  });
  return answerOf(response);
}

/** Reads an answer whole. */
export async function answerOf(response: Dispatcher.ResponseData): Promise<Answer> {
  const bytes = Buffer.from(await response.body.arrayBuffer());
  let json: Record<string, unknown> | undefined;
  try {
    json = JSON.parse(bytes.toString()) as Record<string, unknown>;
  } catch {
    json = undefined;
  }
  const text = (member: string): string | undefined => (typeof json?.[member] === "string" ? json[member] : undefined);
  return {
    status: response.statusCode,
    headers: response.headers,
    body: bytes,
    json,
    code: text("code"),
    reason: text("reason"),
  };
}

/** Headers of a redemption. */
export function redeemHeaders(cap: string, proof: string): Record<string, string> {
  return { authorization: `AgentKeys ${cap}`, "agentkeys-proof": proof };
}

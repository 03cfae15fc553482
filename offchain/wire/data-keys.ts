import { type Hex, fromBase64url, isBytes32 } from "./bytes";
import { readJsonObject } from "./json";
import { type Result, ok, refuse } from "./result";

/** The vault's one route for workers. @see protocol 3.7 */
export const DATA_KEYS_PATH = "/v1/data-keys";

/**
 * What a worker passes on so that the vault can decide by itself: the device's own words and the object's header.
 * fetch: `header` and `encrypted_key` as read. store: `header` as it will be written. rotate: `header` and
 * `encrypted_key` as read, `next_header` as it will be written.
 */
export interface DataKeysRequest {
  /** The cap, compact JWS. */
  readonly cap: string;
  /** The value of the `AgentKeys-Proof` header as the worker received it. */
  readonly proof: string;
  readonly method: string;
  /** The worker's public target that the device signed. */
  readonly target: string;
  /** SHA-256 of the body that the worker received. */
  readonly body_hash: Hex;
  /** base64url of the protected header. */
  readonly header: string;
  /** base64url of the wrapped content key; fetch and rotate. */
  readonly encrypted_key?: string;
  /** rotate only. */
  readonly next_header?: string;
}

/** The content key of the one version that the request reads or writes; rotate also gives the one it replaces. */
export interface DataKeysAnswer {
  /** base64url, 64 bytes. */
  readonly content_key: string;
  /** base64url, 72 bytes: the content key wrapped by A256KW (RFC 3394). */
  readonly encrypted_key: string;
  /** base64url, 64 bytes; rotate only. */
  readonly previous_content_key?: string;
}

/** Reads the request's form: `request_malformed`. Which members an operation needs is decided later. */
export function parseDataKeysRequest(body: Uint8Array): Result<DataKeysRequest> {
  const read = readJsonObject(body);
  if (!read.ok) return read;
  const { cap, proof, method, target, body_hash, header, encrypted_key, next_header } = read.value;
  if (typeof cap !== "string" || typeof proof !== "string") return malformed("cap or proof");
  if (typeof method !== "string" || typeof target !== "string") return malformed("method or target");
  if (!isBytes32(body_hash)) return malformed("body_hash");
  if (typeof header !== "string") return malformed("header");
  if (encrypted_key !== undefined && typeof encrypted_key !== "string") return malformed("encrypted_key");
  if (next_header !== undefined && typeof next_header !== "string") return malformed("next_header");
  return ok({
    cap,
    proof,
    method,
    target,
    body_hash,
    header,
    ...(encrypted_key === undefined ? {} : { encrypted_key }),
    ...(next_header === undefined ? {} : { next_header }),
  });
}

/** Reads the answer, or undefined where it is none. */
export function parseDataKeysAnswer(body: Uint8Array): DataKeysAnswer | undefined {
  const read = readJsonObject(body);
  if (!read.ok) return undefined;
  const { content_key, encrypted_key, previous_content_key } = read.value;
  if (fromBase64url(content_key)?.length !== 64 || fromBase64url(encrypted_key)?.length !== 72) return undefined;
  const answer = { content_key: content_key as string, encrypted_key: encrypted_key as string };
  if (previous_content_key === undefined) return answer;
  if (fromBase64url(previous_content_key)?.length !== 64) return undefined;
  return { ...answer, previous_content_key: previous_content_key as string };
}

function malformed(member: string): Result<never> {
  return refuse("request_malformed", `The member ${member} is missing or has the wrong form.`);
}

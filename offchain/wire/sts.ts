import { type DataClass, isDataClass } from "./names";
import { isWholeNumber, readJsonObject } from "./json";
import { type Result, ok, refuse } from "./result";

/** The vault's route for the broker. @see protocol 3.7 */
export const STS_CREDENTIALS_PATH = "/v1/sts-credentials";

/** Seconds that a token lives. */
export const STS_TOKEN_SECONDS = 300;

/** The session tag that a bucket's policy compares with the object's path. */
export const ACTOR_TAG = "agentkeys_actor_omni";

/** A device's route at the broker and the class that it fixes. */
export interface StsRoute {
  readonly path: string;
  readonly dataClass: DataClass;
}

/** `POST {broker}/v1/sts/{class}`, body empty or `{}`, with a proof and no credential. */
export const STS_ROUTES: readonly StsRoute[] = (["credentials", "memory", "config"] as const).map((dataClass) => ({
  path: `/v1/sts/${dataClass}`,
  dataClass,
}));

/** The device's own words as the broker received them. */
export interface StsRequest {
  /** The value of the `AgentKeys-Proof` header. */
  readonly proof: string;
  readonly method: string;
  /** The broker's public target that the device signed. */
  readonly target: string;
  /** The exact text of the body. */
  readonly body: string;
}

/** The answer to broker and device alike. */
export interface StsAnswer {
  /** An OIDC token by K2, compact JWS. */
  readonly token: string;
  /** Unix seconds. */
  readonly expires_at: number;
}

/** The audience of a class's tokens. */
export function stsAudience(dataClass: DataClass): string {
  if (!isDataClass(dataClass)) throw new RangeError("no such class");
  return `agentkeys:sts:${dataClass}`;
}

/** Reads the broker's words: `request_malformed`. */
export function parseStsRequest(bytes: Uint8Array): Result<StsRequest> {
  const read = readJsonObject(bytes);
  if (!read.ok) return read;
  const { proof, method, target, body } = read.value;
  if (typeof proof !== "string" || typeof method !== "string" || typeof target !== "string") return malformed();
  return typeof body === "string" ? ok({ proof, method, target, body }) : malformed();
}

/** Reads an answer; undefined when it is none. */
export function parseStsAnswer(bytes: Uint8Array): StsAnswer | undefined {
  const read = readJsonObject(bytes);
  if (!read.ok) return undefined;
  const { token, expires_at } = read.value;
  return typeof token === "string" && isWholeNumber(expires_at) ? { token, expires_at } : undefined;
}

function malformed(): Result<never> {
  return refuse("request_malformed", "One of proof, method, target and body is missing or no text.");
}

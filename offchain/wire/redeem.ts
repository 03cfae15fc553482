import { type Hex, fromBase64url, isBytes32, toBase64url } from "./bytes";
import { isWholeNumber, readJsonObject } from "./json";
import type { DataClass, Op } from "./names";
import { type Result, ok, refuse } from "./result";
import { type StoredBy, parseStoredBy } from "./stored-by";

/** Largest plaintext of a store. */
export const MAX_PLAINTEXT_BYTES = 1024 * 1024;

/** `info` prefixes of the two HPKE uses. @see protocol 3.4 */
export const REPLY_INFO = "agentkeys-reply-v2";
export const STORE_INFO = "agentkeys-store-v2";

/** One route of a worker and what it must be redeemed with. */
export interface RedeemRoute {
  readonly path: string;
  readonly op: Op;
  /** Undefined for the routes of `classify`. */
  readonly dataClass: DataClass | undefined;
}

/** Every route of every worker. @see protocol 3.4 */
export const REDEEM_ROUTES: readonly RedeemRoute[] = [
  { path: "/v1/cred/fetch", op: "fetch", dataClass: "credentials" },
  { path: "/v1/cred/store", op: "store", dataClass: "credentials" },
  { path: "/v1/cred/teardown", op: "teardown", dataClass: "credentials" },
  { path: "/v1/cred/rotate", op: "rotate", dataClass: "credentials" },
  { path: "/v1/memory/get", op: "fetch", dataClass: "memory" },
  { path: "/v1/memory/put", op: "store", dataClass: "memory" },
  { path: "/v1/memory/teardown", op: "teardown", dataClass: "memory" },
  { path: "/v1/memory/rotate", op: "rotate", dataClass: "memory" },
  { path: "/v1/config/fetch", op: "fetch", dataClass: "config" },
  { path: "/v1/config/store", op: "store", dataClass: "config" },
  { path: "/v1/config/teardown", op: "teardown", dataClass: "config" },
  { path: "/v1/config/rotate", op: "rotate", dataClass: "config" },
  { path: "/v1/classify/tag", op: "classify", dataClass: undefined },
  { path: "/v1/classify/compile", op: "classify", dataClass: undefined },
];

/** The path that redeems a cap for `op` on `dataClass` (not classify). */
export function redeemPath(op: Op, dataClass: DataClass): string {
  const route = REDEEM_ROUTES.find((one) => one.op === op && one.dataClass === dataClass);
  if (route === undefined) throw new RangeError(`no worker route for ${op} of ${dataClass}`);
  return route.path;
}

/** What a store brings. */
export interface StorePayload {
  readonly plaintext: Buffer;
  readonly contentSalt: Hex;
}

/** The body of a store: in the clear or sealed to the worker, and the version it must replace. */
export interface StoreBody {
  readonly payload: StorePayload | { readonly sealed: Buffer };
  /** 0: nothing was ever stored. Undefined: whatever is there. */
  readonly ifVersion: number | undefined;
}

/** The answer to a fetch. */
export interface FetchAnswer {
  readonly payload_b64: string;
  readonly content_salt: Hex;
  readonly version: number;
  readonly stored_by: StoredBy;
}

/** The answer to store, teardown and rotate. */
export interface WriteAnswer {
  readonly version: number;
  /** SHA-256 of the stored bytes. */
  readonly digest: Hex;
}

/** Reads a store body: `request_malformed`, or `request_too_large` for a plaintext above 1 MiB. */
export function parseStoreBody(body: Uint8Array): Result<StoreBody> {
  const read = readJsonObject(body);
  if (!read.ok) return read;
  const { sealed, if_version: ifVersion } = read.value;
  if (ifVersion !== undefined && !isWholeNumber(ifVersion)) return malformed("if_version");
  if (sealed !== undefined) {
    if (read.value["payload_b64"] !== undefined || read.value["content_salt"] !== undefined) return malformed("sealed");
    const bytes = fromBase64url(sealed);
    return bytes === undefined ? malformed("sealed") : ok({ payload: { sealed: bytes }, ifVersion });
  }
  const payload = readPayload(read.value["payload_b64"], read.value["content_salt"]);
  return payload.ok ? ok({ payload: payload.value, ifVersion }) : payload;
}

/** Reads what was inside a sealed store: `payload_invalid`, or `request_too_large`. */
export function parseSealedPayload(plaintext: Uint8Array): Result<StorePayload> {
  const read = readJsonObject(plaintext);
  const payload = read.ok ? readPayload(read.value["payload_b64"], read.value["content_salt"]) : read;
  if (payload.ok || payload.failure.code === "request_too_large") return payload;
  return refuse("payload_invalid", "What the sealed payload holds is not a payload and its salt.");
}

/** A body in the clear. */
export function encodeStoreBody(plaintext: Uint8Array, contentSalt: Hex, ifVersion?: number): string {
  const body = { payload_b64: toBase64url(plaintext), content_salt: contentSalt };
  return JSON.stringify(ifVersion === undefined ? body : { ...body, if_version: ifVersion });
}

/** What is sealed to the worker's key (HPKE plaintext), `info` = STORE_INFO ‖ digest of the store cap. */
export function encodeSealedPayload(plaintext: Uint8Array, contentSalt: Hex): string {
  return JSON.stringify({ payload_b64: toBase64url(plaintext), content_salt: contentSalt });
}

/** A sealed body. */
export function encodeSealedStoreBody(sealed: Uint8Array, ifVersion?: number): string {
  const body = { sealed: toBase64url(sealed) };
  return JSON.stringify(ifVersion === undefined ? body : { ...body, if_version: ifVersion });
}

/** Reads a body that says nothing: empty, or any JSON object. */
export function parseEmptyBody(body: Uint8Array): Result<undefined> {
  if (body.length === 0) return ok(undefined);
  const read = readJsonObject(body);
  return read.ok ? ok(undefined) : read;
}

/** Reads the answer to a fetch (opened, where it was sealed), or undefined where it is none. */
export function parseFetchAnswer(bytes: Uint8Array): (FetchAnswer & { readonly plaintext: Buffer }) | undefined {
  const read = readJsonObject(bytes);
  if (!read.ok) return undefined;
  const { payload_b64, content_salt, version, stored_by } = read.value;
  const plaintext = fromBase64url(payload_b64);
  const by = parseStoredBy(stored_by);
  if (plaintext === undefined || by === undefined || !isBytes32(content_salt) || !isWholeNumber(version))
    return undefined;
  return { payload_b64: payload_b64 as string, content_salt, version, stored_by: by, plaintext };
}

/** Reads the answer to a write, or undefined where it is none. */
export function parseWriteAnswer(bytes: Uint8Array): WriteAnswer | undefined {
  const read = readJsonObject(bytes);
  if (!read.ok) return undefined;
  const { version, digest } = read.value;
  return isWholeNumber(version) && version >= 1 && isBytes32(digest) ? { version, digest } : undefined;
}

function readPayload(payload: unknown, salt: unknown): Result<StorePayload> {
  const plaintext = fromBase64url(payload);
  if (plaintext === undefined) return malformed("payload_b64");
  if (!isBytes32(salt)) return malformed("content_salt");
  if (plaintext.length > MAX_PLAINTEXT_BYTES) return refuse("request_too_large", "The plaintext is above 1 MiB.");
  return ok({ plaintext, contentSalt: salt });
}

function malformed(member: string): Result<never> {
  return refuse("request_malformed", `The member ${member} is missing or has the wrong form.`);
}

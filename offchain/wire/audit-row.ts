import { type Hex, isBytes32 } from "./bytes";
import { isJsonObject, isWholeNumber, readJsonObject } from "./json";
import { type Result, ok, refuse } from "./result";

/** The vault's route that makes a row of a worker's audit log evidence. @see protocol 3.7 */
export const AUDIT_ROW_PATH = "/v1/sign/audit-row";

/** The public half of the key that signs rows, as a JWK set; another set than that of tokens for clouds. @see protocol 3.7 */
export const AUDIT_KEYS_PATH = "/v1/audit-keys";

/** `typ` of a signed row. */
export const AUDIT_ROW_TYPE = "agentkeys-audit+jwt";

const RESULTS = ["read", "written", "conflict", "corrupt", "refused", "failed"] as const;

/** What a worker says came of a request; the vault signs that the worker says so, not that it is true. */
export interface AuditOutcome {
  readonly result: (typeof RESULTS)[number];
  readonly version?: number;
  /** SHA-256 of the stored object. */
  readonly digest?: Hex;
}

/** The device's own words as the worker received them, and the outcome. */
export interface AuditRowRequest {
  readonly cap: string;
  readonly proof: string;
  readonly method: string;
  readonly target: string;
  readonly body_hash: Hex;
  readonly outcome: AuditOutcome;
}

/** A row as the vault signed it. */
export interface AuditRowAnswer {
  /** Compact JWS of `AUDIT_ROW_TYPE`, by the key at `AUDIT_KEYS_PATH`. */
  readonly row: string;
}

/** Reads the request's form: `request_malformed`. Unknown members of `outcome` are not signed. */
export function parseAuditRowRequest(bytes: Uint8Array): Result<AuditRowRequest> {
  const read = readJsonObject(bytes);
  if (!read.ok) return read;
  const { cap, proof, method, target, body_hash, outcome } = read.value;
  if (typeof cap !== "string" || typeof proof !== "string") return malformed("cap or proof");
  if (typeof method !== "string" || typeof target !== "string") return malformed("method or target");
  if (!isBytes32(body_hash)) return malformed("body_hash");
  if (!isJsonObject(outcome)) return malformed("outcome");
  const result = RESULTS.find((one) => one === outcome["result"]);
  const { version, digest } = outcome;
  if (result === undefined) return malformed("outcome.result");
  if (version !== undefined && !isWholeNumber(version)) return malformed("outcome.version");
  if (digest !== undefined && !isBytes32(digest)) return malformed("outcome.digest");
  return ok({
    cap,
    proof,
    method,
    target,
    body_hash,
    outcome: { result, ...(version === undefined ? {} : { version }), ...(digest === undefined ? {} : { digest }) },
  });
}

/** Reads an answer; undefined when it is none. */
export function parseAuditRowAnswer(bytes: Uint8Array): AuditRowAnswer | undefined {
  const read = readJsonObject(bytes);
  const row = read.ok ? read.value["row"] : undefined;
  return typeof row === "string" && /^[\w-]+\.[\w-]+\.[\w-]+$/.test(row) ? { row } : undefined;
}

function malformed(member: string): Result<never> {
  return refuse("request_malformed", `The member ${member} is missing or has the wrong form.`);
}

import type { Failure } from "./result";

/** Every refusal of the protocol: code → HTTP status and fixed title. @see protocol 3.9 */
export const PROBLEMS = {
  request_malformed: { status: 400, title: "The request is malformed" },
  cap_pop_invalid: { status: 401, title: "The cap does not carry a valid device signature" },
  proof_invalid: { status: 401, title: "The request proof is not valid" },
  broker_sig_invalid: { status: 401, title: "The cap does not carry a valid broker signature" },
  cap_expired: { status: 401, title: "The cap has expired" },
  credential_invalid: { status: 401, title: "The authorization credential is not valid" },
  device_not_active: { status: 403, title: "The device was never registered" },
  device_revoked: { status: 403, title: "The device has been revoked" },
  device_binding_mismatch: { status: 403, title: "The device does not act for this actor" },
  device_role_missing: { status: 403, title: "The device lacks the role for this request" },
  operator_frozen: { status: 403, title: "The operator is frozen" },
  service_not_in_scope: { status: 403, title: "No live grant covers this service and operation" },
  k3_epoch_mismatch: { status: 403, title: "The key epoch is not the current one" },
  cap_op_mismatch: { status: 403, title: "The cap is for another operation" },
  cap_data_class_mismatch: { status: 403, title: "The cap is for another data class" },
  cap_lifetime_exceeded: { status: 403, title: "The cap lives longer than 300 seconds" },
  content_hash_mismatch: { status: 403, title: "The content is not what the device signed" },
  caller_not_allowed: { status: 403, title: "This caller may not use this route" },
  object_not_found: { status: 404, title: "There is no such object" },
  agent_key_not_found: { status: 404, title: "There is no such agent key" },
  route_not_found: { status: 404, title: "There is no such route" },
  cap_already_used: { status: 409, title: "The cap has already been used" },
  version_conflict: { status: 409, title: "The object has another version" },
  request_too_large: { status: 413, title: "The request is too large" },
  media_type_unsupported: { status: 415, title: "The media type is not supported" },
  payload_invalid: { status: 422, title: "The payload cannot be used" },
  rate_limited: { status: 429, title: "Too many requests" },
  internal_error: { status: 500, title: "Something went wrong inside the service" },
  object_corrupt: { status: 500, title: "The stored object is not what was stored" },
  chain_unavailable: { status: 503, title: "The chain cannot be asked" },
  replay_store_unavailable: { status: 503, title: "The replay store cannot be asked" },
  storage_unavailable: { status: 503, title: "The object store or its database cannot be asked" },
  signer_unavailable: { status: 503, title: "The signer cannot be asked" },
  audit_unavailable: { status: 503, title: "The audit log cannot be written" },
  upstream_unavailable: { status: 503, title: "The upstream cannot be asked" },
} as const satisfies Record<string, { status: number; title: string }>;

/** One of the protocol's refusal codes. */
export type ProblemCode = keyof typeof PROBLEMS;

/** Base of every problem's `type` URI. */
export const PROBLEM_TYPE_BASE = "https://agentkeys.dev/problems/";

/** RFC 9457 problem document as the services write it. */
export interface ProblemDocument {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail: string;
  readonly code: ProblemCode;
  /** The value of `x-request-id`. */
  readonly instance: string;
  readonly reason?: string;
}

/** True for a string that is one of the codes. */
export function isProblemCode(code: unknown): code is ProblemCode {
  return typeof code === "string" && Object.hasOwn(PROBLEMS, code);
}

/** The problem document of one refusal. @see RFC 9457, protocol 3.9 */
export function problemDocument(failure: Failure, instance: string): ProblemDocument {
  const { status, title } = PROBLEMS[failure.code];
  const document = {
    type: PROBLEM_TYPE_BASE + failure.code,
    title,
    status,
    detail: failure.detail,
    code: failure.code,
    instance,
  };
  return failure.reason === undefined ? document : { ...document, reason: failure.reason };
}

import { expect } from "chai";

import { PROBLEMS, type ProblemCode, isProblemCode } from "../../offchain/wire/problem";
import type { RawAnswer } from "./raw-http";

/** Status of every code, written from protocol 3.9 by hand: a change in the product's own table fails here. */
export const STATUS: Readonly<Record<ProblemCode, number>> = {
  request_malformed: 400,
  cap_pop_invalid: 401,
  proof_invalid: 401,
  broker_sig_invalid: 401,
  cap_expired: 401,
  credential_invalid: 401,
  device_not_active: 403,
  device_revoked: 403,
  device_binding_mismatch: 403,
  device_role_missing: 403,
  operator_frozen: 403,
  service_not_in_scope: 403,
  k3_epoch_mismatch: 403,
  cap_op_mismatch: 403,
  cap_data_class_mismatch: 403,
  cap_lifetime_exceeded: 403,
  content_hash_mismatch: 403,
  caller_not_allowed: 403,
  object_not_found: 404,
  agent_key_not_found: 404,
  route_not_found: 404,
  cap_already_used: 409,
  version_conflict: 409,
  request_too_large: 413,
  media_type_unsupported: 415,
  payload_invalid: 422,
  rate_limited: 429,
  internal_error: 500,
  object_corrupt: 500,
  chain_unavailable: 503,
  replay_store_unavailable: 503,
  storage_unavailable: 503,
  signer_unavailable: 503,
  audit_unavailable: 503,
  upstream_unavailable: 503,
};

/** Codes that a service has answered with in this run, each checked whole. */
export const producedCodes = new Set<ProblemCode>();

/** One refusal: a good request with one thing changed, and what it must be answered with. */
export interface Row<G> {
  readonly name: string;
  readonly code: ProblemCode;
  readonly reason?: string;
  readonly send: (good: G) => Promise<RawAnswer>;
}

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

/**
 * The whole shape of a refusal: status, media type, every member of the problem document, the headers that its status
 * asks for, and none of `secrets` (what was sent) anywhere in it. @see RFC 9457, protocol 3.9
 */
export function expectProblem(
  answer: RawAnswer,
  code: ProblemCode,
  reason?: string,
  secrets: readonly string[] = [],
): void {
  const { headers } = answer;
  expect(`${String(answer.status)} ${answer.code ?? answer.body.toString("latin1").slice(0, 100)}`).to.equal(
    `${String(STATUS[code])} ${code}`,
  );
  expect(answer.reason, "reason").to.equal(reason);
  expectProblemForm(answer);
  for (const secret of secrets) {
    expect(answer.body.toString("latin1").includes(secret), `echo of ${secret}`).to.equal(false);
    expect(JSON.stringify(headers).includes(secret), `echo of ${secret} in a header`).to.equal(false);
  }
  producedCodes.add(code);
}

/** Whatever the refusal is, it is a problem document of one of the codes, with its headers. */
export function expectProblemForm(answer: RawAnswer): void {
  const { headers, json = {}, code } = answer;
  if (!isProblemCode(code)) throw new Error(`no code of the protocol: ${answer.body.toString("latin1")}`);
  expect(headers["content-type"], "content-type").to.equal("application/problem+json");
  expect(headers["x-request-id"], "x-request-id").to.match(UUID);
  expect(headers["cache-control"], "cache-control").to.equal("no-store");
  expect(headers["www-authenticate"], "www-authenticate").to.equal(
    STATUS[code] === 401 ? `AgentKeys error="${code}"` : undefined,
  );
  if (STATUS[code] === 503 || STATUS[code] === 429) expect(headers["retry-after"], "retry-after").to.match(/^[0-9]+$/);
  else expect(headers["retry-after"], "retry-after").to.equal(undefined);
  expect(json["detail"], "detail").to.be.a("string").with.length.greaterThan(0);
  const { detail, reason, ...fixed } = json;
  expect(fixed, `the document beside ${String(detail)} and ${String(reason)}`).to.deep.equal({
    type: `https://agentkeys.dev/problems/${code}`,
    title: PROBLEMS[code].title,
    status: STATUS[code],
    code,
    instance: headers["x-request-id"],
  });
  expect(answer.status, "status").to.equal(STATUS[code]);
}

/** Sends every row against the same good request; all rows that came out wrong are named together. */
export async function refuseAll<G>(
  rows: readonly Row<G>[],
  good: G,
  secrets: (good: G) => readonly string[] = () => [],
): Promise<void> {
  const wrong: string[] = [];
  for (const row of rows) {
    try {
      expectProblem(await row.send(good), row.code, row.reason, secrets(good));
    } catch (error) {
      wrong.push(`${row.name}: ${(error as Error).message}`);
    }
  }
  if (wrong.length > 0) throw new Error(`${String(wrong.length)} of ${String(rows.length)} rows:\n${wrong.join("\n")}`);
}

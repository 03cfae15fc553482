import type { Duplex } from "node:stream";

import { replayFenceIsPast } from "../../http/store-probes";
import { AUDIT_KEYS_PATH, AUDIT_ROW_PATH } from "../../wire/audit-row";
import { DATA_KEYS_PATH } from "../../wire/data-keys";
import { type Result, ok, refuse } from "../../wire/result";
import { SERVICE_ROUTES } from "../../wire/service-routes";
import { STS_CREDENTIALS_PATH } from "../../wire/sts";
import { VERIFY_K10_PATH, VERIFY_K11_PATH } from "../../wire/verify-routes";
import { type PipeRequest, framed } from "../pipe";
import { auditRow } from "./audit-row";
import { dataKeys } from "./data-keys";
import { usableEpoch } from "./epoch-key";
import { KMS_METHODS } from "./kms/methods";
import type { VaultParts } from "./parts";
import { openidConfiguration, stsCredentials } from "./sts";
import { verifyK10, verifyK11 } from "./verify";

type Method = (
  parts: VaultParts,
  caller: string,
  body: Buffer,
  request: Partial<PipeRequest>,
) => Promise<Result<unknown>>;

/** Everything the vault does: each takes a request as received. None takes a name, a digest or a set of claims. */
const METHODS: ReadonlyMap<string, Method> = new Map<string, Method>([
  [`POST ${DATA_KEYS_PATH}`, dataKeys],
  [`POST ${STS_CREDENTIALS_PATH}`, stsCredentials],
  [`POST ${AUDIT_ROW_PATH}`, auditRow],
  [`POST ${VERIFY_K10_PATH}`, verifyK10],
  [`POST ${VERIFY_K11_PATH}`, verifyK11],
  ["GET /.well-known/openid-configuration", (parts) => Promise.resolve(openidConfiguration(parts))],
  ["GET /.well-known/jwks.json", (parts) => Promise.resolve(ok(parts.keys.publicJwks("sts")))],
  ["GET /v1/epoch", epoch],
  [`GET ${AUDIT_KEYS_PATH}`, (parts) => Promise.resolve(ok(parts.keys.publicJwks("audit")))],
  ["GET /readyz", ready],
  ...[...KMS_METHODS].map(([route, method]): [string, Method] => [
    route,
    (parts, _caller, body, request) => method(parts.kms, { body, ...headersOf(request) }),
  ]),
]);

/** Who may ask what, held here as well as by the front. */
const CALLERS: ReadonlyMap<string, readonly string[]> = new Map(
  SERVICE_ROUTES.map(({ method, path, callers }) => [`${method} ${path}`, callers]),
);

/** Answers the front's requests until the pipe closes. */
export function serve(parts: VaultParts, pipe: Duplex, onClosed: (why: string) => void): void {
  const send = framed(
    pipe,
    (frame) => {
      const request = (frame ?? {}) as Partial<PipeRequest>;
      // what goes back is a number or nothing: a front's own words are not echoed
      const id = Number.isSafeInteger(request.id) ? request.id : null;
      void answer(parts, request).then((result) => {
        if (pipe.writable) send({ id, ...result });
      });
    },
    onClosed,
  );
}

/** Decides one request as it came from the front; a bug is `internal_error`, its cause in the vault's log only. */
export async function answer(parts: VaultParts, request: Partial<PipeRequest>): Promise<Result<unknown>> {
  const { id, route, caller, body } = request;
  if (
    !Number.isSafeInteger(id) ||
    typeof route !== "string" ||
    typeof caller !== "string" ||
    typeof body !== "string"
  ) {
    return refuse("request_malformed", "This is no request.");
  }
  const callers = CALLERS.get(route);
  if (callers?.includes(caller) === false) {
    return refuse("caller_not_allowed", "The front names no caller of this method.");
  }
  const method = METHODS.get(route);
  if (method === undefined) return refuse("route_not_found", "The vault has no such method.");
  try {
    return await method(parts, caller, Buffer.from(body, "base64"), request);
  } catch (error) {
    parts.log.error({ err: error }, "internal error");
    return refuse("internal_error", "The cause is in the vault's log.");
  }
}

/** The two headers that agents send, where they are texts; the front's word for what it received. */
function headersOf({ headers }: Partial<PipeRequest>): { readonly authorization?: string; readonly proof?: string } {
  const { authorization, proof } = (headers ?? {}) as Readonly<Record<string, unknown>>;
  return {
    ...(typeof authorization === "string" ? { authorization } : {}),
    ...(typeof proof === "string" ? { proof } : {}),
  };
}

/** The current epoch by the vault's own chain connections, once its key for it is the committed one. */
async function epoch(parts: VaultParts): Promise<Result<unknown>> {
  const newest = Math.max(0, ...parts.keys.commitments().keys());
  // one more than this vault holds: an epoch that began without its key being here must not pass for the one before
  for (let one = newest + 1; one >= 1; one -= 1) {
    const commitment = await parts.chain.k3Commitment(one);
    if (!commitment.ok) return commitment;
    if (/^0x0+$/.test(commitment.value)) continue;
    const usable = await usableEpoch(parts, one);
    return usable.ok ? ok({ epoch: one, commitment: usable.value }) : usable;
  }
  return refuse("signer_unavailable", "The vault holds no epoch that the chain knows.");
}

async function ready(parts: VaultParts): Promise<Result<unknown>> {
  const chain = await parts.chain.ready();
  if (!chain.ok) return chain;
  const keys = parts.brokerKeys.ready();
  if (!keys.ok) return keys;
  const fence = replayFenceIsPast(parts.replay, parts.now());
  return fence.ok ? epoch(parts) : fence;
}

import type { DetailedPeerCertificate, PeerCertificate } from "node:tls";

import { Agent, request } from "undici";

import { goodUntil } from "./peer-chain";
import type { TlsFiles } from "./tls-files";
import { AUDIT_ROW_PATH, type AuditRowAnswer, type AuditRowRequest, parseAuditRowAnswer } from "../wire/audit-row";
import { DATA_KEYS_PATH, type DataKeysAnswer, type DataKeysRequest, parseDataKeysAnswer } from "../wire/data-keys";
import { readJsonObject } from "../wire/json";
import { STS_CREDENTIALS_PATH, type StsAnswer, type StsRequest, parseStsAnswer } from "../wire/sts";
import { isProblemCode } from "../wire/problem";
import { type Result, failure, isFailureReason, ok, refuse } from "../wire/result";

/** The signer's name in its certificate. */
export const SIGNER_NAME = "URI:spiffe://agentkeys/signer";

const TIMEOUT_MS = 10_000;
/** A row that is not signed fails nothing, so nobody waits for it as long. */
const AUDIT_TIMEOUT_MS = 2_000;

/** Asks the vault through its front, over mTLS, as a worker or the broker. */
export interface SignerClient {
  /** `signer_unavailable` when there was no answer; the vault's own refusal otherwise. Never asks twice. */
  dataKeys(words: DataKeysRequest): Promise<Result<DataKeysAnswer>>;
  /** The vault's own row over a request and its outcome; `signer_unavailable` where it takes longer than 2 s. */
  auditRow(words: AuditRowRequest): Promise<Result<AuditRowAnswer>>;
  /** A token for the device that made the request; for the broker alone. */
  stsCredentials(words: StsRequest): Promise<Result<StsAnswer>>;
  /** Whether the signer says that it is ready. */
  ready(): Promise<Result<unknown>>;
  close(): Promise<void>;
}

/**
 * A client over kept-alive mTLS connections; the server must be the signer by its one URI name, and its certificate in
 * date at each request. @see protocol 3.7
 */
export function signerClient(options: { readonly origin: string; readonly tls: TlsFiles }): SignerClient {
  const { tls } = options;
  let connections = connectionsWith(tls);
  const renew = (): void => {
    const { agent } = connections;
    connections = connectionsWith(tls);
    // requests under way end on the connections that they began on; nothing more is asked over those
    void agent.close();
  };
  tls.onChange(renew);

  async function exchange(
    method: "GET" | "POST",
    path: string,
    body?: string,
    timeoutMs?: number,
  ): Promise<Result<Buffer>> {
    const headers = body === undefined ? {} : { "content-type": "application/json" };
    // the machine's clock, which handshakes go by
    if (Date.now() > connections.goodUntil()) renew();
    try {
      const answer = await request(options.origin + path, {
        method,
        headers,
        dispatcher: connections.agent,
        ...(body === undefined ? {} : { body }),
        ...(timeoutMs === undefined ? {} : { signal: AbortSignal.timeout(timeoutMs) }),
      });
      const bytes = Buffer.from(await answer.body.arrayBuffer());
      return answer.statusCode === 200 ? ok(bytes) : refusalIn(bytes);
    } catch {
      return unavailable("The signer did not answer.");
    }
  }

  return {
    async dataKeys(words) {
      const answer = await exchange("POST", DATA_KEYS_PATH, JSON.stringify(words));
      if (!answer.ok) return answer;
      const keys = parseDataKeysAnswer(answer.value);
      return keys === undefined ? unavailable("The signer's answer is none.") : ok(keys);
    },
    async auditRow(words) {
      const answer = await exchange("POST", AUDIT_ROW_PATH, JSON.stringify(words), AUDIT_TIMEOUT_MS);
      if (!answer.ok) return answer;
      const row = parseAuditRowAnswer(answer.value);
      return row === undefined ? unavailable("The signer's answer is none.") : ok(row);
    },
    async stsCredentials(words) {
      const answer = await exchange("POST", STS_CREDENTIALS_PATH, JSON.stringify(words));
      if (!answer.ok) return answer;
      const token = parseStsAnswer(answer.value);
      return token === undefined ? unavailable("The signer's answer is none.") : ok(token);
    },
    ready: () => exchange("GET", "/readyz"),
    close() {
      tls.close();
      return connections.agent.close();
    },
  };
}

/** Connections to the signer that are kept, and until when every certificate that was shown over them is good (Unix ms). */
interface Connections {
  readonly agent: Agent;
  goodUntil(): number;
}

function connectionsWith(tls: TlsFiles): Connections {
  let firstEnd = Infinity;
  /** Exactly one name, the signer's, a certificate made for servers, and a CA that is still one when the handshake ends. */
  const checkServerIdentity = (_host: string, certificate: PeerCertificate): Error | undefined => {
    const usages = certificate.ext_key_usage as readonly string[] | undefined;
    if (certificate.subjectaltname !== SIGNER_NAME) return new Error("the server is not the signer");
    if (usages?.includes("1.3.6.1.5.5.7.3.1") !== true) return new Error("the certificate is not for servers");
    const { ca } = tls.current();
    // Node gives the certificates above it too
    const end =
      ca === undefined ? Date.parse(certificate.valid_to) : goodUntil(certificate as DetailedPeerCertificate, ca);
    if (end === undefined) return new Error("the CA was removed meanwhile");
    firstEnd = Math.min(firstEnd, end);
    return undefined;
  };
  // no session is taken up again: with one, no certificate would be looked at
  const connect = { ...tls.current(), checkServerIdentity, minVersion: "TLSv1.3" as const, maxCachedSessions: 0 };
  const agent = new Agent({ connect, pipelining: 1, headersTimeout: TIMEOUT_MS, bodyTimeout: TIMEOUT_MS });
  return { agent, goodUntil: () => firstEnd };
}

/** The device must learn why the vault refuses it; what says that worker and vault disagree is the signer's trouble. */
function refusalIn(bytes: Buffer): Result<never> {
  const read = readJsonObject(bytes);
  const code = read.ok ? read.value["code"] : undefined;
  if (!read.ok || !isProblemCode(code) || code === "internal_error" || code === "route_not_found") {
    return unavailable("The signer could not decide.");
  }
  const { reason } = read.value;
  const why = isFailureReason(reason) ? reason : undefined;
  return { ok: false, failure: failure(code, "The vault refuses this request by its own checks.", why) };
}

function unavailable(detail: string): Result<never> {
  return refuse("signer_unavailable", detail);
}

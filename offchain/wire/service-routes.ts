import { AUDIT_KEYS_PATH, AUDIT_ROW_PATH } from "./audit-row";
import { DATA_KEYS_PATH } from "./data-keys";
import { STS_CREDENTIALS_PATH } from "./sts";
import { VERIFY_K10_PATH, VERIFY_K11_PATH } from "./verify-routes";

/** Names as `subjectAltName` gives them: one URI and nothing beside it, compared whole. @see protocol 3.7 */
export const BROKER_NAME = "URI:spiffe://agentkeys/broker";

/** The worker of a data class, or of `classify`. */
export function workerName(dataClass: string): string {
  return `URI:spiffe://agentkeys/worker/${dataClass}`;
}

/** A route of the signer for services. */
export interface ServiceRoute {
  readonly method: "GET" | "POST";
  readonly path: string;
  /** Who may ask, by certificate. */
  readonly callers: readonly string[];
}

const DATA_WORKERS = ["credentials", "memory", "config"].map(workerName);
const EVERYBODY = [...DATA_WORKERS, workerName("classify"), BROKER_NAME];

/**
 * Every route behind mutual TLS and who may call it. Front and vault each hold requests against this list: the vault
 * believes the front's word for a caller no more than the front, and what it decides rests on the device's signature.
 */
export const SERVICE_ROUTES: readonly ServiceRoute[] = [
  { method: "POST", path: DATA_KEYS_PATH, callers: DATA_WORKERS },
  { method: "POST", path: AUDIT_ROW_PATH, callers: DATA_WORKERS },
  { method: "POST", path: STS_CREDENTIALS_PATH, callers: [BROKER_NAME] },
  { method: "POST", path: VERIFY_K10_PATH, callers: EVERYBODY },
  { method: "POST", path: VERIFY_K11_PATH, callers: EVERYBODY },
  { method: "GET", path: "/v1/epoch", callers: EVERYBODY },
  { method: "GET", path: AUDIT_KEYS_PATH, callers: EVERYBODY },
];

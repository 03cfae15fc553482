import { CHAIN_VARIABLES } from "../http/chain-config";
import { flag, oneOf, origin, readConfig, text, whole } from "../http/config";
import type { DataClass } from "../wire/names";

/** A worker's environment. */
export const WORKER_VARIABLES = {
  dataClass: {
    name: "WORKER_DATA_CLASS",
    meaning: "The one class that this process serves: credentials, memory or config",
    read: oneOf<DataClass>("credentials", "memory", "config"),
  },
  host: { name: "WORKER_HOST", meaning: "Address to listen on", fallback: "127.0.0.1", read: text },
  port: { name: "WORKER_PORT", meaning: "Port to listen on; 0 takes a free one", fallback: "8602", read: whole },
  origin: { name: "WORKER_ORIGIN", meaning: "Public base URL, as devices sign it", read: origin },
  brokerOrigin: { name: "WORKER_BROKER_ORIGIN", meaning: "The broker's public base URL", read: origin },
  signerOrigin: { name: "WORKER_SIGNER_ORIGIN", meaning: "The signer's front, https", read: origin },
  tlsCa: { name: "WORKER_TLS_CA_FILE", meaning: "PEM of the CA that made the signer's certificate", read: text },
  tlsCert: { name: "WORKER_TLS_CERT_FILE", meaning: "PEM of this worker's client certificate", read: text },
  tlsKey: { name: "WORKER_TLS_KEY_FILE", meaning: "PEM of its key, mode 0600", read: text },
  stateDir: {
    name: "WORKER_STATE_DIR",
    meaning: "Folder for objects, versions, replay, audit and the seal key",
    read: text,
  },
  capPopRequired: {
    name: "AGENTKEYS_WORKER_REQUIRE_CAP_POP",
    meaning: "0 skips a cap's client_sig during a migration, on test chains only; the vault never skips it",
    fallback: "1",
    read: flag,
  },
  onlyReplica: {
    name: "WORKER_ONLY_REPLICA",
    meaning: "1 when it listens beyond loopback with embedded stores and is the only one",
    fallback: "0",
    read: flag,
  },
  logLevel: {
    name: "WORKER_LOG_LEVEL",
    meaning: "fatal, error, warn, info or debug",
    fallback: "info",
    read: oneOf("fatal", "error", "warn", "info", "debug", "silent"),
  },
  ...CHAIN_VARIABLES,
} as const;

/** Reads it whole; throws one error that lists every problem. */
export function workerConfig(env: NodeJS.ProcessEnv) {
  return readConfig(WORKER_VARIABLES, env);
}

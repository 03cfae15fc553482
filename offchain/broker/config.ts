import { CHAIN_VARIABLES } from "../http/chain-config";
import { flag, oneOf, origin, readConfig, text, whole } from "../http/config";

/** The broker's environment. */
export const BROKER_VARIABLES = {
  host: { name: "BROKER_HOST", meaning: "Address to listen on", fallback: "127.0.0.1", read: text },
  port: { name: "BROKER_PORT", meaning: "Port to listen on; 0 takes a free one", fallback: "8601", read: whole },
  origin: { name: "BROKER_ORIGIN", meaning: "Public base URL, `iss` of every cap", read: origin },
  stateDir: { name: "BROKER_STATE_DIR", meaning: "Folder for K1 (keys/), the replay file and jwks.json", read: text },
  signerOrigin: {
    name: "BROKER_SIGNER_ORIGIN",
    meaning: "Where the signer listens for services (mTLS); none serves no tokens for object stores",
    fallback: "none",
    read: (value: string): string | undefined => (value === "none" ? undefined : origin(value)),
  },
  tlsCa: {
    name: "BROKER_TLS_CA_FILE",
    meaning: "PEM of the CA of the signer's certificate",
    fallback: "none",
    read: text,
  },
  tlsCert: {
    name: "BROKER_TLS_CERT_FILE",
    meaning: "PEM of the broker's client certificate",
    fallback: "none",
    read: text,
  },
  tlsKey: { name: "BROKER_TLS_KEY_FILE", meaning: "PEM of its key, mode 0600", fallback: "none", read: text },
  onlyReplica: {
    name: "BROKER_ONLY_REPLICA",
    meaning: "1 when it listens beyond loopback with embedded stores and is the only one",
    fallback: "0",
    read: flag,
  },
  logLevel: {
    name: "BROKER_LOG_LEVEL",
    meaning: "fatal, error, warn, info or debug",
    fallback: "info",
    read: oneOf("fatal", "error", "warn", "info", "debug", "silent"),
  },
  ...CHAIN_VARIABLES,
} as const;

/** Reads it whole; throws one error that lists every problem. */
export function brokerConfig(env: NodeJS.ProcessEnv) {
  return readConfig(BROKER_VARIABLES, env);
}

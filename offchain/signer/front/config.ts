import { oneOf, readConfig, text, whole } from "../../http/config";

/** The front's environment: nothing of the vault's is in it. */
export const FRONT_VARIABLES = {
  host: { name: "SIGNER_HOST", meaning: "Address that the front listens on", fallback: "127.0.0.1", read: text },
  port: {
    name: "SIGNER_PORT",
    meaning: "Port that the front listens on; 0 takes a free one",
    fallback: "8603",
    read: whole,
  },
  publicHost: {
    name: "SIGNER_PUBLIC_HOST",
    meaning: "Address of the public listener, for agents and clouds; plain HTTP unless a certificate is given",
    fallback: "127.0.0.1",
    read: text,
  },
  publicPort: {
    name: "SIGNER_PUBLIC_PORT",
    meaning: "Port of the public listener; 0 takes a free one",
    fallback: "8604",
    read: whole,
  },
  publicTlsCert: {
    name: "SIGNER_PUBLIC_TLS_CERT_FILE",
    meaning: "PEM of its certificate; none where TLS ends before it",
    fallback: "none",
    read: text,
  },
  publicTlsKey: {
    name: "SIGNER_PUBLIC_TLS_KEY_FILE",
    meaning: "PEM of that certificate's key, mode 0600",
    fallback: "none",
    read: text,
  },
  tlsCa: { name: "SIGNER_TLS_CA_FILE", meaning: "PEM of the CA that made the callers' certificates", read: text },
  tlsCert: { name: "SIGNER_TLS_CERT_FILE", meaning: "PEM of the signer's certificate", read: text },
  tlsKey: { name: "SIGNER_TLS_KEY_FILE", meaning: "PEM of its key, mode 0600", read: text },
  logLevel: {
    name: "SIGNER_LOG_LEVEL",
    meaning: "fatal, error, warn, info or debug",
    fallback: "info",
    read: oneOf("fatal", "error", "warn", "info", "debug", "silent"),
  },
} as const;

/** Reads it whole; throws one error that lists every problem. */
export function frontConfig(env: NodeJS.ProcessEnv) {
  return readConfig(FRONT_VARIABLES, env);
}

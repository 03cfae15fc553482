import { CHAIN_VARIABLES } from "../../http/chain-config";
import { list, oneOf, origin, readConfig, text } from "../../http/config";
import { type DataClass, isDataClass } from "../../wire/names";

/** The vault's environment: nothing of the front's TLS keys is in it. */
export const VAULT_VARIABLES = {
  file: { name: "VAULT_FILE", meaning: "The sealed file of K3 keys, mode 0600", read: text },
  passphraseFile: { name: "VAULT_PASSPHRASE_FILE", meaning: "File with its passphrase, mode 0600", read: text },
  stateDir: { name: "VAULT_STATE_DIR", meaning: "Folder for the vault's own replay memory", read: text },
  brokerOrigin: {
    name: "VAULT_BROKER_ORIGIN",
    meaning: "The broker's public base URL: `iss` of every cap",
    read: origin,
  },
  brokerJwksFile: {
    name: "VAULT_BROKER_JWKS_FILE",
    meaning: "The broker's public keys, pinned; read again when it changes",
    read: text,
  },
  workerOrigins: {
    name: "VAULT_WORKER_ORIGINS",
    meaning: "Pinned public base URLs, e.g. credentials=https://creds.example.org,memory=https://…",
    read: workerOrigins,
  },
  logLevel: {
    name: "SIGNER_LOG_LEVEL",
    meaning: "fatal, error, warn, info or debug",
    fallback: "info",
    read: oneOf("fatal", "error", "warn", "info", "debug", "silent"),
  },
  ...CHAIN_VARIABLES,
} as const;

/** Reads it whole; throws one error that lists every problem. */
export function vaultConfig(env: NodeJS.ProcessEnv) {
  return readConfig(VAULT_VARIABLES, env);
}

function workerOrigins(value: string): ReadonlyMap<DataClass, string> {
  const pairs = list(value).map((item): [DataClass, string] => {
    const at = item.indexOf("=");
    const dataClass = item.slice(0, at);
    if (!isDataClass(dataClass)) throw new Error("must be a list of class=origin");
    return [dataClass, origin(item.slice(at + 1))];
  });
  return new Map(pairs);
}

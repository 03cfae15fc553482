import { CHAIN_VARIABLES } from "../../http/chain-config";
import { type Variable, list, oneOf, origin, readConfig, text } from "../../http/config";
import { type DataClass, isDataClass } from "../../wire/names";
import { KMS_VARIABLES } from "./kms/config";

const FILE_VARIABLES = {
  file: { name: "VAULT_FILE", meaning: "The sealed file of the vault's keys, mode 0600 (sealed-file)", read: text },
  passphraseFile: {
    name: "VAULT_PASSPHRASE_FILE",
    meaning: "File with its passphrase, mode 0600 (sealed-file, without VAULT_KEY_FILE)",
    read: text,
  },
  keyFile: {
    name: "VAULT_KEY_FILE",
    meaning: "File of 32 or more random bytes in place of a passphrase, mode 0600 (sealed-file)",
    fallback: "none",
    read: text,
  },
} as const;

const TOKEN_VARIABLES = {
  module: {
    name: "VAULT_PKCS11_MODULE",
    meaning: "The token's PKCS#11 library, absolute path (pkcs11)",
    fallback: "none",
    read: text,
  },
  token: { name: "VAULT_PKCS11_TOKEN", meaning: "The token's label (pkcs11)", fallback: "none", read: text },
  pinFile: {
    name: "VAULT_PKCS11_PIN_FILE",
    meaning: "File with the user's PIN, mode 0600 (pkcs11)",
    fallback: "none",
    read: text,
  },
  environment: {
    name: "VAULT_PKCS11_ENVIRONMENT",
    meaning: "What the library reads from its environment, e.g. SOFTHSM2_CONF=/etc/softhsm2.conf (pkcs11)",
    fallback: "none",
    read: assignments,
  },
} as const;

const COMMON_VARIABLES = {
  stateDir: {
    name: "VAULT_STATE_DIR",
    meaning: "Folder for the vault's own replay memory and its sealed state of agent keys",
    read: text,
  },
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
  publicOrigin: {
    name: "VAULT_PUBLIC_ORIGIN",
    meaning: "The signer's public base URL: issuer of its tokens, target of agents' requests",
    read: origin,
  },
  ...KMS_VARIABLES,
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

const BACKEND = {
  name: "VAULT_BACKEND",
  meaning: "Where the vault's keys are: sealed-file or pkcs11",
  fallback: "sealed-file",
  read: oneOf("sealed-file", "pkcs11"),
} as const;

/** The vault's environment: nothing of the front's TLS keys is in it. */
export const VAULT_VARIABLES = {
  backend: BACKEND,
  ...FILE_VARIABLES,
  ...TOKEN_VARIABLES,
  ...COMMON_VARIABLES,
} as const;

/** Which keys to open, by file paths; read by `keysSettings`. */
export type BackendConfig =
  | { readonly backend: "sealed-file"; readonly file: string; readonly passphraseFile: string }
  | { readonly backend: "sealed-file"; readonly file: string; readonly keyFile: string }
  | {
      readonly backend: "pkcs11";
      readonly module: string;
      readonly token: string;
      readonly pinFile: string;
      readonly environment: ReadonlyMap<string, string>;
    };

/** Reads it whole; throws one error that lists every problem. Of the back ends' variables only those in use count. */
export function vaultConfig(env: NodeJS.ProcessEnv) {
  const backend = { ...COMMON_VARIABLES, backend: BACKEND };
  if (env[BACKEND.name] === "pkcs11") {
    const { module, token, pinFile, environment } = TOKEN_VARIABLES;
    const must = { module: required(module), token: required(token), pinFile: required(pinFile), environment };
    return readConfig({ ...backend, backend: { ...BACKEND, read: oneOf("pkcs11") }, ...must }, env);
  }
  const sealed = { ...backend, backend: { ...BACKEND, read: oneOf("sealed-file") } };
  const { file, passphraseFile, keyFile } = FILE_VARIABLES;
  return (env[keyFile.name] ?? "none") === "none"
    ? readConfig({ ...sealed, file, passphraseFile }, env)
    : readConfig({ ...sealed, file, keyFile: required(keyFile) }, env);
}

/** The same variable, and it must be given. */
function required<T>({ name, meaning, read }: Variable<T>): Variable<T> {
  const given = (value: string): T => {
    if (value === "none") throw new Error("must be given");
    return read(value);
  };
  return { name, meaning, read: given };
}

function assignments(value: string): ReadonlyMap<string, string> {
  if (value === "none") return new Map();
  const pairs = list(value).map((item): [string, string] => {
    const at = item.indexOf("=");
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(item.slice(0, Math.max(at, 0))))
      throw new Error("must be a list of NAME=value");
    return [item.slice(0, at), item.slice(at + 1)];
  });
  return new Map(pairs);
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

import { CANONICAL_ENTRY_POINT } from "../../../chain/entry-point";
import type { ChainValues } from "../../../http/chain-config";
import { address, list, oneOf, text, whole } from "../../../http/config";
import { SESSION_LIMITS } from "../../../verify/session-operation";
import { MAX_CREDENTIAL_LIFE } from "../../../wire/agent-credential";
import type { Hex } from "../../../wire/bytes";
import { isOrigin } from "../../../wire/origin";
import type { KmsSettings } from "./parts";

/** Shortest life of a credential, seconds: a refresh is a passkey tap. */
const MIN_CREDENTIAL_LIFE = 60;

/** The vault's environment for agent keys; the public origin is one of the vault's own variables. */
export const KMS_VARIABLES = {
  rpId: {
    name: "VAULT_RP_ID",
    meaning: "Relying party of the operators' passkeys: a domain, or localhost",
    read: relyingParty,
  },
  rpOrigins: {
    name: "VAULT_RP_ORIGINS",
    meaning: "The only origins whose pages may ask for a passkey, exact and comma-separated",
    read: pageOrigins,
  },
  credentialSeconds: {
    name: "VAULT_CREDENTIAL_TTL_SECONDS",
    meaning: "Seconds that an agent's credential lives, 60 to 604800",
    fallback: "259200",
    read: credentialLife,
  },
  entryPoint: {
    name: "VAULT_ENTRY_POINT",
    meaning: "Address of the ERC-4337 EntryPoint that agents sign for",
    fallback: CANONICAL_ENTRY_POINT["0.8"],
    read: address,
  },
  entryPointVersion: {
    name: "VAULT_ENTRY_POINT_VERSION",
    meaning: "Its version, 0.7 or 0.8: they hash operations differently",
    fallback: "0.8",
    read: oneOf("0.7", "0.8"),
  },
  sessionValidator: {
    name: "VAULT_SESSION_VALIDATOR",
    meaning: "Address of the session validator; none signs no user operation",
    fallback: "none",
    read: (value: string): Hex | undefined => (value === "none" ? undefined : address(value)),
  },
  ownContracts: {
    name: "VAULT_OWN_CONTRACTS",
    meaning: "Contracts that no agent may call, beside the registries: factory, modules, comma-separated",
    fallback: "none",
    read: addresses,
  },
  paymasters: {
    name: "VAULT_PAYMASTERS",
    meaning: "The only paymasters that an agent's operation may name, comma-separated",
    fallback: "none",
    read: addresses,
  },
} as const;

/** The values of `KMS_VARIABLES`. */
export type KmsValues = {
  readonly [K in keyof typeof KMS_VARIABLES]: ReturnType<(typeof KMS_VARIABLES)[K]["read"]>;
};

/** What the methods decide with. `origin` is the signer's public base URL. */
export function kmsSettings(values: KmsValues & ChainValues, origin: string): KmsSettings {
  const { rpId, rpOrigins, credentialSeconds, entryPoint, entryPointVersion, sessionValidator, paymasters } = values;
  const registries = [values.sidecarRegistry, values.scopeRegistry, values.k3EpochCounter];
  return {
    origin,
    rpId,
    rpOrigins,
    credentialSeconds,
    sessionRules: {
      domain: { chainId: values.chainId, entryPoint, entryPointVersion },
      sessionValidator,
      ownContracts: [...registries, ...values.ownContracts],
      paymasters,
      ...SESSION_LIMITS,
    },
  };
}

function relyingParty(value: string): string {
  if (!/^[a-z0-9-]+(\.[a-z0-9-]+)*$/.test(text(value)))
    throw new Error("must be a domain in lower case, without a port");
  return value;
}

function pageOrigins(value: string): readonly string[] {
  return list(value).map((one) => {
    if (!isOrigin(one) || new URL(one).origin !== one) throw new Error("must be origins without a path");
    return one;
  });
}

function credentialLife(value: string): number {
  const seconds = whole(value);
  if (seconds < MIN_CREDENTIAL_LIFE || seconds > MAX_CREDENTIAL_LIFE) throw new Error("must be 60 to 604800 seconds");
  return seconds;
}

function addresses(value: string): readonly Hex[] {
  return value === "none" ? [] : list(value).map(address);
}

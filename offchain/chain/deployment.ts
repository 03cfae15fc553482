import { isAddressHex } from "../wire/bytes";
import type { Hex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import type { EntryPointVersion } from "../wire/user-operation";
import type { RegistryAddresses } from "./start-checks";

/** The contracts of one chain by name, lowercase addresses. */
export interface DeployedContracts {
  readonly SidecarRegistry: Hex;
  readonly ScopeRegistry: Hex;
  readonly K3EpochCounter: Hex;
  readonly CredentialAudit: Hex;
  readonly AccountRecovery: Hex;
  /** Lets a passkey be a guardian there. */
  readonly WebAuthnGuardian: Hex;
  readonly MasterAccountFactory: Hex;
  readonly OperatorPaymaster: Hex;
  readonly SessionKeyValidator: Hex;
  /** Only where the chain has no P-256 precompile. */
  readonly P256Verifier?: Hex;
}

/** What `npm run deploy` writes and every service and program reads. */
export interface Deployment {
  /** EIP-155 chain id. */
  readonly chainId: number;
  readonly contracts: DeployedContracts;
  readonly entryPoint: Hex;
  readonly entryPointVersion: EntryPointVersion;
}

export type { EntryPointVersion } from "../wire/user-operation";

const REQUIRED = [
  "SidecarRegistry",
  "ScopeRegistry",
  "K3EpochCounter",
  "CredentialAudit",
  "AccountRecovery",
  "WebAuthnGuardian",
  "MasterAccountFactory",
  "OperatorPaymaster",
  "SessionKeyValidator",
] as const;

/** Reads the text of a deployment file, or of a stack file, which has the same members and more. */
export function parseDeployment(text: string): Result<Deployment> {
  const wrong = (what: string): Result<never> =>
    refuse("chain_unavailable", `The addresses of the contracts cannot be read: ${what}.`);
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return wrong("not JSON");
  }
  const { chainId, contracts, entryPoint, entryPointVersion } = (value ?? {}) as Record<string, unknown>;
  if (typeof chainId !== "number" || !Number.isSafeInteger(chainId) || chainId < 1) return wrong("no chainId");
  const named = (contracts ?? {}) as Record<string, unknown>;
  const address = (name: string): Hex | undefined => lowercase(named[name]);
  for (const name of REQUIRED) if (address(name) === undefined) return wrong(`no address of ${name}`);
  const entryPointAddress = lowercase(entryPoint);
  if (entryPointAddress === undefined) return wrong("no address of the EntryPoint");
  const version = entryPointVersion ?? "0.8";
  if (version !== "0.7" && version !== "0.8") return wrong("entryPointVersion is neither 0.7 nor 0.8");
  const verifier = address("P256Verifier");
  return ok({
    chainId,
    contracts: {
      ...(Object.fromEntries(REQUIRED.map((name) => [name, address(name)])) as Record<(typeof REQUIRED)[number], Hex>),
      ...(verifier === undefined ? {} : { P256Verifier: verifier }),
    },
    entryPoint: entryPointAddress,
    entryPointVersion: version,
  });
}

/** The three addresses that a chain reader needs. */
export function registryAddresses({ contracts }: Deployment): RegistryAddresses {
  return {
    sidecarRegistry: contracts.SidecarRegistry,
    scopeRegistry: contracts.ScopeRegistry,
    k3EpochCounter: contracts.K3EpochCounter,
  };
}

function lowercase(value: unknown): Hex | undefined {
  const text = typeof value === "string" ? value.toLowerCase() : undefined;
  return isAddressHex(text) ? text : undefined;
}

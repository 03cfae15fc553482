/** What differs from chain to chain and cannot be asked of the chain itself. */
export interface ChainProfile {
  readonly name: ChainProfileName;
  /** EIP-155 chain id; absent for `custom`, where the configuration names it. */
  readonly chainId?: number;
  /** Seconds between blocks, the longest usual. */
  readonly blockSeconds: number;
  /** Real money: software passkeys are refused and programs that spend want `MAINNET_CONFIRM=1`. */
  readonly production: boolean;
  /** The block tag that is followed. */
  readonly headTag: "latest" | "safe" | "finalized";
  /** False only where an idle head legitimately grows old. @see protocol 3.5 */
  readonly checksHeadAge: boolean;
  /** Version of the EntryPoint that the accounts of this chain are built for. */
  readonly entryPointVersion: "0.7" | "0.8";
}

/** The chains that are known by name; everything else is `custom`. */
export type ChainProfileName = "local" | "heima" | "base" | "baseSepolia" | "custom";

/** Every profile. Unknown chains count as production, so that a mistake costs a refusal and not money. */
export const CHAIN_PROFILES: Readonly<Record<ChainProfileName, ChainProfile>> = {
  local: {
    name: "local",
    chainId: 31337,
    blockSeconds: 2,
    production: false,
    headTag: "latest",
    checksHeadAge: false,
    entryPointVersion: "0.8",
  },
  heima: {
    name: "heima",
    chainId: 212013,
    blockSeconds: 12,
    production: true,
    headTag: "latest",
    checksHeadAge: true,
    entryPointVersion: "0.7",
  },
  base: {
    name: "base",
    chainId: 8453,
    blockSeconds: 2,
    production: true,
    headTag: "latest",
    checksHeadAge: true,
    entryPointVersion: "0.8",
  },
  baseSepolia: {
    name: "baseSepolia",
    chainId: 84532,
    blockSeconds: 2,
    production: false,
    headTag: "latest",
    checksHeadAge: true,
    entryPointVersion: "0.8",
  },
  custom: {
    name: "custom",
    blockSeconds: 12,
    production: true,
    headTag: "latest",
    checksHeadAge: true,
    entryPointVersion: "0.8",
  },
};

/** True for the name of a profile, as a configuration gives it. */
export function isChainProfileName(value: unknown): value is ChainProfileName {
  return typeof value === "string" && Object.hasOwn(CHAIN_PROFILES, value);
}

/** The profile of a chain id; `custom` for an unknown one. */
export function profileOfChain(chainId: number): ChainProfile {
  return Object.values(CHAIN_PROFILES).find((profile) => profile.chainId === chainId) ?? CHAIN_PROFILES.custom;
}

/** Seconds after which a head is too old to decide by. @see protocol 3.5 */
export function maxHeadAge(profile: ChainProfile): number {
  return profile.checksHeadAge ? Math.max(60, 3 * profile.blockSeconds) : Infinity;
}

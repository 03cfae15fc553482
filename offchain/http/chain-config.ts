import type { ChainProfileName } from "../chain/profiles";
import { type ChainReader, type ReadOutcome, chainReader } from "../chain/reader";
import { type Domain, domainSeparator } from "../wire/eip712";
import { address, list, oneOf, whole } from "./config";

/** How a service asks the chain; every service has its own connections. */
export const CHAIN_VARIABLES = {
  rpcUrls: { name: "CHAIN_RPC_URLS", meaning: "JSON-RPC endpoints of the one chain, comma-separated", read: list },
  quorum: {
    name: "CHAIN_QUORUM",
    meaning: "How many of them must agree on block and answer; the vault needs 2 outside loopback",
    fallback: "1",
    read: whole,
  },
  chainId: { name: "CHAIN_ID", meaning: "EIP-155 chain id", read: whole },
  profile: {
    name: "CHAIN_PROFILE",
    meaning: "What cannot be asked of the chain: local, heima, base, baseSepolia or custom",
    fallback: "custom",
    read: oneOf<ChainProfileName>("local", "heima", "base", "baseSepolia", "custom"),
  },
  sidecarRegistry: { name: "CHAIN_SIDECAR_REGISTRY", meaning: "Address of SidecarRegistry", read: address },
  scopeRegistry: { name: "CHAIN_SCOPE_REGISTRY", meaning: "Address of ScopeRegistry", read: address },
  k3EpochCounter: { name: "CHAIN_K3_EPOCH_COUNTER", meaning: "Address of K3EpochCounter", read: address },
} as const;

/** The values of `CHAIN_VARIABLES`. */
export type ChainValues = {
  readonly [K in keyof typeof CHAIN_VARIABLES]: ReturnType<(typeof CHAIN_VARIABLES)[K]["read"]>;
};

/** The reader and the EIP-712 separator that these values describe. */
export function openChain(
  values: ChainValues,
  now: () => number,
  onRead: (outcome: ReadOutcome) => void,
): { readonly chain: ChainReader; readonly domain: Domain; readonly separator: Buffer } {
  const { sidecarRegistry, scopeRegistry, k3EpochCounter } = values;
  const domain = { chainId: values.chainId, registry: sidecarRegistry };
  const chain = chainReader({
    rpcUrls: values.rpcUrls,
    quorum: values.quorum,
    chainId: values.chainId,
    contracts: { sidecarRegistry, scopeRegistry, k3EpochCounter },
    profile: values.profile,
    now,
    onRead,
  });
  return { chain, domain, separator: domainSeparator(domain) };
}

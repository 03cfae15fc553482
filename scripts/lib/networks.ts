import { CHAIN_PROFILES, type ChainProfile, profileOfChain } from "../../offchain/chain/profiles";

/** A network that programs know by name. */
export interface NetworkName {
  readonly profile: ChainProfile;
  /** Environment variable that holds the RPC's URL. */
  readonly variable: string;
  /** Where there is a public or usual one. */
  readonly url: string | undefined;
}

/** The networks of hardhat.config.ts. `hardhat` is a node that a program starts for itself and ends again. */
export const NETWORKS = {
  hardhat: { profile: CHAIN_PROFILES.local, variable: "CHAIN_RPC_URL", url: undefined },
  localhost: { profile: CHAIN_PROFILES.local, variable: "CHAIN_RPC_URL", url: "http://127.0.0.1:8545" },
  heima: { profile: CHAIN_PROFILES.heima, variable: "HEIMA_RPC_URL", url: "https://rpc.heima-parachain.heima.network" },
  base: { profile: CHAIN_PROFILES.base, variable: "BASE_RPC_URL", url: "https://mainnet.base.org" },
  baseSepolia: {
    profile: CHAIN_PROFILES.baseSepolia,
    variable: "BASE_SEPOLIA_RPC_URL",
    url: "https://sepolia.base.org",
  },
  custom: { profile: CHAIN_PROFILES.custom, variable: "CUSTOM_RPC_URL", url: undefined },
} as const satisfies Record<string, NetworkName>;

/** True for the name of a network. */
export function isNetwork(name: string): name is keyof typeof NETWORKS {
  return Object.hasOwn(NETWORKS, name);
}

/** What a person got wrong at the command line; printed without a stack. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** Where a program works: URL, and the profile of the chain that is really there. */
export interface Network {
  readonly name: keyof typeof NETWORKS;
  readonly rpcUrl: string;
  readonly chainId: number;
  readonly profile: ChainProfile;
}

/**
 * The network that a program was told to work on.
 * @param rpcUrl given on the command line; otherwise the network's variable, otherwise its usual URL
 * @throws UsageError when the name is unknown, no URL is known, nothing answers, or another chain answers
 */
export async function findNetwork(
  name: string,
  rpcUrl: string | undefined,
  env: Readonly<Record<string, string | undefined>>,
): Promise<Network> {
  if (!isNetwork(name)) throw new UsageError(`--network is one of ${Object.keys(NETWORKS).join(", ")}`);
  const { variable, url: usual, profile } = NETWORKS[name];
  const url = rpcUrl ?? env[variable] ?? usual;
  if (url === undefined) throw new UsageError(`${name} needs --rpc URL or ${variable}`);
  const chainId = await askChainId(url, name);
  if (name !== "custom" && profile.chainId !== chainId) {
    throw new UsageError(`${name} is chain ${profile.chainId}, but the RPC serves chain ${chainId}.`);
  }
  return { name, rpcUrl: url, chainId, profile: profileOfChain(chainId) };
}

/** Real value is moved only by somebody who says so. */
export function requireConfirmation(network: Network, env: Readonly<Record<string, string | undefined>>): void {
  if (network.profile.production && env["MAINNET_CONFIRM"] !== "1") {
    throw new UsageError(
      `Chain ${network.chainId} holds real value, and this program spends there. Run it again with MAINNET_CONFIRM=1.`,
    );
  }
}

async function askChainId(url: string, name: string): Promise<number> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "eth_chainId", params: [] }),
      signal: AbortSignal.timeout(10_000),
    });
    const { result } = (await response.json()) as { result?: unknown };
    if (typeof result === "string" && /^0x[0-9a-f]+$/.test(result)) return Number(result);
  } catch {
    // said below
  }
  const hint = name === "localhost" ? ' Is "npx hardhat node" or "npm start" running?' : " Is --rpc right?";
  throw new UsageError(`The RPC of ${name} does not answer.${hint}`);
}

import { JsonRpcProvider } from "ethers";
import { BaseError, type PublicClient, createPublicClient, http } from "viem";
import { hardhat } from "viem/chains";

import type { Deployment, EntryPointVersion } from "../../offchain/chain/deployment";
import { CANONICAL_ENTRY_POINT } from "../../offchain/chain/entry-point";
import type { Hex } from "../../offchain/wire/bytes";
import { placeEntryPoint } from "../../scripts/lib/canonical-entry-point";
import { deployAgentKeys } from "../../scripts/lib/deploy-agentkeys";
import { type Stack, startStack } from "../../scripts/lib/stack";
import { type Target, Target__factory } from "../../typechain-types";
import { type Alto, startAlto } from "./alto";
import { temporaryFolders } from "./temporary-folder";

/** The stack, a bundler over its node, and AgentKeys for both EntryPoints. */
export interface BundlerWorld {
  readonly stack: Stack;
  readonly alto: Alto;
  readonly deployments: Readonly<Record<EntryPointVersion, Deployment>>;
  readonly provider: JsonRpcProvider;
  /** viem's way to the node. */
  readonly chain: PublicClient;
  readonly target: Target;
  /** One ether, for gas. */
  fund(account: string): Promise<void>;
}

/** Keys of Hardhat's second and third development accounts, published with Hardhat. */
const EXECUTOR_KEY: Hex = "0x59c6995e998f97a5a0044966f0945389dc9e86dae88c7a8412f4603b6b78690d";
const UTILITY_KEY: Hex = "0x5de4111afa1a4b94908f83103eb1f1706367c2e68ca870fc3fb9a804cdab365a";

const folders = temporaryFolders();
let starting: Promise<BundlerWorld> | undefined;
const stops: (() => Promise<void>)[] = [];

/** One world for all files of a mocha run that ask for it, started by the first. */
export function bundlerWorld(): Promise<BundlerWorld> {
  starting ??= startWorld();
  return starting;
}

async function startWorld(): Promise<BundlerWorld> {
  const dir = folders.make();
  const stack = await startStack({ dir: `${dir}/stack`, logLevel: "warn" });
  stops.push(() => stack.stop());
  const provider = new JsonRpcProvider(stack.rpcUrl, stack.chainId, {
    staticNetwork: true,
    cacheTimeout: -1,
    batchMaxCount: 1,
  });
  provider.pollingInterval = 50;
  stops.push(() => {
    provider.destroy();
    return Promise.resolve();
  });
  await placeEntryPoint(provider, "0.7");
  const older = await deployAgentKeys({
    rpcUrl: stack.rpcUrl,
    deployerKey: stack.developmentKey,
    k3Commitment: `0x${"01".repeat(32)}`,
    entryPointVersion: "0.7",
  });
  const alto = await startAlto({
    rpcUrl: stack.rpcUrl,
    entryPoints: Object.values(CANONICAL_ENTRY_POINT),
    executorKey: EXECUTOR_KEY,
    utilityKey: UTILITY_KEY,
    dir,
  });
  stops.push(() => alto.stop());
  const funder = await provider.getSigner(0);
  const transport = http(stack.rpcUrl);
  return {
    stack,
    alto,
    deployments: { "0.7": older, "0.8": stack.deployment },
    provider,
    chain: createPublicClient({ chain: hardhat, transport, pollingInterval: 50, cacheTime: 0 }),
    target: await new Target__factory(funder).deploy(),
    async fund(account) {
      await (await funder.sendTransaction({ to: account, value: 10n ** 18n })).wait();
    },
  };
}

/** What a bundler said against an operation: its JSON-RPC code, and the EntryPoint's where it names one. */
export async function refusal(sending: Promise<unknown>): Promise<string> {
  const error: unknown = await sending.then(
    () => undefined,
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof BaseError)) throw new Error(`no refusal of a bundler: ${String(error)}`);
  const answer = error.walk((one) => typeof (one as { code?: unknown }).code === "number") as BaseError & {
    readonly code: number;
  };
  return [answer.code, /AA[0-9]{2}/.exec(answer.details)?.[0] ?? ""].join(" ").trim();
}

// of the root suite: after the last file
after(async () => {
  await starting?.catch(() => undefined);
  for (const stop of stops.reverse()) await stop();
  folders.removeAll();
});

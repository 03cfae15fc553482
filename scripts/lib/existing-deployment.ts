import { readFile } from "node:fs/promises";

import type { JsonRpcProvider } from "ethers";

import AgentKeysModule from "../../ignition/modules/AgentKeys";
import { connectAccount, connectContracts } from "../../offchain/chain/connect";
import {
  type Deployment,
  type EntryPointVersion,
  parseDeployment,
  registryAddresses,
} from "../../offchain/chain/deployment";
import { chainReader } from "../../offchain/chain/reader";
import type { Hex } from "../../offchain/wire/bytes";
import { keccakReady } from "../../offchain/wire/keccak";
import type { Journal } from "./journal";

/** The deployment that a file of an earlier run names, if it is whole and still there on this chain. */
export async function deploymentFromFile(
  path: string,
  rpcUrl: string,
  chainId: number,
): Promise<Deployment | undefined> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  if (text === undefined) return undefined;
  const parsed = parseDeployment(text);
  if (!parsed.ok || parsed.value.chainId !== chainId) return undefined;
  return (await isAlive(parsed.value, rpcUrl)) ? parsed.value : undefined;
}

/** The deployment that a complete journal holds; undefined where something of it is still missing. */
export async function deploymentFromJournal(
  journal: Journal,
  provider: JsonRpcProvider,
  version: EntryPointVersion,
): Promise<Deployment | undefined> {
  const address = (name: keyof typeof AgentKeysModule.results): Hex | undefined =>
    journal.deployed[AgentKeysModule.results[name].id]?.toLowerCase() as Hex | undefined;
  const [sidecarRegistry, scopeRegistry, epochCounter, credentialAudit, factory] = [
    address("sidecarRegistry"),
    address("scopeRegistry"),
    address("epochCounter"),
    address("credentialAudit"),
    address("masterAccountFactory"),
  ];
  if (!sidecarRegistry || !scopeRegistry || !epochCounter || !credentialAudit || !factory) return undefined;
  const verifier = Object.entries(journal.deployed).find(([id]) => id.startsWith("P256Verifier#"))?.[1];
  const deployment = {
    chainId: Number((await provider.getNetwork()).chainId),
    contracts: {
      SidecarRegistry: sidecarRegistry,
      ScopeRegistry: scopeRegistry,
      K3EpochCounter: epochCounter,
      CredentialAudit: credentialAudit,
      MasterAccountFactory: factory,
      ...(verifier === undefined ? {} : { P256Verifier: verifier.toLowerCase() as Hex }),
    },
    entryPoint: factory,
    entryPointVersion: version,
  };
  const implementation = await connectContracts(deployment, provider).factory.implementation();
  const entryPoint = await connectAccount(implementation as Hex, provider).entryPoint();
  return { ...deployment, entryPoint: entryPoint.toLowerCase() as Hex };
}

async function isAlive(deployment: Deployment, rpcUrl: string): Promise<boolean> {
  await keccakReady();
  const reader = chainReader({
    rpcUrls: [rpcUrl],
    quorum: 1,
    chainId: deployment.chainId,
    contracts: registryAddresses(deployment),
    profile: "local", // only whether the contracts are there, not how old the head is
    now: () => 0,
  });
  try {
    return (await reader.ready()).ok;
  } finally {
    await reader.close();
  }
}

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
import { CANONICAL_ENTRY_POINT } from "../../offchain/chain/entry-point";
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
): Promise<Deployment | undefined> {
  const address = (name: keyof typeof AgentKeysModule.results): Hex | undefined =>
    journal.deployed[AgentKeysModule.results[name].id]?.toLowerCase() as Hex | undefined;
  const contracts = {
    SidecarRegistry: address("sidecarRegistry"),
    ScopeRegistry: address("scopeRegistry"),
    K3EpochCounter: address("epochCounter"),
    CredentialAudit: address("credentialAudit"),
    AccountRecovery: address("accountRecovery"),
    WebAuthnGuardian: address("webAuthnGuardian"),
    MasterAccountFactory: address("masterAccountFactory"),
    OperatorPaymaster: address("paymaster"),
    SessionKeyValidator: address("sessionKeyValidator"),
  };
  if (!isWhole(contracts)) return undefined;
  const verifier = Object.entries(journal.deployed).find(([id]) => id.startsWith("P256Verifier#"))?.[1];
  const deployment = {
    chainId: Number((await provider.getNetwork()).chainId),
    contracts: {
      ...contracts,
      ...(verifier === undefined ? {} : { P256Verifier: verifier.toLowerCase() as Hex }),
    },
  };
  // what the accounts were built for, not what this run would have taken
  const factoryOnly = { ...deployment, entryPoint: contracts.MasterAccountFactory, entryPointVersion: "0.8" as const };
  const implementation = await connectContracts(factoryOnly, provider).factory.implementation();
  const entryPoint = (await connectAccount(implementation as Hex, provider).entryPoint()).toLowerCase() as Hex;
  const entryPointVersion = versionOf(entryPoint, journal);
  return entryPointVersion === undefined ? undefined : { ...deployment, entryPoint, entryPointVersion };
}

function isWhole<K extends string>(contracts: Readonly<Record<K, Hex | undefined>>): contracts is Record<K, Hex> {
  return Object.values(contracts).every((address) => address !== undefined);
}

/** By its canonical address, or by the module that the journal names. */
function versionOf(entryPoint: Hex, { deployed }: Journal): EntryPointVersion | undefined {
  const isOf = (version: EntryPointVersion): boolean =>
    CANONICAL_ENTRY_POINT[version] === entryPoint ||
    deployed[`EntryPointV${version.replace(".", "")}#EntryPoint`]?.toLowerCase() === entryPoint;
  return (["0.7", "0.8"] as const).find(isOf);
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

import { resolve } from "node:path";

import type { JsonRpcProvider } from "ethers";

import AgentKeysModule from "../../ignition/modules/AgentKeys";
import { EntryPointV07Module, EntryPointV08Module } from "../../ignition/modules/EntryPoint";
import P256VerifierModule from "../../ignition/modules/P256Verifier";
import { connectRpc } from "../../offchain/chain/connect";
import type { Deployment, EntryPointVersion } from "../../offchain/chain/deployment";
import { CANONICAL_ENTRY_POINT } from "../../offchain/chain/entry-point";
import { profileOfChain } from "../../offchain/chain/profiles";
import { type Hex, isBytes32 } from "../../offchain/wire/bytes";
import { compiledArtifacts } from "./artifacts";
import { P256_PRECOMPILE, hasP256Precompile } from "./p256-probe";
import { type ModuleAddresses, runModule } from "./run-module";
import { type SigningProvider, signingProvider } from "./signing-provider";

/** What a deployment needs. */
export interface DeployOptions {
  readonly rpcUrl: string;
  /** Funded key; without one, the node's own first account (development nodes only). */
  readonly deployerKey?: Hex;
  /** Commitment of K3[1], from the vault. */
  readonly k3Commitment: Hex;
  /** Governance of the epoch counter, and the paymaster's owner; the deployer by default. */
  readonly owner?: string;
  /** The paymaster's first sponsor; none by default. */
  readonly sponsor?: Hex;
  /** By default the version of the chain's profile. */
  readonly entryPointVersion?: EntryPointVersion;
  /** Ignition's journal; in memory by default, for a node that lives as long as the program. */
  readonly deploymentDir?: string;
  /** Hears what is about to happen. */
  readonly say?: (line: string) => void;
}

const ROOT = resolve(__dirname, "../..");

/**
 * Deploys AgentKeys by its Ignition modules: the EntryPoint only where the chain has none, the P-256 verifier only where
 * a probe finds no precompile. With a journal, what it already holds is left as it is.
 */
export async function deployAgentKeys(options: DeployOptions): Promise<Deployment> {
  const { rpcUrl, deployerKey, k3Commitment, say = () => undefined } = options;
  if (!isBytes32(k3Commitment)) throw new RangeError("the K3 commitment is 0x and 64 lowercase hex digits");
  const provider = connectRpc(rpcUrl);
  try {
    const { chainId: id } = await provider.getNetwork();
    const chainId = Number(id);
    const profile = profileOfChain(chainId);
    const signer = await signingProvider(provider, chainId, deployerKey);
    const owner = options.owner ?? signer.accounts[0];
    if (owner === undefined) throw new Error("There is no account to deploy from: give a funded key.");
    const run = runner(signer, profile.name === "local", options.deploymentDir);

    const version = options.entryPointVersion ?? profile.entryPointVersion;
    const entryPoint = await findEntryPoint(provider, version, run, say);
    const verifier = await findVerifier(provider, run, say);
    say(`Registries, factory and paymaster, governed by ${owner}.`);
    const deployed = await run(AgentKeysModule, {
      K3EpochCounter: { owner, firstCommitment: k3Commitment },
      SessionKeyValidator: { entryPoint },
      MasterAccount: { entryPoint, verifier: verifier ?? P256_PRECOMPILE },
      OperatorPaymaster: { entryPoint, owner, ...(options.sponsor === undefined ? {} : { sponsor: options.sponsor }) },
    });
    return {
      chainId,
      contracts: {
        SidecarRegistry: address(deployed, "sidecarRegistry"),
        ScopeRegistry: address(deployed, "scopeRegistry"),
        K3EpochCounter: address(deployed, "epochCounter"),
        CredentialAudit: address(deployed, "credentialAudit"),
        AccountRecovery: address(deployed, "accountRecovery"),
        WebAuthnGuardian: address(deployed, "webAuthnGuardian"),
        MasterAccountFactory: address(deployed, "masterAccountFactory"),
        OperatorPaymaster: address(deployed, "paymaster"),
        SessionKeyValidator: address(deployed, "sessionKeyValidator"),
        ...(verifier === undefined ? {} : { P256Verifier: verifier }),
      },
      entryPoint,
      entryPointVersion: version,
    };
  } finally {
    provider.destroy();
  }
}

type Run = (
  module: Parameters<typeof runModule>[0]["module"],
  parameters?: Parameters<typeof runModule>[0]["parameters"],
) => Promise<ModuleAddresses<string>>;

function runner(provider: SigningProvider, isDevelopment: boolean, deploymentDir: string | undefined): Run {
  const artifacts = compiledArtifacts(ROOT);
  return (module, parameters = {}) =>
    runModule({ module, parameters, provider, artifacts, isDevelopment, deploymentDir });
}

async function findEntryPoint(
  provider: JsonRpcProvider,
  version: EntryPointVersion,
  run: Run,
  say: (line: string) => void,
): Promise<Hex> {
  const canonical = CANONICAL_ENTRY_POINT[version];
  if ((await provider.getCode(canonical)) !== "0x") {
    say(`EntryPoint ${version}: the canonical one at ${canonical}.`);
    return canonical;
  }
  say(`EntryPoint ${version}: missing on this chain, deployed from the artifact of its package.`);
  const { entryPoint } = await run(version === "0.7" ? EntryPointV07Module : EntryPointV08Module);
  return entryPoint as Hex;
}

async function findVerifier(
  provider: JsonRpcProvider,
  run: Run,
  say: (line: string) => void,
): Promise<Hex | undefined> {
  if (await hasP256Precompile(provider)) {
    say("P-256: the precompile at 0x100 (one good and one bad signature tried).");
    return undefined;
  }
  say("P-256: no precompile on this chain, the Solidity verifier is deployed.");
  const deployed = await run(P256VerifierModule);
  return address(deployed, "verifier");
}

function address(deployed: ModuleAddresses<string>, name: string): Hex {
  const value = deployed[name];
  if (value === undefined) throw new Error(`the module did not deploy ${name}`);
  return value as Hex;
}

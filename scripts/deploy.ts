import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";

import type { JsonRpcProvider } from "ethers";

import { connectContracts, connectRpc } from "../offchain/chain/connect";
import type { Deployment, EntryPointVersion } from "../offchain/chain/deployment";
import { type Hex, isAddressHex, isBytes32 } from "../offchain/wire/bytes";
import { deployAgentKeys } from "./lib/deploy-agentkeys";
import { deploymentFromFile, deploymentFromJournal } from "./lib/existing-deployment";
import { openJournal } from "./lib/journal";
import { keyFromFile } from "./lib/keys";
import { type Network, UsageError, findNetwork, requireConfirmation } from "./lib/networks";
import { type Values, type Voice, runProgram, text } from "./lib/program";
import { startNode } from "./lib/rehearsal";

const USAGE = `npm run deploy -- --network <hardhat|localhost|heima|base|baseSepolia|custom> --k3-commitment 0x… [options]

Deploys the contracts by their Ignition modules and writes their addresses for the services.
Run again, it finds what exists and deploys only what is missing.

  --network NAME          where (hardhat: a rehearsal on a node that ends with the program)
  --rpc URL               another RPC than the network's own
  --k3-commitment HEX     commitment of K3[1], as the vault printed it
  --owner ADDRESS         governance of the key epochs, owner of the paymaster (required on production chains: a multisig or timelock)
  --sponsor ADDRESS       the paymaster's first sponsor key (more, or other ones: npm run paymaster)
  --key-file FILE         funded key, 0600 (otherwise DEPLOYER_KEY; on a development node its own first account)
  --entry-point 0.7|0.8   version, by default the chain's
  --out FILE              addresses file, by default deployments/<chainId>.json
  --journals DIR          Ignition's journals, by default ignition/deployments
  --json                  one line of JSON instead of sentences`;

const ROOT = resolve(__dirname, "..");

async function deploy(values: Values, voice: Voice): Promise<void> {
  const name = text(values, "network") ?? "localhost";
  const rehearsal = name === "hardhat" && text(values, "rpc") === undefined ? await startNode() : undefined;
  try {
    const network = await findNetwork(name, text(values, "rpc") ?? rehearsal?.url, process.env);
    const out = resolve(text(values, "out") ?? join(ROOT, "deployments", `${network.chainId}.json`));
    const { deployment, changed } = await existingOrNew(network, values, voice, out, rehearsal !== undefined);
    if (rehearsal === undefined) await write(out, deployment);
    voice.finish({ ok: true, changed, file: rehearsal === undefined ? out : null, ...deployment }, [
      ...Object.entries(deployment.contracts).map(([contract, address]) => `  ${contract.padEnd(22)}${address}`),
      `  ${`EntryPoint ${deployment.entryPointVersion}`.padEnd(22)}${deployment.entryPoint}`,
      rehearsal === undefined ? `Addresses written to ${out}.` : "That was a rehearsal: the node is gone.",
    ]);
  } finally {
    await rehearsal?.stop();
  }
}

async function existingOrNew(
  network: Network,
  values: Values,
  voice: Voice,
  out: string,
  isRehearsal: boolean,
): Promise<{ readonly deployment: Deployment; readonly changed: boolean }> {
  const { rpcUrl, chainId, profile } = network;
  const version = entryPointVersion(text(values, "entry-point")) ?? profile.entryPointVersion;
  const provider = connectRpc(rpcUrl, chainId);
  const folder = resolve(text(values, "journals") ?? join(ROOT, "ignition", "deployments"));
  try {
    const journal = isRehearsal ? undefined : await openJournal(folder, chainId, provider);
    const found =
      journal === undefined
        ? undefined
        : ((await deploymentFromFile(out, rpcUrl, chainId)) ?? (await deploymentFromJournal(journal, provider)));
    if (found !== undefined) {
      await requireSame(found, values, provider);
      voice.say(`Chain ${chainId} has everything already; nothing is deployed.`);
      return { deployment: found, changed: false };
    }
    requireConfirmation(network, process.env);
    voice.say(`Deploying to ${network.name}, chain ${chainId}.`);
    const deployerKey = await keyFromFile(text(values, "key-file"), process.env["DEPLOYER_KEY"]);
    const owner = ownerOf(values, network);
    const sponsor = sponsorOf(values);
    const deployment = await deployAgentKeys({
      rpcUrl,
      k3Commitment: commitmentOf(values),
      entryPointVersion: version,
      say: (line) => {
        voice.say(line);
      },
      ...(deployerKey === undefined ? {} : { deployerKey }),
      ...(owner === undefined ? {} : { owner }),
      ...(sponsor === undefined ? {} : { sponsor }),
      ...(journal === undefined ? {} : { deploymentDir: journal.dir }),
    });
    return { deployment, changed: true };
  } finally {
    provider.destroy();
  }
}

/** What is deployed stays as it is: a run that wants something else is told so, and does not pass for done. */
async function requireSame(found: Deployment, values: Values, provider: JsonRpcProvider): Promise<void> {
  const wanted = text(values, "k3-commitment");
  const committed = await connectContracts(found, provider).k3EpochCounter.commitmentOf(1);
  if (wanted !== undefined && wanted !== committed) {
    throw new UsageError(
      `Chain ${found.chainId} has AgentKeys already, with K3[1] committed to as ${committed}: only the vault that drew it can serve there.`,
    );
  }
  const version = text(values, "entry-point");
  if (version !== undefined && version !== found.entryPointVersion) {
    throw new UsageError(`Chain ${found.chainId} has AgentKeys already, for EntryPoint ${found.entryPointVersion}.`);
  }
}

function commitmentOf(values: Values): `0x${string}` {
  const commitment = text(values, "k3-commitment");
  if (isBytes32(commitment)) return commitment;
  throw new UsageError(
    "--k3-commitment is missing or not 0x and 64 lowercase hex digits. The vault draws K3[1] and prints its commitment.",
  );
}

function ownerOf(values: Values, { profile }: Network): string | undefined {
  const owner = text(values, "owner")?.toLowerCase();
  if (owner === undefined && profile.production) {
    throw new UsageError(
      "--owner is required on a production chain: the multisig or timelock that governs the epochs.",
    );
  }
  if (owner !== undefined && !isAddressHex(owner)) throw new UsageError("--owner is not an address");
  return owner;
}

function sponsorOf(values: Values): Hex | undefined {
  const sponsor = text(values, "sponsor")?.toLowerCase();
  if (sponsor === undefined || isAddressHex(sponsor)) return sponsor;
  throw new UsageError("--sponsor is not an address");
}

function entryPointVersion(version: string | undefined): EntryPointVersion | undefined {
  if (version === undefined || version === "0.7" || version === "0.8") return version;
  throw new UsageError("--entry-point is 0.7 or 0.8");
}

async function write(path: string, deployment: Deployment): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, `${JSON.stringify(deployment, null, 2)}\n`);
}

void runProgram({
  usage: USAGE,
  options: {
    network: { type: "string" },
    rpc: { type: "string" },
    "k3-commitment": { type: "string" },
    owner: { type: "string" },
    sponsor: { type: "string" },
    "key-file": { type: "string" },
    "entry-point": { type: "string" },
    out: { type: "string" },
    journals: { type: "string" },
  },
  argv: process.argv.slice(2),
  run: deploy,
});

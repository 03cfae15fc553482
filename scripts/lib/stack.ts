import { mkdirSync, readFileSync, readdirSync, rmSync } from "node:fs";
import { join, resolve } from "node:path";

import { connectRpc } from "../../offchain/chain/connect";
import type { Deployment } from "../../offchain/chain/deployment";
import { profileOfChain } from "../../offchain/chain/profiles";
import { deviceKeyAt } from "../../offchain/client/device-key-file";
import { fundPaymaster } from "../../offchain/client/paymaster";
import type { Hex } from "../../offchain/wire/bytes";
import { keccakReady } from "../../offchain/wire/keccak";
import { placeEntryPoint } from "./canonical-entry-point";
import { makeCertificates } from "./certificates";
import { deployAgentKeys } from "./deploy-agentkeys";
import { type Running, freePorts, run } from "./process";
import { type StackToken, makeStackVault } from "./stack-vault";

/** Hardhat's first development account: published, and worth nothing anywhere else. */
export const DEVELOPMENT_KEY: Hex = "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80";

const ROOT = resolve(__dirname, "../..");
const CHAIN_ID = 31337;
/** Seconds between blocks of the local node. */
const BLOCK_SECONDS = 2;

/** In the stack's folder, for `--sponsor`. */
export const SPONSOR_KEY_FILE = "sponsor.key";

/** The services of the stack, each a process of its own. */
export type ServiceName = "broker" | "signer" | "worker";

/** Everything on this machine, running. */
export interface Stack {
  /** Where all of its state lies. */
  readonly dir: string;
  readonly rpcUrl: string;
  readonly chainId: number;
  readonly contracts: Deployment["contracts"];
  readonly entryPoint: Hex;
  readonly deployment: Deployment;
  readonly urls: {
    readonly broker: string;
    readonly worker: { readonly credentials: string };
    /** For services, mTLS. */
    readonly signer: string;
    /** For agents and clouds: `/kms/*`, discovery. */
    readonly signerPublic: string;
  };
  /** Funded; also governs the epochs of this stack. */
  readonly developmentKey: Hex;
  readonly files: { readonly objects: string; readonly versions: string; readonly logs: string };
  /** The X25519 key that stores may be sealed to. */
  workerSealKey(): Hex;
  /** PEM texts of a worker's client certificate. */
  workerTls(dataClass: "credentials" | "memory" | "config"): {
    readonly ca: Buffer;
    readonly cert: Buffer;
    readonly key: Buffer;
  };
  /** The file of the K1 that signs now. */
  currentBrokerKeyFile(): Promise<string>;
  /** Deletes the worker's record of versions; only while the worker is stopped. */
  dropVersions(): void;
  /** Draws the next K3 into the vault and returns what to commit to. */
  prepareEpoch(): Promise<Hex>;
  /** Ends a service, does something, and starts it again at the same place. */
  restart(name: ServiceName, signal: NodeJS.Signals, between?: () => Promise<void>): Promise<void>;
  stop(): Promise<void>;
}

/** How to start one. */
export interface StackOptions {
  /** State folder; what is in it is used again where a chain that lives as long allows it, and replaced otherwise. */
  readonly dir: string;
  readonly hardfork?: "osaka" | "prague" | "cancun";
  readonly logLevel?: string;
  /** An empty token for the vault's keys; without one they are in a sealed file. */
  readonly token?: StackToken;
  /** RPC URLs instead of the node's own: what stands in front of it. */
  readonly rpc?: {
    readonly broker?: (url: string) => Promise<string>;
    readonly worker?: (url: string) => Promise<string>;
    readonly vault?: (url: string) => Promise<readonly string[]>;
  };
  readonly say?: (line: string) => void;
}

/** Starts node, contracts, certificates, vault file, broker, signer and credentials worker on free ports of loopback. */
export async function startStack(options: StackOptions): Promise<Stack> {
  const { dir, say = () => undefined, logLevel = "info" } = options;
  await keccakReady();
  // the node forgets everything when it stops: what belonged to an older chain cannot be used with a new one
  rmSync(dir, { recursive: true, force: true });
  mkdirSync(join(dir, "logs"), { recursive: true, mode: 0o700 });
  const running = new Map<string, Running>();
  const stopAll = async (): Promise<void> => {
    for (const [name, one] of [...running].reverse()) {
      await one.stop();
      running.delete(name);
    }
  };
  try {
    say("a Hardhat node");
    const node = await run("node", {
      args: [require.resolve("hardhat/internal/cli/bootstrap"), "node", "--hostname", "127.0.0.1", "--port", "0"],
      env: { HARDHAT_HARDFORK: options.hardfork ?? "osaka", HARDHAT_DISABLE_TELEMETRY_PROMPT: "true" },
      until: /JSON-RPC server at/,
      logFile: join(dir, "logs", "node.log"),
      cwd: ROOT,
    });
    running.set("node", node);
    const rpcUrl = /http:\/\/[^/\s]+/.exec(node.line)?.[0] ?? "";
    const vaultDir = join(dir, "vault");
    say("the vault's keys, with K3 of epoch 1");
    const vault = await makeStackVault(dir, options.token);
    const sponsor = await deviceKeyAt(join(dir, SPONSOR_KEY_FILE));
    say("the EntryPoint, where every other chain has it");
    const provider = connectRpc(rpcUrl, CHAIN_ID);
    await placeEntryPoint(provider, profileOfChain(CHAIN_ID).entryPointVersion);
    provider.destroy();
    say("the contracts, by their Ignition modules");
    const deployment = await deployAgentKeys({
      rpcUrl,
      deployerKey: DEVELOPMENT_KEY,
      k3Commitment: vault.commitment,
      sponsor: sponsor.address,
      say,
    });
    say("a paymaster with deposit and stake, and a sponsor key");
    await fundPaymaster({ rpcUrl, deployment, key: DEVELOPMENT_KEY });
    await mineEvery(rpcUrl, BLOCK_SECONDS);
    say("certificates for mutual TLS");
    const certs = join(dir, "certs");
    await makeCertificates({ dir: certs });

    const [brokerPort = 0, workerPort = 0, signerPort = 0, publicPort = 0] = await freePorts(4);
    const urls = {
      broker: `http://127.0.0.1:${String(brokerPort)}`,
      worker: { credentials: `http://127.0.0.1:${String(workerPort)}` },
      signer: `https://127.0.0.1:${String(signerPort)}`,
      signerPublic: `http://127.0.0.1:${String(publicPort)}`,
    };
    const { SidecarRegistry, ScopeRegistry, K3EpochCounter, SessionKeyValidator } = deployment.contracts;
    const { CredentialAudit, AccountRecovery, WebAuthnGuardian, MasterAccountFactory, OperatorPaymaster } =
      deployment.contracts;
    const chain = {
      CHAIN_ID: String(CHAIN_ID),
      CHAIN_PROFILE: "local",
      CHAIN_SIDECAR_REGISTRY: SidecarRegistry,
      CHAIN_SCOPE_REGISTRY: ScopeRegistry,
      CHAIN_K3_EPOCH_COUNTER: K3EpochCounter,
    };
    const vaultRpc = (await options.rpc?.vault?.(rpcUrl)) ?? [rpcUrl];
    const environments: Readonly<Record<ServiceName, Record<string, string>>> = {
      broker: {
        ...chain,
        CHAIN_RPC_URLS: (await options.rpc?.broker?.(rpcUrl)) ?? rpcUrl,
        BROKER_PORT: String(brokerPort),
        BROKER_ORIGIN: urls.broker,
        BROKER_STATE_DIR: join(dir, "broker"),
        BROKER_SIGNER_ORIGIN: urls.signer,
        BROKER_TLS_CA_FILE: join(certs, "ca.pem"),
        BROKER_TLS_CERT_FILE: join(certs, "broker.pem"),
        BROKER_TLS_KEY_FILE: join(certs, "broker.key"),
        BROKER_LOG_LEVEL: logLevel,
      },
      signer: {
        ...chain,
        CHAIN_RPC_URLS: vaultRpc.join(","),
        CHAIN_QUORUM: String(vaultRpc.length),
        SIGNER_PORT: String(signerPort),
        SIGNER_PUBLIC_PORT: String(publicPort),
        SIGNER_TLS_CA_FILE: join(certs, "ca.pem"),
        SIGNER_TLS_CERT_FILE: join(certs, "signer.pem"),
        SIGNER_TLS_KEY_FILE: join(certs, "signer.key"),
        SIGNER_LOG_LEVEL: logLevel,
        ...vault.environment,
        VAULT_STATE_DIR: vaultDir,
        VAULT_PUBLIC_ORIGIN: urls.signerPublic,
        VAULT_RP_ID: "localhost",
        VAULT_RP_ORIGINS: "http://localhost",
        VAULT_ENTRY_POINT: deployment.entryPoint,
        VAULT_ENTRY_POINT_VERSION: deployment.entryPointVersion,
        VAULT_SESSION_VALIDATOR: SessionKeyValidator,
        VAULT_OWN_CONTRACTS: [
          CredentialAudit,
          AccountRecovery,
          WebAuthnGuardian,
          MasterAccountFactory,
          OperatorPaymaster,
        ].join(","),
        VAULT_PAYMASTERS: OperatorPaymaster,
        VAULT_BROKER_ORIGIN: urls.broker,
        VAULT_BROKER_JWKS_FILE: join(dir, "broker", "jwks.json"),
        VAULT_WORKER_ORIGINS: `credentials=${urls.worker.credentials}`,
      },
      worker: {
        ...chain,
        CHAIN_RPC_URLS: (await options.rpc?.worker?.(rpcUrl)) ?? rpcUrl,
        WORKER_DATA_CLASS: "credentials",
        WORKER_PORT: String(workerPort),
        WORKER_ORIGIN: urls.worker.credentials,
        WORKER_BROKER_ORIGIN: urls.broker,
        WORKER_SIGNER_ORIGIN: urls.signer,
        WORKER_TLS_CA_FILE: join(certs, "ca.pem"),
        WORKER_TLS_CERT_FILE: join(certs, "worker-credentials.pem"),
        WORKER_TLS_KEY_FILE: join(certs, "worker-credentials.key"),
        WORKER_STATE_DIR: join(dir, "worker"),
        WORKER_LOG_LEVEL: logLevel,
      },
    };
    const startService = async (name: ServiceName): Promise<void> => {
      const service = await run(name, {
        args: ["--import", require.resolve("tsx"), join(ROOT, "offchain", name, "main.ts")],
        env: environments[name],
        until: /"url":"http/,
        logFile: join(dir, "logs", `${name}.log`),
        cwd: ROOT,
      });
      running.set(name, service);
    };
    say("broker, signer (front and vault) and credentials worker");
    await startService("broker");
    await Promise.all([startService("signer"), startService("worker")]);
    const readyAt = { broker: urls.broker, worker: urls.worker.credentials } as const;
    const waitReady = async (): Promise<void> => {
      await Promise.all(Object.values(readyAt).map(untilReady));
    };
    say("waiting until every service vouches for its own memory of proofs (6 s)");
    await waitReady();

    return {
      dir,
      rpcUrl,
      chainId: CHAIN_ID,
      contracts: deployment.contracts,
      entryPoint: deployment.entryPoint,
      deployment,
      urls,
      developmentKey: DEVELOPMENT_KEY,
      files: {
        objects: join(dir, "worker", "objects"),
        versions: join(dir, "worker", "versions"),
        logs: join(dir, "logs"),
      },
      workerSealKey: () => readFileSync(join(dir, "worker", "seal-key.pub"), "utf8").trim() as Hex,
      workerTls: (dataClass) => ({
        ca: readFileSync(join(certs, "ca.pem")),
        cert: readFileSync(join(certs, `worker-${dataClass}.pem`)),
        key: readFileSync(join(certs, `worker-${dataClass}.key`)),
      }),
      currentBrokerKeyFile() {
        const keys = join(dir, "broker", "keys");
        const due = readdirSync(keys)
          .map((name) => parseInt(name, 10))
          .filter((from) => from <= Date.now() / 1_000);
        return Promise.resolve(join(keys, `${String(Math.max(...due))}.pem`));
      },
      dropVersions() {
        rmSync(join(dir, "worker", "versions"), { recursive: true, force: true });
      },
      prepareEpoch: () => vault.prepareEpoch(),
      async restart(name, signal, between) {
        await running.get(name)?.stop(signal);
        await between?.();
        await startService(name);
        await waitReady();
      },
      stop: stopAll,
    };
  } catch (error) {
    await stopAll();
    throw error;
  }
}

/** Blocks also without transactions, so that the head does not grow old. */
async function mineEvery(rpcUrl: string, seconds: number): Promise<void> {
  const body = JSON.stringify({ jsonrpc: "2.0", id: 1, method: "evm_setIntervalMining", params: [seconds * 1_000] });
  await fetch(rpcUrl, { method: "POST", headers: { "content-type": "application/json" }, body });
}

/** Waits until `/readyz` says so; its last refusal is the error. */
async function untilReady(url: string): Promise<void> {
  let last = "no answer";
  for (let tries = 0; tries < 300; tries += 1) {
    try {
      const answer = await fetch(`${url}/readyz`);
      if (answer.ok) return;
      last = await answer.text();
    } catch (error) {
      last = String(error);
    }
    await new Promise((done) => setTimeout(done, 200));
  }
  throw new Error(`${url} did not become ready: ${last}`);
}

import { mkdirSync } from "node:fs";
import { dirname, join } from "node:path";

import { JsonRpcProvider } from "ethers";

import type { Hex } from "../../offchain/wire/bytes";
import { freePorts, run } from "../../scripts/lib/process";

/** A running alto. */
export interface Alto {
  /** Its JSON-RPC, on loopback. */
  readonly url: string;
  /** What it says of itself goes there. */
  readonly logFile: string;
  /** Ends it by its id. */
  stop(): Promise<void>;
}

/** What it needs. */
export interface AltoOptions {
  /** A Hardhat node that has the EntryPoints. */
  readonly rpcUrl: string;
  /** Canonical addresses: alto tells v0.8 from v0.7 by how the address starts. */
  readonly entryPoints: readonly Hex[];
  /** Funded: sends the bundles. */
  readonly executorKey: Hex;
  /** Funded, another one: deploys what alto simulates with. */
  readonly utilityKey: Hex;
  /** For its log. */
  readonly dir: string;
}

/**
 * Starts Pimlico's alto on a free port and waits until it serves these EntryPoints. It is GPL-3.0: run as the program
 * that it is, never imported. It listens on all interfaces and has no setting against that; what it is trusted with
 * here are published development keys on a chain of this machine.
 */
export async function startAlto(options: AltoOptions): Promise<Alto> {
  const { rpcUrl, entryPoints, executorKey, utilityKey, dir } = options;
  const [port = 0] = await freePorts(1);
  const logFile = join(dir, "alto.log");
  mkdirSync(dir, { recursive: true });
  const settings: Readonly<Record<string, string>> = {
    "rpc-url": rpcUrl,
    port: String(port),
    entrypoints: entryPoints.join(","),
    "executor-private-keys": executorKey,
    "utility-private-key": utilityKey,
    // needs a tracer in JavaScript, which Hardhat has not: ERC-7562 is checked by our own test
    "safe-mode": "false",
    "deploy-simulations-contract": "true",
    "min-executor-balance": "0",
    "max-block-range": "500",
    "block-time": "1000",
    "min-bundle-interval": "50",
    "max-bundle-interval": "200",
    "block-number-cache-ttl": "0",
    "log-level": "info",
    "public-client-log-level": "warn",
    "wallet-client-log-level": "warn",
    json: "true",
  };
  const program = join(dirname(require.resolve("@pimlico/alto")), "cli/alto.js");
  const alto = await run("alto", {
    args: [program, ...Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])],
    env: {},
    until: /Server listening at/,
    logFile,
    // it reads a .env file where it stands
    cwd: dir,
  });
  const url = `http://127.0.0.1:${String(port)}`;
  const provider = new JsonRpcProvider(url, undefined, { batchMaxCount: 1 });
  try {
    const served = (await provider.send("eth_supportedEntryPoints", [])) as readonly string[];
    const missing = entryPoints.filter((one) => !served.some((address) => address.toLowerCase() === one));
    if (missing.length > 0) throw new Error(`alto does not serve ${missing.join(", ")}`);
  } catch (error) {
    await alto.stop();
    throw error;
  } finally {
    provider.destroy();
  }
  return { url, logFile, stop: () => alto.stop() };
}

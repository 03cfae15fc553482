import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";

import { type Deployment, parseDeployment } from "../../offchain/chain/deployment";
import { type ChainProfile, profileOfChain } from "../../offchain/chain/profiles";
import { deviceKey } from "../../offchain/client/device-key-file";
import { readPrivate, writePrivate } from "../../offchain/client/private-file";
import type { Authenticator } from "../../offchain/client/authenticator";
import { type Operator, openOperator } from "../../offchain/client/operator";
import type { Relay } from "../../offchain/client/send-operation";
import { type Hex, fromHex, isAddressHex, isBytes32 } from "../../offchain/wire/bytes";
import { keccakReady } from "../../offchain/wire/keccak";
import { keyFromFile } from "./keys";
import { UsageError, findNetwork, requireConfirmation } from "./networks";
import { openPasskey } from "./passkeys";
import { type Values, type Voice, Refused, orRefuse, text } from "./program";

/** The options that every program of the operator has. */
export const OPERATOR_OPTIONS = {
  network: { type: "string" },
  rpc: { type: "string" },
  stack: { type: "string" },
  deployment: { type: "string" },
  state: { type: "string" },
  "key-file": { type: "string" },
  bundler: { type: "string" },
  sponsor: { type: "string" },
  account: { type: "string" },
  browser: { type: "boolean" },
  software: { type: "boolean" },
  port: { type: "string" },
} as const;

/** Their description. */
export const OPERATOR_USAGE = `
  --network NAME      hardhat's localhost (default), heima, base, baseSepolia or custom
  --rpc URL           another RPC than the network's own
  --stack FILE        a local stack's .agentkeys/stack.json instead of --network
  --deployment FILE   addresses, by default deployments/<chainId>.json
  --state DIR         keys and passkey of the operator, by default .agentkeys/operator
  --key-file FILE     funded key, 0600, that sends and pays (otherwise DEPLOYER_KEY; a stack has its own)
  --bundler URL       send through an ERC-4337 bundler instead; the account itself pays
  --sponsor FILE      sponsor key, 0600: the paymaster pays, from the account's budget
  --account ADDRESS   the master account, where it is not the one that this passkey made
  --port N            of the passkey page; any free one by default
  --json              one line of JSON instead of sentences`;

const ROOT = resolve(__dirname, "../..");

/** Where a program of the operator or of governance works. */
export interface Place {
  readonly rpcUrl: string;
  readonly deployment: Deployment;
  readonly profile: ChainProfile;
  readonly stateDir: string;
  /** A funded key, where one was given. */
  readonly key: Hex | undefined;
}

/**
 * Finds chain, contracts, key and state; asks for confirmation before anything that spends real value.
 * @param spends false for a program that sends nothing to the chain
 */
export async function findPlace(values: Values, spends = true): Promise<Place> {
  const stateDir = resolve(text(values, "state") ?? join(".agentkeys", "operator"));
  const given = await keyFromFile(text(values, "key-file"), process.env["DEPLOYER_KEY"]);
  const stackFile = text(values, "stack");
  if (stackFile !== undefined) {
    const stack = await readStack(stackFile);
    return { ...stack, profile: profileOfChain(stack.deployment.chainId), stateDir, key: given ?? stack.key };
  }
  const network = await findNetwork(text(values, "network") ?? "localhost", text(values, "rpc"), process.env);
  const file = resolve(text(values, "deployment") ?? join(ROOT, "deployments", `${network.chainId}.json`));
  const addresses = await readFile(file, "utf8").catch(() => {
    throw new UsageError(`${file} is missing: run "npm run deploy -- --network ${network.name}" first.`);
  });
  const deployment = orRefuse(parseDeployment(addresses));
  if (deployment.chainId !== network.chainId) {
    throw new UsageError(`${file} is for chain ${deployment.chainId}, the RPC serves chain ${network.chainId}.`);
  }
  if (spends) requireConfirmation(network, process.env);
  return { rpcUrl: network.rpcUrl, deployment, profile: network.profile, stateDir, key: given };
}

/** The operator of a state folder, ready to act, with the passkey page open where the passkey is in a browser. */
export interface OpenOperator {
  readonly operator: Operator;
  /** The owner's passkey, for what is no user operation. */
  readonly authenticator: Authenticator;
  readonly place: Place;
  close(): Promise<void>;
}

/**
 * Opens the operator.
 * @param mayMake true only for register-master: makes the passkey that --browser or --software asks for
 */
export async function openOperatorProgram(values: Values, voice: Voice, mayMake = false): Promise<OpenOperator> {
  const place = await findPlace(values);
  const relay = relayOf(values, place);
  const sponsor = await keyFromFile(text(values, "sponsor"), undefined);
  const account = addressIn(values, "account") ?? (await rememberedAccount(place));
  await keccakReady();
  const passkey = await openPasskey({ values, voice, place, mayMake });
  const opened = await openOperator({
    rpcUrl: place.rpcUrl,
    deployment: place.deployment,
    authenticator: passkey.authenticator,
    relay,
    ...(account === undefined ? {} : { account }),
    ...(sponsor === undefined ? {} : { sponsor: deviceKey(fromHex(sponsor)) }),
  });
  if (!opened.ok) {
    await passkey.close(opened.failure.detail);
    throw new Refused(opened.failure.code, opened.failure.detail);
  }
  const operator = opened.value;
  return {
    operator,
    authenticator: passkey.authenticator,
    place,
    async close() {
      operator.close();
      await passkey.close("Done. This page can be closed.");
    },
  };
}

/** Opens the operator, acts, and closes it whatever happens. */
export async function withOperator(
  values: Values,
  voice: Voice,
  act: (open: OpenOperator) => Promise<void>,
  mayMake = false,
): Promise<void> {
  const open = await openOperatorProgram(values, voice, mayMake);
  try {
    await act(open);
  } finally {
    await open.close();
  }
}

/** The funded key that sends. @throws UsageError where the chain's node has no account of its own to lend */
export function senderKey({ key, profile }: Pick<Place, "key" | "profile">): { readonly key?: Hex } {
  if (key !== undefined) return { key };
  if (profile.name === "local") return {};
  throw new UsageError("A funded key is needed to send: --key-file FILE, or --bundler URL.");
}

/** The address that an option names, lowercase; undefined where it is not given. */
export function addressIn(values: Values, name: string): Hex | undefined {
  const value = text(values, name)?.toLowerCase();
  if (value === undefined || isAddressHex(value)) return value;
  throw new UsageError(`--${name} is not an address`);
}

/** Keeps the account that the passkey of a state folder serves from now on. */
export async function rememberAccount({ stateDir, deployment }: Place, account: Hex): Promise<void> {
  const { chainId } = deployment;
  await writePrivate(join(stateDir, ACCOUNT_FILE), `${JSON.stringify({ chainId, account })}\n`);
}

async function rememberedAccount({ stateDir, deployment }: Place): Promise<Hex | undefined> {
  const content = await readPrivate(join(stateDir, ACCOUNT_FILE));
  const { chainId, account } = JSON.parse(content ?? "{}") as { chainId?: unknown; account?: unknown };
  return chainId === deployment.chainId && isAddressHex(account) ? account : undefined;
}

const ACCOUNT_FILE = "account.json";

function relayOf(values: Values, place: Place): Relay {
  const bundler = text(values, "bundler");
  if (bundler !== undefined) return { kind: "bundler", url: bundler };
  return { kind: "direct", ...senderKey(place) };
}

async function readStack(
  path: string,
): Promise<{ readonly rpcUrl: string; readonly deployment: Deployment; readonly key: Hex | undefined }> {
  const content = await readFile(path, "utf8").catch(() => {
    throw new UsageError(`${path} is missing: is "npm start" running?`);
  });
  const deployment = orRefuse(parseDeployment(content));
  const { rpcUrl, developmentKey } = JSON.parse(content) as { rpcUrl?: unknown; developmentKey?: unknown };
  if (typeof rpcUrl !== "string") throw new UsageError(`${path} names no rpcUrl`);
  return { rpcUrl, deployment, key: isBytes32(developmentKey) ? developmentKey : undefined };
}

import { type Address } from "viem";
import { type ToSmartAccountReturnType, toSmartAccount } from "viem/account-abstraction";
import { getBlock } from "viem/actions";

import type { Deployment } from "../chain/deployment";
import { encodeAgentSignature } from "../wire/agent-signature";
import type { Hex } from "../wire/bytes";
import { encodeExecution, readExecution } from "../wire/execution";
import { keccakReady } from "../wire/keccak";
import { failure, type Result } from "../wire/result";
import type { PackedUserOperation } from "../wire/user-operation";
import { windowAt } from "./sessions";
import { accountCall, viemCalls } from "./viem-account";
import {
  type ChainClient,
  type Implementation,
  RefusalError,
  lower,
  nonceOfKey,
  orThrow,
  packedOf,
  viemEntryPoint,
} from "./viem-operation";

/** What an agent drives its operator's account with. */
export interface AgentKeysSessionAccountOptions {
  /** Reads the deployment's chain. */
  readonly client: ChainClient;
  readonly deployment: Deployment;
  /** The operator's master account, deployed. */
  readonly address: Address;
  /** The agent key's address, which the session was granted to. */
  readonly key: Address;
  /** As granted. */
  readonly windowSeconds: number;
  /** Signs the operation, 106 bytes: `agentKeysClient(…).signOperation` with the key's handle, or any other signer. */
  readonly sign: (operation: PackedUserOperation) => Promise<Result<PackedUserOperation>>;
}

/**
 * A master account in an agent's hands, inside of a session: the nonce key is the session validator's address, the
 * calldata name the rate window of the latest block, and there is no other signature: no messages, no typed data.
 * Refusals are thrown as `RefusalError`. @see contracts/interfaces/ISessionKeyValidator.sol
 */
export async function toAgentKeysSessionAccount(
  options: AgentKeysSessionAccountOptions,
): Promise<ToSmartAccountReturnType<Implementation>> {
  const { client, deployment, windowSeconds, sign } = options;
  await keccakReady();
  const { chainId, entryPoint } = deployment;
  const [address, key] = [lower(options.address), lower(options.key)];

  return toSmartAccount<Implementation>({
    client,
    entryPoint: viemEntryPoint(deployment),
    ...nonceOfKey({ client, entryPoint, address, key: BigInt(deployment.contracts.SessionKeyValidator) }),
    getAddress: () => Promise.resolve(options.address),
    // the owner deploys it
    getFactoryArgs: () => Promise.resolve({}),
    async encodeCalls(calls) {
      const { timestamp } = await getBlock(client);
      const window = windowAt(Number(timestamp), windowSeconds);
      return encodeExecution({ isBatch: calls.length !== 1, window, calls: calls.map(accountCall) });
    },
    decodeCalls: (data) => Promise.resolve(lower(data)).then((some) => viemCalls(readExecution(some)?.calls)),
    getStubSignature: () => Promise.resolve(encodeAgentSignature({ account: address, key, signature: STUB })),
    async signUserOperation({ chainId: asked = chainId, ...unsigned }) {
      if (asked !== chainId) throw notSigned(`it is for chain ${asked}, the account is on chain ${chainId}`);
      return orThrow(await sign(packedOf(unsigned, address))).signature;
    },
    signMessage: () => Promise.reject(notSigned("a session signs operations and nothing else")),
    signTypedData: () => Promise.reject(notSigned("a session signs operations and nothing else")),
  });
}

/** Well-formed and wrong, low s: it costs validation what a right one costs. */
const STUB: Hex = `0x${"7f".repeat(64)}1b`;

function notSigned(what: string): RefusalError {
  return new RefusalError(failure("payload_invalid", `Nothing was signed: ${what}.`));
}

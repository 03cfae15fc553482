import { type Address, type TypedDataDefinition, encodeFunctionData, getAddress, parseAbi, zeroHash } from "viem";
import { type ToSmartAccountReturnType, type WebAuthnAccount, toSmartAccount } from "viem/account-abstraction";
import { getCode, readContract } from "viem/actions";
import { hashMessage, hashTypedData, wrapTypedDataSignature } from "viem/experimental/erc7739";

import type { Deployment } from "../chain/deployment";
import { knownContracts } from "../chain/known-contracts";
import { profileOfChain } from "../chain/profiles";
import { type Hex, fromBase64url, fromHex } from "../wire/bytes";
import { keccakReady } from "../wire/keccak";
import { failure, ok, refuse } from "../wire/result";
import { type AccountCall, decodeExecute, describeCalls, encodeExecute } from "./account-calls";
import { type Authenticator, contractPasskey, dummySignature, encodeAssertion } from "./authenticator";
import { signOperation } from "./user-operation";
import {
  type ChainClient,
  type Implementation,
  RefusalError,
  hashOnChain,
  lower,
  nonceOfKey,
  orThrow,
  packedOf,
  viemEntryPoint,
} from "./viem-operation";

/** What a master account is driven with. */
export interface AgentKeysAccountOptions {
  /** Reads the deployment's chain. */
  readonly client: ChainClient;
  /** What `npm run deploy` or `npm start` wrote, read by `parseDeployment`: chain, factory, EntryPoint and its version. */
  readonly deployment: Deployment;
  /** The passkey; `webAuthnOwner` makes one of viem's. */
  readonly owner: Authenticator;
  /** Distinguishes accounts of one passkey; 0 by custom. */
  readonly salt?: bigint;
}

/** A master account as viem's and permissionless' clients take it. */
export type AgentKeysAccount = ToSmartAccountReturnType<Implementation>;

const FACTORY = parseAbi([
  "struct Passkey { bytes32 credIdHash; bytes32 rpIdHash; bytes32 x; bytes32 y; }",
  "function createAccount(Passkey first, uint256 salt) returns (address account)",
  "function getAddress(Passkey first, uint256 salt) view returns (address account)",
]);

/**
 * The master account of a passkey for `viem/account-abstraction`: deployed by its first operation, nonce key 0, one tap
 * per operation after its owner was shown its calls; messages and typed data are signed by ERC-7739, for ERC-1271.
 *
 * Refusals are thrown as `RefusalError`; what is signed is checked as by our own client. @see signOperation
 */
export async function toAgentKeysAccount(options: AgentKeysAccountOptions): Promise<AgentKeysAccount> {
  const { client, deployment, owner, salt = 0n } = options;
  await keccakReady();
  const { chainId, entryPoint } = deployment;
  const factory = deployment.contracts.MasterAccountFactory;
  const passkey = contractPasskey(owner.credential);
  const created = { abi: FACTORY, args: [passkey, salt] } as const;
  const address = await readContract(client, { ...created, address: factory, functionName: "getAddress" });
  const account = lower(address);
  const factoryData = encodeFunctionData({ ...created, functionName: "createAccount" });

  async function tap(challenge: Hex, shown: readonly string[]): Promise<Hex> {
    requireOwner(owner, chainId);
    const bytes = fromHex(challenge);
    const assertion = orThrow(await owner.getAssertion(bytes, shown));
    return orThrow(encodeAssertion(owner.credential, bytes, assertion));
  }

  const verifierDomain = {
    name: "AgentKeys MasterAccount",
    version: "1",
    chainId: BigInt(chainId),
    verifyingContract: address,
    salt: zeroHash,
  } as const;

  return toSmartAccount<Implementation>({
    client,
    entryPoint: viemEntryPoint(deployment),
    ...nonceOfKey({ client, entryPoint, address, key: 0n }),
    getAddress: () => Promise.resolve(address),
    // in `then`, so that what cannot be encoded rejects and does not throw
    encodeCalls: (calls) => Promise.resolve(calls).then((some) => encodeExecute(some.map(accountCall))),
    decodeCalls: (data) => Promise.resolve(lower(data)).then((some) => viemCalls(decodeExecute(some))),
    getFactoryArgs: () => Promise.resolve({ factory, factoryData }),
    getStubSignature: () => Promise.resolve(dummySignature(owner.credential)),

    async signUserOperation({ chainId: asked = chainId, ...unsigned }) {
      requireOwner(owner, chainId);
      if (asked !== chainId) throw notAsked(`it is for chain ${asked}, the account is on chain ${chainId}`);
      const operation = packedOf(unsigned, address);
      const calls = decodeExecute(operation.callData);
      if (calls === undefined) throw notAsked("its calldata is not a plain call of the account");
      const isDeployed = (await getCode(client, { address })) !== undefined;
      const signed = await signOperation({
        operation,
        domain: deployment,
        asked: calls,
        account,
        initCode: isDeployed ? "0x" : lower(`${factory}${factoryData.slice(2)}`),
        paymasterAndData: ofOurPaymaster(operation.paymasterAndData, deployment),
        hashOnChain: await hashOnChain(client, entryPoint, operation),
        shown: describeCalls(calls, knownContracts(deployment, account)),
        authenticator: owner,
      });
      return orThrow(signed).signature;
    },

    signMessage({ message }) {
      const text = typeof message === "string" ? message : `bytes ${String(message.raw)}`;
      return tap(hashMessage({ message, verifierDomain }), [`the message of account ${account}: ${text}`]);
    },

    async signTypedData(typed) {
      const data = typed as unknown as TypedDataDefinition;
      const { domain, primaryType } = data;
      const what = `${primaryType} of ${domain?.name ?? "?"} at ${domain?.verifyingContract ?? "no contract"}`;
      const signature = await tap(hashTypedData({ ...data, verifierDomain }), [`${what}, for account ${account}`]);
      return wrapTypedDataSignature({ ...data, signature });
    },
  });
}

/** The deployment's paymaster may pay, on whatever terms it accepts; no other is asked for. */
function ofOurPaymaster(paymasterAndData: Hex, { contracts }: Deployment): Hex {
  return paymasterAndData.startsWith(contracts.OperatorPaymaster) ? paymasterAndData : "0x";
}

/** viem's WebAuthn account (`toWebAuthnAccount`, with a browser or a `getFn` of its own) as an owner. */
export function webAuthnOwner(account: WebAuthnAccount, rpId: string): Authenticator {
  const credentialId = fromBase64url(account.id);
  const key = /^0x(?:04)?([0-9a-f]{64})([0-9a-f]{64})$/.exec(lower(account.publicKey));
  if (credentialId === undefined || key === null)
    throw new RangeError("a credential has a base64url id and a P-256 key");
  const [, x = "", y = ""] = key;
  return {
    credential: { credentialId, rpId, x: `0x${x}`, y: `0x${y}` },
    isSoftware: false,
    async getAssertion(challenge) {
      const { raw } = await account.sign({ hash: `0x${Buffer.from(challenge).toString("hex")}` });
      const { authenticatorData, clientDataJSON, signature } = raw.response as unknown as Record<string, ArrayBuffer>;
      if (authenticatorData === undefined || clientDataJSON === undefined || signature === undefined) {
        return refuse("caller_not_allowed", "The authenticator's answer is no assertion.");
      }
      return ok({
        authenticatorData: new Uint8Array(authenticatorData),
        clientDataJSON: new Uint8Array(clientDataJSON),
        signature: new Uint8Array(signature),
      });
    },
  };
}

/** A call of viem's in our own form: nothing is created, and a missing target is not the account itself. */
export function accountCall(call: {
  readonly to?: Address | undefined;
  readonly value?: bigint | undefined;
  readonly data?: Hex | undefined;
}): AccountCall {
  if (call.to === undefined) throw new RangeError("a call names whom it calls");
  return { to: lower(call.to), value: call.value ?? 0n, data: lower(call.data ?? "0x") };
}

/** The calls in viem's form; throws where there are none. */
export function viemCalls(
  calls: readonly AccountCall[] | undefined,
): readonly { to: Address; value: bigint; data: Hex }[] {
  if (calls === undefined) throw new RangeError("the calldata is not one of the account's own encoding");
  return calls.map(({ to, value, data }) => ({ to: getAddress(to), value, data }));
}

/** A key in a file never signs where value is real. */
function requireOwner({ isSoftware }: Authenticator, chainId: number): void {
  if (!isSoftware || !profileOfChain(chainId).production) return;
  const detail = `A software passkey is refused on chain ${chainId}, which holds real value.`;
  throw new RefusalError(failure("caller_not_allowed", detail));
}

function notAsked(what: string): RefusalError {
  return new RefusalError(failure("request_malformed", `The operation was not signed: ${what}.`));
}

import { type JsonRpcProvider, isError } from "ethers";

import { connectContracts } from "../chain/connect";
import type { Deployment } from "../chain/deployment";
import { type PackedUserOperation, entryPointAt } from "../chain/entry-point";
import { knownContracts } from "../chain/known-contracts";
import { profileOfChain } from "../chain/profiles";
import type { Hex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import { gasLimitOf } from "../wire/user-operation";
import { type AccountCall, describeCalls, encodeExecute } from "./account-calls";
import { type Authenticator, contractPasskey, dummySignature } from "./authenticator";
import { type Relay, type SentOperation, estimateAtBundler, refusalFor, sendOperation } from "./send-operation";
import { type Sponsor, sponsorOperation } from "./sponsor";
import { type OperationGas, packOperation, signOperation, userOperationHash } from "./user-operation";

/** The operator's hands: a passkey, a chain, and a way to the EntryPoint. */
export interface OperatorContext {
  readonly provider: JsonRpcProvider;
  readonly deployment: Deployment;
  readonly authenticator: Authenticator;
  readonly relay: Relay;
  /** Has every operation paid for by the paymaster; without one the account or the relay pays. */
  readonly sponsor?: Sponsor;
  /** The account, lowercase, where it is not the one that the passkey made: after a recovery, or for an added passkey. */
  readonly account?: Hex;
}

/** The master account of a passkey, deployed or not. */
export interface MasterAccount {
  /** Lowercase. */
  readonly address: Hex;
  readonly isDeployed: boolean;
  /** Factory and its calldata that deploy it; `0x` once deployed. */
  readonly initCode: Hex;
}

/** By custom, the account with salt 0 is the passkey's own. */
const SALT = 0n;

/** The account that is named, or the passkey's own, asked of the factory. That a lying RPC names another is found by the EntryPoint (AA14, AA24). */
export async function masterAccountOf(
  context: Pick<OperatorContext, "provider" | "deployment" | "authenticator" | "account">,
): Promise<MasterAccount> {
  const { provider, deployment, authenticator, account } = context;
  // nobody else could deploy it: the factory makes accounts for their first passkey
  if (account !== undefined) return { address: account, isDeployed: true, initCode: "0x" };
  const { factory } = connectContracts(deployment, provider);
  const passkey = contractPasskey(authenticator.credential);
  // by name: the bare method is ethers' own on every contract
  const address = await factory.getFunction("getAddress")(passkey, SALT);
  const isDeployed = (await provider.getCode(address)) !== "0x";
  const create = factory.interface.encodeFunctionData("createAccount", [passkey, SALT]);
  const initCode: Hex = isDeployed ? "0x" : `${deployment.contracts.MasterAccountFactory}${create.slice(2)}`;
  return { address: address.toLowerCase() as Hex, isDeployed, initCode };
}

/**
 * Makes the account do these calls, in one user operation signed by one tap: simulated, decoded again, hashed here and
 * by the EntryPoint, shown, signed, sent, and waited for. Deploys the account first where it is missing.
 * @param glossary words for hashes in what is shown
 * @returns contract errors in wire words; `caller_not_allowed` for a software passkey on a production chain
 */
export async function performCalls(
  context: OperatorContext,
  account: MasterAccount,
  calls: readonly AccountCall[],
  glossary: ReadonlyMap<Hex, string> = new Map(),
): Promise<Result<SentOperation>> {
  const { provider, deployment, authenticator, relay } = context;
  const { chainId, entryPoint } = deployment;
  if (authenticator.isSoftware && profileOfChain(chainId).production) {
    return refuse("caller_not_allowed", `A software passkey is refused on chain ${chainId}, which holds real value.`);
  }
  try {
    const callData = encodeExecute(calls);
    const gas = await gasFor(context, account, calls, callData);
    if (!gas.ok) return gas;
    const contract = entryPointAt(entryPoint, provider);
    const nonce = (await contract.getFunction("getNonce")(account.address, 0)) as bigint;
    const { address: sender, initCode } = account;
    const paid = await paidFor(context, packOperation({ sender, nonce, initCode, callData, gas: gas.value }));
    if (!paid.ok) return paid;
    const operation = paid.value;
    const hashOnChain = (await contract.getFunction("getUserOpHash")(operation)) as Hex;
    const signed = await signOperation({
      operation,
      domain: deployment,
      asked: calls,
      account: sender,
      initCode,
      paymasterAndData: operation.paymasterAndData,
      hashOnChain,
      shown: describeCalls(calls, knownContracts(deployment, sender), glossary),
      authenticator,
    });
    if (!signed.ok) return signed;
    return await sendOperation({
      operation: signed.value,
      userOpHash: userOperationHash(operation, deployment),
      entryPoint,
      provider,
      relay,
      gasLimit: gasLimitOf(operation),
    });
  } catch (error) {
    return refusalFor(error);
  }
}

/** The operation, with the paymaster's part where a sponsor is at hand. */
async function paidFor(
  { provider, deployment, sponsor }: OperatorContext,
  operation: PackedUserOperation,
): Promise<Result<PackedUserOperation>> {
  return sponsor === undefined ? ok(operation) : sponsorOperation({ provider, deployment, sponsor, operation });
}

// measured on EntryPoint v0.8: 20,000 with the precompile, 185,000 with the Solidity verifier; 110,000 for the clone
const VERIFICATION_GAS = 300_000n;
const VERIFICATION_GAS_IN_SOLIDITY = 800_000n;
const CREATION_GAS = 400_000n;
const CALL_GAS = 350_000n;
const CALL_GAS_PER_BYTE = 700n;
// what the paymaster owes whoever sends the transaction: 21,000, the EntryPoint's own work, and the calldata
const TRANSACTION_GAS = 50_000n;
const GAS_PER_BYTE = 16n;
const OTHER_BYTES = 1_500n;

/** Limits and fees. What the calls would revert with is found here, before the owner is asked for anything. */
async function gasFor(
  context: OperatorContext,
  account: MasterAccount,
  calls: readonly AccountCall[],
  callData: Hex,
): Promise<Result<OperationGas>> {
  const { provider, deployment, authenticator, relay } = context;
  const verification =
    deployment.contracts.P256Verifier === undefined ? VERIFICATION_GAS : VERIFICATION_GAS_IN_SOLIDITY;
  const verificationGasLimit = verification + (account.isDeployed ? 0n : CREATION_GAS);
  let callGasLimit = CALL_GAS * BigInt(calls.length) + CALL_GAS_PER_BYTE * BigInt(callData.length / 2);
  if (account.isDeployed) {
    try {
      const estimate = { from: deployment.entryPoint, to: account.address, data: callData };
      callGasLimit = ((await provider.estimateGas(estimate)) * 5n) / 4n + 50_000n;
    } catch (error) {
      if (isError(error, "CALL_EXCEPTION")) return refusalFor(error);
      // some chains cannot estimate: the rule of thumb above stands
    }
  }
  const free = {
    verificationGasLimit,
    callGasLimit,
    preVerificationGas: 0n,
    maxFeePerGas: 0n,
    maxPriorityFeePerGas: 0n,
  };
  if (relay.kind === "direct" && context.sponsor === undefined) return ok(free);

  const { maxFeePerGas, maxPriorityFeePerGas, gasPrice } = await provider.getFeeData();
  const fees = {
    maxFeePerGas: maxFeePerGas ?? gasPrice ?? 0n,
    maxPriorityFeePerGas: maxPriorityFeePerGas ?? gasPrice ?? 0n,
  };
  const { address: sender, initCode } = account;
  if (relay.kind === "direct") {
    const bytes = BigInt((callData.length + initCode.length) / 2) + OTHER_BYTES;
    return ok({ ...free, ...fees, preVerificationGas: TRANSACTION_GAS + GAS_PER_BYTE * bytes });
  }
  const nonce = (await entryPointAt(deployment.entryPoint, provider).getFunction("getNonce")(sender, 0)) as bigint;
  const draft = packOperation({ sender, nonce, initCode, callData, gas: { ...free, ...fees } });
  const paid = await paidFor(context, draft);
  if (!paid.ok) return paid;
  const dummy = { ...paid.value, signature: dummySignature(authenticator.credential) };
  const estimate = await estimateAtBundler(relay.url, dummy, deployment.entryPoint);
  if (!estimate.ok) return estimate;
  return ok({ ...free, ...fees, preVerificationGas: estimate.value });
}

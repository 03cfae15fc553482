import { type JsonRpcProvider, type TransactionReceipt, Wallet, isError } from "ethers";

import { contractError, contractFailure } from "../chain/contract-errors";
import { ENTRY_POINT, type PackedUserOperation, entryPointAt } from "../chain/entry-point";
import type { Hex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import { PAYMASTER_HEAD } from "../wire/user-operation";

/** How a signed operation reaches the EntryPoint. */
export type Relay =
  /** Straight to `EntryPoint.handleOps`, from a funded key that pays for it; without one, from the node's own account. */
  | { readonly kind: "direct"; readonly key?: Hex }
  /** Through an ERC-4337 bundler; the account itself pays. */
  | { readonly kind: "bundler"; readonly url: string };

/** An operation that is in the chain. */
export interface SentOperation {
  readonly userOpHash: Hex;
  readonly transactionHash: Hex;
  /** Of the whole transaction where it was sent directly, of the operation where a bundler sent it. */
  readonly gasUsed: number;
}

/** What sending needs. */
export interface SendRequest {
  readonly operation: PackedUserOperation;
  readonly userOpHash: Hex;
  readonly entryPoint: Hex;
  readonly provider: JsonRpcProvider;
  readonly relay: Relay;
  /** Sum of the operation's gas limits. */
  readonly gasLimit: bigint;
}

/** Sends an operation and waits until it is in a block; a revert inside it is named by the contract's own error. */
export async function sendOperation(request: SendRequest): Promise<Result<SentOperation>> {
  try {
    return await (request.relay.kind === "direct"
      ? sendDirectly(request, request.relay.key)
      : sendThroughBundler(request, request.relay.url));
  } catch (error) {
    return refusalFor(error);
  }
}

/** What an EntryPoint, an RPC or a bundler said, in words; a bug of ours is thrown on. */
export function refusalFor(error: unknown): Result<never> {
  if (isError(error, "CALL_EXCEPTION")) {
    if (error.revert?.name === "FailedOp") return failedOp(error.revert.args[1]);
    if (error.revert?.name === "FailedOpWithRevert") {
      const { 1: reason, 2: inner } = error.revert.args as unknown as readonly [bigint, string, string];
      return contractError(inner) === undefined ? failedOp(reason) : { ok: false, failure: contractFailure(inner) };
    }
    return { ok: false, failure: contractFailure(error.data ?? "0x") };
  }
  if (isError(error, "INSUFFICIENT_FUNDS")) {
    return refuse("caller_not_allowed", "The key that sends the transaction has not enough funds: top it up.");
  }
  if (error instanceof Error && "code" in error && typeof error.code === "string") {
    return refuse("chain_unavailable", `The chain cannot be asked: ${error.code.toLowerCase().replaceAll("_", " ")}.`);
  }
  throw error;
}

const FAILED_OPS: Readonly<Record<string, string>> = {
  AA21: "the account has too little money for gas: send it some, or send the operation from a funded key",
  AA23: "the account refused the operation",
  AA24: "the account does not know this passkey",
  AA25: "another operation of the account came first: try again",
  AA13: "the account could not be deployed",
  AA31: "the paymaster's deposit is too low",
  AA32: "the paymaster's signature or its budget has ended, or the window changed: try again",
  AA33: "the paymaster refused the operation",
  AA34: "the paymaster does not know this sponsor key",
  AA95: "the transaction's gas limit is too low",
};

function failedOp(reason: unknown): Result<never> {
  const code = String(reason).slice(0, 4);
  return refuse("caller_not_allowed", `The EntryPoint refused: ${FAILED_OPS[code] ?? String(reason)} (${code}).`);
}

async function sendDirectly(request: SendRequest, key: Hex | undefined): Promise<Result<SentOperation>> {
  const { operation, userOpHash, entryPoint, provider, gasLimit } = request;
  const relay = key === undefined ? await provider.getSigner(0) : new Wallet(key, provider);
  const contract = entryPointAt(entryPoint, relay);
  const handleOps = contract.getFunction("handleOps");
  // 63/64 rule, the EntryPoint's own work, and calldata; given here because some chains cannot estimate it
  const limit = (gasLimit * 64n) / 63n + 150_000n;
  await handleOps.staticCall([operation], relay.address, { gasLimit: limit });
  const transaction = await handleOps.send([operation], relay.address, { gasLimit: limit });
  const receipt = await transaction.wait();
  if (receipt === null) return refuse("chain_unavailable", "The transaction is not in a block yet.");
  return outcome(receipt, entryPoint, userOpHash);
}

function outcome(receipt: TransactionReceipt, entryPoint: Hex, userOpHash: Hex): Result<SentOperation> {
  const events = receipt.logs
    .filter(({ address }) => address.toLowerCase() === entryPoint)
    .flatMap((log) => ENTRY_POINT.parseLog(log) ?? []);
  const mine = events.filter(({ args }) => args["userOpHash"] === userOpHash);
  const event = mine.find(({ name }) => name === "UserOperationEvent");
  if (event === undefined) return refuse("chain_unavailable", "The transaction does not hold the operation.");
  if (event.args["success"] !== true) {
    const reverted = mine.find(({ name }) => name === "UserOperationRevertReason");
    const data = reverted === undefined ? "0x" : (reverted.args["revertReason"] as string);
    return { ok: false, failure: contractFailure(data) };
  }
  return ok({ userOpHash, transactionHash: receipt.hash as Hex, gasUsed: Number(receipt.gasUsed) });
}

const BUNDLER_STEP_MS = 500;
const BUNDLER_STEPS = 240;

async function sendThroughBundler(request: SendRequest, url: string): Promise<Result<SentOperation>> {
  const { operation, userOpHash, entryPoint } = request;
  const sent = await askBundler(url, "eth_sendUserOperation", [unpacked(operation), entryPoint]);
  if (!sent.ok) return sent;
  if (sent.value !== userOpHash)
    return refuse("request_malformed", "The bundler computes another hash: it was given up.");
  for (let step = 0; step < BUNDLER_STEPS; step += 1) {
    const answer = await askBundler(url, "eth_getUserOperationReceipt", [userOpHash]);
    if (!answer.ok) return answer;
    if (answer.value !== null) return bundlerOutcome(answer.value as BundlerReceipt, userOpHash);
    await new Promise((resolve) => setTimeout(resolve, BUNDLER_STEP_MS));
  }
  return refuse("chain_unavailable", "The bundler has not put the operation into a block within two minutes.");
}

/** The preVerificationGas that a bundler asks for this operation, which carries a dummy signature. */
export async function estimateAtBundler(
  url: string,
  operation: PackedUserOperation,
  entryPoint: Hex,
): Promise<Result<bigint>> {
  const answer = await askBundler(url, "eth_estimateUserOperationGas", [unpacked(operation), entryPoint]);
  if (!answer.ok) return answer;
  const { preVerificationGas } = (answer.value ?? {}) as { preVerificationGas?: unknown };
  if (typeof preVerificationGas !== "string") return refuse("chain_unavailable", "The bundler gives no estimate.");
  return ok(BigInt(preVerificationGas));
}

interface BundlerReceipt {
  readonly success: boolean;
  readonly reason?: string;
  readonly actualGasUsed: string;
  readonly receipt: { readonly transactionHash: Hex };
}

function bundlerOutcome(answer: BundlerReceipt, userOpHash: Hex): Result<SentOperation> {
  if (!answer.success) return { ok: false, failure: contractFailure(answer.reason ?? "0x") };
  const { transactionHash } = answer.receipt;
  return ok({ userOpHash, transactionHash, gasUsed: Number(answer.actualGasUsed) });
}

/** The unpacked form that bundlers take (ERC-7769). */
function unpacked(operation: PackedUserOperation): Record<string, string> {
  const { sender, nonce, initCode, callData, accountGasLimits, preVerificationGas, gasFees, signature } = operation;
  const [verificationGasLimit, callGasLimit] = halves(accountGasLimits);
  const [maxPriorityFeePerGas, maxFeePerGas] = halves(gasFees);
  const factory: Record<string, string> =
    initCode === "0x" ? {} : { factory: initCode.slice(0, 42), factoryData: `0x${initCode.slice(42)}` };
  return {
    sender,
    nonce: quantity(nonce),
    ...factory,
    callData,
    ...paymasterMembers(operation.paymasterAndData),
    callGasLimit,
    verificationGasLimit,
    preVerificationGas: quantity(preVerificationGas),
    maxFeePerGas,
    maxPriorityFeePerGas,
    signature,
  };
}

function paymasterMembers(data: Hex): Record<string, string> {
  if (data === "0x") return {};
  const [paymasterVerificationGasLimit, paymasterPostOpGasLimit] = halves(`0x${data.slice(42, PAYMASTER_HEAD)}`);
  return {
    paymaster: data.slice(0, 42),
    paymasterVerificationGasLimit,
    paymasterPostOpGasLimit,
    paymasterData: `0x${data.slice(PAYMASTER_HEAD)}`,
  };
}

function halves(word: Hex): readonly [string, string] {
  return [quantity(BigInt(word.slice(0, 34))), quantity(BigInt(`0x${word.slice(34)}`))];
}

function quantity(value: bigint): string {
  return `0x${value.toString(16)}`;
}

async function askBundler(url: string, method: string, params: readonly unknown[]): Promise<Result<unknown>> {
  try {
    const response = await fetch(url, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ jsonrpc: "2.0", id: 1, method, params }),
      signal: AbortSignal.timeout(20_000),
      redirect: "error",
    });
    const { result, error } = (await response.json()) as { result?: unknown; error?: { message?: string } };
    if (error !== undefined)
      return refuse("caller_not_allowed", `The bundler refused: ${error.message ?? "no reason"}.`);
    return ok(result ?? null);
  } catch {
    return refuse("chain_unavailable", "The bundler does not answer.");
  }
}

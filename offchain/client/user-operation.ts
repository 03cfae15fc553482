import { type Hex, fromHex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import { type EntryPointDomain, type PackedUserOperation, packTwo, userOperationHash } from "../wire/user-operation";
import { type AccountCall, decodeExecute } from "./account-calls";
import { type Authenticator, encodeAssertion } from "./authenticator";

export { type EntryPointDomain, packTwo, userOperationHash } from "../wire/user-operation";

/** Gas and fees of one operation. */
export interface OperationGas {
  readonly verificationGasLimit: bigint;
  readonly callGasLimit: bigint;
  readonly preVerificationGas: bigint;
  /** Wei; both zero where whoever sends the transaction pays for it. */
  readonly maxPriorityFeePerGas: bigint;
  readonly maxFeePerGas: bigint;
}

/** An operation without its signature. */
export function packOperation(operation: {
  readonly sender: Hex;
  readonly nonce: bigint;
  readonly initCode: Hex;
  readonly callData: Hex;
  readonly gas: OperationGas;
}): PackedUserOperation {
  const { sender, nonce, initCode, callData, gas } = operation;
  return {
    sender,
    nonce,
    initCode,
    callData,
    accountGasLimits: packTwo(gas.verificationGasLimit, gas.callGasLimit),
    preVerificationGas: gas.preVerificationGas,
    gasFees: packTwo(gas.maxPriorityFeePerGas, gas.maxFeePerGas),
    paymasterAndData: "0x",
    signature: "0x",
  };
}

/** An operation that is about to be signed, and what was asked for. */
export interface SigningRequest {
  readonly operation: PackedUserOperation;
  readonly domain: EntryPointDomain;
  /** The calls that the owner asked for. */
  readonly asked: readonly AccountCall[];
  /** The account that the owner knows as theirs. */
  readonly account: Hex;
  /** The one `initCode` that would be right; empty for a deployed account. */
  readonly initCode: Hex;
  /** The paymaster and its terms that the owner asked for; `0x` where the account pays itself. */
  readonly paymasterAndData: Hex;
  /** The EntryPoint's own `getUserOpHash` of this operation, from the chain. */
  readonly hashOnChain: Hex;
  /** What the owner is shown, one line per call. */
  readonly shown: readonly string[];
  readonly authenticator: Authenticator;
}

/**
 * Signs only what was asked for: the calldata decodes to just those calls, nothing else is in the operation, and the
 * hash computed here is the one that the EntryPoint computes. @see drill D18
 * @returns `request_malformed` before the owner is asked, when anything differs
 */
export async function signOperation(request: SigningRequest): Promise<Result<PackedUserOperation>> {
  const { operation, domain, asked, account, initCode, paymasterAndData, hashOnChain, shown, authenticator } = request;
  const refused = (what: string): Result<never> =>
    refuse("request_malformed", `The operation is not what was asked for, and was not signed: ${what}.`);
  const calls = decodeExecute(operation.callData);
  if (calls === undefined) return refused("its calldata is not a plain call of the account");
  if (!isSameCalls(calls, asked)) return refused("its calldata makes other calls");
  if (operation.sender !== account) return refused("it is for another account");
  if (operation.initCode !== initCode) return refused("it deploys something else");
  if (operation.paymasterAndData !== paymasterAndData) return refused("it names another paymaster");
  const hash = userOperationHash(operation, domain);
  if (hash !== hashOnChain) return refused("the EntryPoint computes another hash for it");
  const assertion = await authenticator.getAssertion(fromHex(hash), shown);
  if (!assertion.ok) return assertion;
  const signature = encodeAssertion(authenticator.credential, fromHex(hash), assertion.value);
  return signature.ok ? ok({ ...operation, signature: signature.value }) : signature;
}

function isSameCalls(a: readonly AccountCall[], b: readonly AccountCall[]): boolean {
  return (
    a.length === b.length &&
    a.every(({ to, value, data }, i) => to === b[i]?.to && value === b[i].value && data === b[i].data)
  );
}

import type { Hex } from "../wire/bytes";
import { type Execution, readExecution } from "../wire/execution";
import { type Failure, type Result, failure, ok } from "../wire/result";
import {
  type EntryPointDomain,
  PAYMASTER_HEAD,
  type PackedUserOperation,
  gasLimitOf,
  greatestCostOf,
} from "../wire/user-operation";
import { type Check, firstFailure } from "./check";

/** What an agent asks to have signed. */
export interface SessionQuestion {
  readonly userOperation: PackedUserOperation;
  /** As the request names it. */
  readonly entryPoint: Hex;
  readonly chainId: number;
  /** The operator's master account, from the chain. */
  readonly account: Hex;
}

/** What the signer knows of the chain's sessions; all addresses lowercase. */
export interface SessionRules {
  readonly domain: EntryPointDomain;
  /** The validator that sessions live in; without one, nothing is signed. */
  readonly sessionValidator: Hex | undefined;
  /** Registries, factory, modules: what an agent never calls for the account. */
  readonly ownContracts: readonly Hex[];
  /** The only paymasters that may be named. */
  readonly paymasters: readonly Hex[];
  /** Most gas of one operation, its five fields together. */
  readonly maxGas: bigint;
  /** Most wei that its gas may cost. */
  readonly maxCostWei: bigint;
}

/** EIP-7825's cap of a transaction's gas, and one unit of the chain's currency; a session's own limits are tighter. */
export const SESSION_LIMITS = { maxGas: 16_777_216n, maxCostWei: 10n ** 18n } as const;

interface SessionFacts {
  readonly operation: PackedUserOperation;
  readonly question: SessionQuestion;
  readonly rules: SessionRules;
  /** Undefined where the calldata is not exactly that of a session. */
  readonly execution: Execution | undefined;
}

/**
 * What any session would refuse, whatever its own rules are: the signature would be worth nothing there, and might be
 * worth something elsewhere.
 *
 * Not checked here, because only the chain knows it: the session's actor, key, times, targets, selectors, predicates,
 * spends and counts.
 * @see contracts note 2.5
 */
const SESSION_CHECKS: readonly Check<SessionFacts>[] = [
  operationIsForThisChain,
  senderIsTheAccount,
  nonceKeyIsTheValidator,
  accountIsNotDelegated,
  nothingIsDeployed,
  callDataAreOneExecution,
  targetsAreOutside,
  callsNameAFunction,
  paymasterIsListed,
  gasIsBounded,
];

/** Judges an operation before an agent key signs it; every refusal is `payload_invalid`. Pure. */
export function verifySessionOperation(question: SessionQuestion, rules: SessionRules): Result<Execution> {
  const operation = question.userOperation;
  const execution = readExecution(operation.callData);
  const refused = firstFailure(SESSION_CHECKS, { operation, question, rules, execution });
  if (refused !== undefined) return { ok: false, failure: refused };
  if (execution === undefined) throw new Error("the checks let other calldata pass");
  return ok(execution);
}

function operationIsForThisChain({ question, rules }: SessionFacts): Failure | undefined {
  const { chainId, entryPoint } = rules.domain;
  const isForIt = question.chainId === chainId && question.entryPoint === entryPoint;
  return isForIt ? undefined : refused("it is for another chain or EntryPoint");
}

function senderIsTheAccount({ operation, question }: SessionFacts): Failure | undefined {
  return operation.sender === question.account ? undefined : refused("its sender is not the operator's account");
}

/**
 * The nonce's key alone chooses who validates. Key 0 is the passkeys, and any other names a validator that nobody
 * configured: so where none is configured, no key is right.
 */
function nonceKeyIsTheValidator({ operation, rules }: SessionFacts): Failure | undefined {
  const { sessionValidator } = rules;
  if (sessionValidator === undefined) return refused("no session validator is configured here");
  const isIt = operation.nonce >> 64n === BigInt(sessionValidator);
  return isIt ? undefined : refused("its nonce key is not the session validator");
}

/** EntryPoint v0.8 takes an `initCode` that starts with 0x7702 for a delegation, and hashes it otherwise. @see EIP-7702 */
function accountIsNotDelegated({ operation }: SessionFacts): Failure | undefined {
  return operation.initCode.startsWith("0x7702") ? refused("it is for a delegated key (EIP-7702)") : undefined;
}

function nothingIsDeployed({ operation }: SessionFacts): Failure | undefined {
  return operation.initCode === "0x" ? undefined : refused("it deploys something");
}

function callDataAreOneExecution({ execution }: SessionFacts): Failure | undefined {
  const words =
    "its calldata are not execute(bytes32,bytes) of 1 to 16 calls, single or default batch, in its own encoding";
  return execution === undefined ? refused(words) : undefined;
}

function targetsAreOutside({ execution, rules, question }: SessionFacts): Failure | undefined {
  const inside = [ZERO_ADDRESS, question.account, rules.domain.entryPoint, ...rules.ownContracts];
  const all = rules.sessionValidator === undefined ? inside : [...inside, rules.sessionValidator];
  const isOutside = execution?.calls.every(({ to }) => !all.includes(to)) === true;
  return isOutside ? undefined : refused("it calls the account, the EntryPoint or a contract of AgentKeys");
}

/** One to three bytes reach a fallback function that no rule can name; none at all is a plain transfer. */
function callsNameAFunction({ execution }: SessionFacts): Failure | undefined {
  const isNamed = execution?.calls.every(({ data }) => data === "0x" || data.length >= 2 + 8) === true;
  return isNamed ? undefined : refused("it makes a call of 1 to 3 bytes");
}

function paymasterIsListed({ operation, rules }: SessionFacts): Failure | undefined {
  const { paymasterAndData } = operation;
  if (paymasterAndData === "0x") return undefined;
  if (paymasterAndData.length < PAYMASTER_HEAD) return refused("its paymasterAndData are too short");
  const isListed = rules.paymasters.some((paymaster) => paymasterAndData.startsWith(paymaster));
  return isListed ? undefined : refused("its paymaster is not listed");
}

/** As the validator counts it: all five gas fields times maxFeePerGas. */
function gasIsBounded({ operation, rules }: SessionFacts): Failure | undefined {
  const gas = gasLimitOf(operation);
  if (gas > rules.maxGas) return refused("its gas limits are too high");
  return greatestCostOf(operation) > rules.maxCostWei ? refused("its gas may cost too much") : undefined;
}

const ZERO_ADDRESS: Hex = `0x${"00".repeat(20)}`;

function refused(why: string): Failure {
  return failure("payload_invalid", `The user operation cannot be signed: ${why}.`);
}

import type { Contracts, SessionStruct } from "../chain/connect";
import type { Hex } from "../wire/bytes";
import type { AccountCall } from "./account-calls";

/** How a predicate compares a word of a call's data with its own, both as unsigned numbers. */
export const COMPARISON = { equal: 0, notEqual: 1, atMost: 2, atLeast: 3 } as const;

/** What must be true of one parameter of a call. */
export interface SessionPredicate {
  /** Which 32-byte word after the selector, from 0. */
  readonly word: number;
  readonly is: keyof typeof COMPARISON;
  /** 32 bytes, padded as the ABI does. */
  readonly value: Hex;
}

/** One function of one contract that an agent's key may call. */
export interface SessionRule {
  /** Lowercase. */
  readonly target: Hex;
  /** Four bytes; `PLAIN_TRANSFER` for a call without data, and no other. */
  readonly selector: Hex;
  /** Most wei of one call, and of all together. */
  readonly valuePerCall: bigint;
  readonly valueTotal: bigint;
  /** At most 16; all must hold. */
  readonly predicates: readonly SessionPredicate[];
}

/** The selector that stands for a call without data. */
export const PLAIN_TRANSFER: Hex = "0x00000000";

/** What an agent's key may do for the account; whatever is not named is refused. @see contracts/interfaces/ISessionKeyValidator.sol */
export interface Session {
  readonly actorOmni: Hex;
  /** The agent key's address, lowercase. */
  readonly key: Hex;
  /** Unix seconds; live from the first until before the second, at most 7 days from the grant. */
  readonly validAfter: number;
  readonly validUntil: number;
  /** 60 to 604,800. */
  readonly windowSeconds: number;
  /** 1 to 4,095. */
  readonly callsPerWindow: number;
  /** Gwei: all five gas fields times maxFeePerGas. */
  readonly gasPerOperationGwei: number;
  readonly gasTotalGwei: number;
  /** The only paymaster that may pay, and how much; zero for none. */
  readonly paymaster: Hex;
  readonly paymasterTotalGwei: number;
  readonly rules: readonly SessionRule[];
  /** At most one for each token, in its smallest unit; without one, no transfer or approval of it passes. */
  readonly tokenLimits: readonly { readonly token: Hex; readonly total: bigint }[];
}

type Validator = Contracts["sessionValidator"];

/** The session as the contract takes it. */
export function contractSession(session: Session): SessionStruct {
  const rules = session.rules.map(({ predicates, ...rule }) => ({
    ...rule,
    predicates: predicates.map(({ word, is, value }) => ({ word, comparison: COMPARISON[is], value })),
  }));
  return { ...session, rules, tokenLimits: [...session.tokenLimits] };
}

/** The account's calls that begin and end sessions; each is one call of a user operation. */
export function sessionCalls(validator: Validator): {
  /** Replaces the key's earlier session, whose counters do not go on. */
  grant(session: Session): AccountCall;
  /** Reverts `SessionNotLive` where there is none. */
  revoke(key: Hex): AccountCall;
  /** Every session of one agent; none is fine too. */
  revokeActor(actorOmni: Hex): AccountCall;
  /** Every session, and every signed grant not yet used, in constant gas. */
  revokeAll(): AccountCall;
  /** Makes a signed grant worthless. */
  cancelNonce(nonce: bigint): AccountCall;
} {
  const { interface: abi } = validator;
  const call = (data: string): AccountCall => {
    return { to: (validator.target as string).toLowerCase() as Hex, value: 0n, data: data as Hex };
  };
  return {
    grant: (session) => call(abi.encodeFunctionData("grant", [contractSession(session)])),
    revoke: (key) => call(abi.encodeFunctionData("revoke", [key])),
    revokeActor: (actorOmni) => call(abi.encodeFunctionData("revokeActor", [actorOmni])),
    revokeAll: () => call(abi.encodeFunctionData("revokeAll")),
    cancelNonce: (nonce) => call(abi.encodeFunctionData("cancelNonce", [nonce])),
  };
}

/** The number of the rate window that a time is in: what an operation's mode names. */
export function windowAt(seconds: number, windowSeconds: number): number {
  return Math.floor(seconds / windowSeconds);
}

/** First and last second of a window. */
export function windowBounds(window: number, windowSeconds: number): { readonly first: number; readonly last: number } {
  return { first: window * windowSeconds, last: (window + 1) * windowSeconds - 1 };
}

/** What a session has left at one time. */
export interface SessionLeft {
  /** Neither revoked nor expired at the block that was asked. */
  readonly isLive: boolean;
  readonly validAfter: number;
  readonly validUntil: number;
  readonly windowSeconds: number;
  /** The window of that time, and the calls that it still takes. */
  readonly window: number;
  readonly calls: number;
  readonly gasPerOperationGwei: number;
  readonly gasGwei: number;
  readonly paymaster: Hex;
  readonly paymasterGwei: number;
}

/**
 * Reads what a key's session has left.
 * @param seconds the chain's time: Unix seconds of the block that would include an operation
 */
export async function sessionLeft(validator: Validator, account: Hex, key: Hex, seconds: number): Promise<SessionLeft> {
  const { isLive, state, sponsor } = await validator.sessionOf(account, key);
  const windowSeconds = Number(state.windowSeconds);
  const window = windowSeconds === 0 ? 0 : windowAt(seconds, windowSeconds);
  const counted = Number(state.window) === window ? Number(state.calls) : 0;
  return {
    isLive,
    validAfter: Number(state.validAfter),
    validUntil: Number(state.validUntil),
    windowSeconds,
    window,
    calls: Number(state.callsPerWindow) - counted,
    gasPerOperationGwei: Number(state.gasPerOperationGwei),
    gasGwei: Number(state.gasLeftGwei),
    paymaster: sponsor.paymaster.toLowerCase() as Hex,
    paymasterGwei: Number(sponsor.leftGwei),
  };
}

/** Wei that a rule has left; undefined where the session has no such rule. */
export async function valueLeft(
  validator: Validator,
  account: Hex,
  key: Hex,
  rule: Pick<SessionRule, "target" | "selector">,
): Promise<bigint | undefined> {
  const state = await validator.ruleOf(account, key, rule.target, rule.selector);
  return state.isGranted ? state.valueTotal - state.valueSpent : undefined;
}

/** What a token's limit has left, in its smallest unit; zero where there is none. */
export async function tokenLeft(validator: Validator, account: Hex, key: Hex, token: Hex): Promise<bigint> {
  const { total, spent } = await validator.tokenOf(account, key, token);
  return total - spent;
}

import { Wallet } from "ethers";

import { connectContracts } from "../chain/connect";
import type { Hex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import type { ContractPasskey } from "./authenticator";
import type { Consent } from "./guardian-consent";
import { type GuardianMessage, guardianDigest, hashPasskeys } from "./guardian-messages";
import { type RecoveryChain, type RecoveryStatus, readyAtOf, recoveryStatus, spanInWords } from "./recovery-status";
import { refusalFor } from "./send-operation";

/** Who sends: a funded key, which needs no right of its own; without one, the node's own account. */
export interface Sender extends RecoveryChain {
  readonly key?: Hex;
}

/** A transaction that is in the chain. */
export interface Sent {
  readonly transactionHash: Hex;
}

interface GuardianSignature {
  readonly guardian: number;
  readonly signature: Hex;
}

/** Seconds that a start may come later than it could. */
export const START_WINDOW = 7 * 86_400;

/** Starts what the consents say: a recovery. Anyone may. */
export async function startRecovery(sender: Sender, account: Hex, consents: readonly Consent[]): Promise<Result<Sent>> {
  const status = await recoveryStatus(sender, account);
  if (!status.ok) return status;
  const { now, delay, pending } = status.value;
  const enough = enoughConsents(sender, status.value, consents, "start");
  if (!enough.ok) return enough;
  if (pending !== undefined)
    return refuse("caller_not_allowed", `A recovery is pending: ${untilFinish(status.value)}.`);
  const { message, signatures } = enough.value;
  if (message.recoveryNonce !== status.value.recoveryNonce) return usedUp();
  const late = now + delay - message.notBefore;
  if (late > 0) {
    return refuse("request_malformed", `The consents had to be sent ${spanInWords(late)} ago: make a new request.`);
  }
  return send(sender, "start", [account, message.newPasskeys, message.notBefore, signatures]);
}

/** Cancels the pending recovery by guardians. Anyone may submit, at any time until the finish. */
export async function cancelByGuardians(
  sender: Sender,
  account: Hex,
  consents: readonly Consent[],
): Promise<Result<Sent>> {
  const status = await recoveryStatus(sender, account);
  if (!status.ok) return status;
  const enough = enoughConsents(sender, status.value, consents, "cancel");
  if (!enough.ok) return enough;
  if (status.value.pending === undefined) return notPending();
  if (enough.value.message.recoveryNonce !== status.value.pending.recoveryNonce) return usedUp();
  return send(sender, "cancelByGuardians", [account, enough.value.signatures]);
}

/** Withdraws a change of the account by guardians. Anyone may submit. */
export async function cancelChangeByGuardians(
  sender: Sender,
  account: Hex,
  consents: readonly Consent[],
): Promise<Result<Sent>> {
  const status = await recoveryStatus(sender, account);
  if (!status.ok) return status;
  const enough = enoughConsents(sender, status.value, consents, "cancel-change");
  if (!enough.ok) return enough;
  const { message, signatures } = enough.value;
  const ready = await readyAtOf(sender, account, message.change);
  if (!ready.ok) return ready;
  if (ready.value !== message.readyAt) return usedUp();
  return send(sender, "cancelChangeByGuardians", [account, message.change, signatures]);
}

/** Finishes the pending recovery. Anyone may, from its time on. */
export async function finishRecovery(
  sender: Sender,
  account: Hex,
  newPasskeys: readonly ContractPasskey[],
): Promise<Result<Sent>> {
  const status = await recoveryStatus(sender, account);
  if (!status.ok) return status;
  const { pending, now } = status.value;
  if (pending === undefined) return notPending();
  if (hashPasskeys(newPasskeys) !== pending.newPasskeysHash) {
    return refuse("request_malformed", "The recovery was started with other passkeys.");
  }
  if (now < pending.notBefore) return refuse("caller_not_allowed", `Too early: ${untilFinish(status.value)}.`);
  return send(sender, "finish", [account, newPasskeys]);
}

/** The passkeys that the pending recovery was started with, from its event. */
export async function startedWith(
  chain: RecoveryChain,
  { account, pending }: RecoveryStatus,
  fromBlock = 0,
): Promise<Result<readonly ContractPasskey[]>> {
  if (pending === undefined) return notPending();
  const { recovery } = connectContracts(chain.deployment, chain.provider);
  try {
    const filter = recovery.filters.RecoveryStarted(account, pending.recoveryNonce);
    const [event] = await recovery.queryFilter(filter, fromBlock);
    if (event === undefined) return refuse("chain_unavailable", "The chain does not show the start of this recovery.");
    const passkeys = event.args.newPasskeys as unknown as readonly ContractPasskey[];
    return ok(passkeys.map(({ credIdHash, rpIdHash, x, y }) => ({ credIdHash, rpIdHash, x, y })));
  } catch (error) {
    return refusalFor(error);
  }
}

/** Why a live passkey cannot cancel now; undefined where it can. */
export function refusalToCancel(status: RecoveryStatus): Result<never> | undefined {
  const { now, cancellableAt, pending } = status;
  if (pending === undefined) return notPending();
  if (now >= cancellableAt) return undefined;
  const left = `the next time is in ${spanInWords(cancellableAt - now)}; guardians may at any time`;
  return refuse("caller_not_allowed", `A passkey cancels once in 30 days: ${left}.`);
}

/** How long is left of a pending recovery, in words. */
export function untilFinish({ pending, now }: RecoveryStatus): string {
  const left = (pending?.notBefore ?? now) - now;
  return left > 0 ? `it can be finished in ${spanInWords(left)}` : "it can be finished now";
}

type MessageOf<K extends GuardianMessage["kind"]> = Extract<GuardianMessage, { readonly kind: K }>;

/** Whether these are enough consents of the account's guardians to one message of this kind here, in the contract's order. */
function enoughConsents<K extends GuardianMessage["kind"]>(
  { deployment }: RecoveryChain,
  status: RecoveryStatus,
  consents: readonly Consent[],
  kind: K,
): Result<{ readonly message: MessageOf<K>; readonly signatures: readonly GuardianSignature[] }> {
  const wrong = (what: string): Result<never> => refuse("request_malformed", what);
  const { account, guardians, threshold, isConfigured } = status;
  if (!isConfigured) return refuse("caller_not_allowed", `The account ${account} has no guardians.`);
  const found = new Map<number, Hex>();
  for (const { request, guardian, signature } of consents) {
    if (request.chainId !== deployment.chainId) return wrong(`A consent is for chain ${request.chainId}.`);
    if (request.recovery !== deployment.contracts.AccountRecovery) return wrong("A consent is for another contract.");
    if (request.account !== account) return wrong(`A consent is for another account, ${request.account}.`);
    if (request.message.kind !== kind) return wrong(`A consent is to ${request.message.kind}, not to ${kind}.`);
    const index = guardians.indexOf(guardian);
    if (index < 0) return refuse("caller_not_allowed", `${guardian} is no guardian of the account.`);
    found.set(index, signature);
  }
  const [first, ...others] = consents.map(({ request }) => request);
  const missing = threshold - found.size;
  if (first === undefined || missing > 0) {
    const have = `${found.size} of ${threshold} consents`;
    return refuse("caller_not_allowed", `${have}: ${missing} more of the account's guardians must consent.`);
  }
  const digest = guardianDigest(first);
  if (others.some((one) => guardianDigest(one) !== digest)) return wrong("The consents are not to one message.");
  const signatures = [...found].sort(([a], [b]) => a - b).map(([guardian, signature]) => ({ guardian, signature }));
  return ok({ message: first.message as MessageOf<K>, signatures });
}

function notPending(): Result<never> {
  return refuse("caller_not_allowed", "No recovery of this account is pending.");
}

function usedUp(): Result<never> {
  return refuse(
    "request_malformed",
    "The consents are over another nonce: they were used, or dropped by what came after.",
  );
}

async function send(sender: Sender, name: string, args: readonly unknown[]): Promise<Result<Sent>> {
  const { provider, deployment, key } = sender;
  try {
    const signer = key === undefined ? await provider.getSigner(0) : new Wallet(key, provider);
    const act = connectContracts(deployment, signer).recovery.getFunction(name);
    // simulated first, so that a refusal comes with the contract's own error
    await act.staticCall(...args);
    const receipt = await (await act.send(...args)).wait();
    if (receipt?.status !== 1) return refuse("chain_unavailable", "The transaction is not in a block yet.");
    return ok({ transactionHash: receipt.hash as Hex });
  } catch (error) {
    return refusalFor(error);
  }
}

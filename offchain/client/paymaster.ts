import { type ContractTransactionResponse, NonceManager, Wallet, parseEther } from "ethers";

import { connectContracts, connectRpc } from "../chain/connect";
import type { Deployment } from "../chain/deployment";
import { entryPointAt } from "../chain/entry-point";
import type { Hex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import { refusalFor } from "./send-operation";
import type { IOperatorPaymaster } from "../../typechain-types";

/** What the paymaster has, in wei and seconds. */
export interface PaymasterStatus {
  /** What it can pay. */
  readonly deposit: bigint;
  readonly stake: bigint;
  readonly isStaked: boolean;
  /** Seconds between unlocking and withdrawing the stake. */
  readonly unstakeDelay: number;
  /** Unix seconds; 0 while the stake is locked. */
  readonly withdrawTime: number;
}

/** An account's budget now. */
export interface AccountBudget {
  /** Wei per window; 0 where nothing is paid. */
  readonly perWindow: bigint;
  readonly windowSeconds: number;
  readonly validUntil: number;
  /** Wei that the present window has left. */
  readonly left: bigint;
}

interface Where {
  readonly rpcUrl: string;
  readonly deployment: Deployment;
}

/** What the paymaster has, and the budget of an account where one is named. */
export async function paymasterStatus(
  { rpcUrl, deployment }: Where,
  account?: Hex,
): Promise<Result<{ readonly paymaster: PaymasterStatus; readonly budget: AccountBudget | undefined }>> {
  const provider = connectRpc(rpcUrl, deployment.chainId);
  try {
    const { paymaster } = connectContracts(deployment, provider);
    const info = (await entryPointAt(deployment.entryPoint, provider).getFunction("getDepositInfo")(
      deployment.contracts.OperatorPaymaster,
    )) as Readonly<Record<"deposit" | "stake" | "unstakeDelaySec" | "withdrawTime", bigint> & { staked: boolean }>;
    const status = {
      deposit: info.deposit,
      stake: info.stake,
      isStaked: info.staked,
      unstakeDelay: Number(info.unstakeDelaySec),
      withdrawTime: Number(info.withdrawTime),
    };
    return ok({ paymaster: status, budget: account === undefined ? undefined : await budgetNow(paymaster, account) });
  } catch (error) {
    return refusalFor(error);
  } finally {
    provider.destroy();
  }
}

async function budgetNow(paymaster: IOperatorPaymaster, account: Hex): Promise<AccountBudget> {
  const block = await paymaster.runner?.provider?.getBlock("latest");
  const [{ perWindow, windowSeconds, validUntil }, left] = await Promise.all([
    paymaster.budgetOf(account),
    paymaster.leftIn(account, block?.timestamp ?? 0),
  ]);
  return { perWindow, windowSeconds: Number(windowSeconds), validUntil: Number(validUntil), left };
}

/** One of the owner's acts, by the method of the contract. */
export type PaymasterAct = (paymaster: IOperatorPaymaster) => {
  /** Tried first, so that a refusal comes with the contract's own error. */
  readonly simulate: () => Promise<unknown>;
  readonly send: () => Promise<ContractTransactionResponse>;
};

/** Sends one act of the paymaster's owner, or a deposit of anyone, and waits for its block. */
export async function actOnPaymaster(
  { rpcUrl, deployment, key }: Where & { readonly key: Hex },
  act: PaymasterAct,
): Promise<Result<{ readonly transactionHash: Hex }>> {
  const provider = connectRpc(rpcUrl, deployment.chainId);
  try {
    const { paymaster } = connectContracts(deployment, new NonceManager(new Wallet(key, provider)));
    const { simulate, send } = act(paymaster);
    await simulate();
    const receipt = await (await send()).wait();
    if (receipt?.status !== 1) return refuse("chain_unavailable", "The transaction is not in a block yet.");
    return ok({ transactionHash: receipt.hash as Hex });
  } catch (error) {
    return refusalFor(error);
  } finally {
    provider.destroy();
  }
}

/** The owner's acts. Amounts in wei, times in seconds; `to` receives. */
export const PAYMASTER_ACTS = {
  budget: (account: Hex, perWindow: bigint, windowSeconds: number, validUntil: number): PaymasterAct => {
    const args = [account, perWindow, windowSeconds, validUntil] as const;
    return (paymaster) => ({
      simulate: () => paymaster.setBudget.staticCall(...args),
      send: () => paymaster.setBudget(...args),
    });
  },
  addSponsor:
    (address: Hex): PaymasterAct =>
    ({ addSponsor }) => ({ simulate: () => addSponsor.staticCall(address), send: () => addSponsor(address) }),
  removeSponsor:
    (address: Hex): PaymasterAct =>
    ({ removeSponsor }) => ({ simulate: () => removeSponsor.staticCall(address), send: () => removeSponsor(address) }),
  deposit:
    (value: bigint): PaymasterAct =>
    ({ deposit }) => ({ simulate: () => deposit.staticCall({ value }), send: () => deposit({ value }) }),
  stake:
    (value: bigint, delay: number): PaymasterAct =>
    ({ addStake }) => ({
      simulate: () => addStake.staticCall(delay, { value }),
      send: () => addStake(delay, { value }),
    }),
  withdraw:
    (to: Hex, wei: bigint): PaymasterAct =>
    ({ withdraw }) => ({ simulate: () => withdraw.staticCall(to, wei), send: () => withdraw(to, wei) }),
  unlockStake:
    (): PaymasterAct =>
    ({ unlockStake }) => ({ simulate: () => unlockStake.staticCall(), send: () => unlockStake() }),
  withdrawStake:
    (to: Hex): PaymasterAct =>
    ({ withdrawStake }) => ({ simulate: () => withdrawStake.staticCall(to), send: () => withdrawStake(to) }),
} as const;

/** Deposit and stake for a development chain: ten of its coins, and one for a day. */
export async function fundPaymaster(where: Where & { readonly key: Hex }): Promise<void> {
  for (const act of [PAYMASTER_ACTS.deposit(parseEther("10")), PAYMASTER_ACTS.stake(parseEther("1"), 86_400)]) {
    const done = await actOnPaymaster(where, act);
    if (!done.ok) throw new Error(done.failure.detail);
  }
}

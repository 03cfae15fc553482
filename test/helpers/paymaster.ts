import { randomBytes } from "node:crypto";

import { time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import type { ContractTransactionReceipt } from "ethers";
import { ethers } from "hardhat";

import type { PackedUserOperation } from "../../offchain/chain/entry-point";
import type { AccountCall } from "../../offchain/client/account-calls";
import { type DeviceKey, deviceKey } from "../../offchain/client/device-key-file";
import type { Hex } from "../../offchain/wire/bytes";
import {
  type PaymasterDomain,
  type SponsorshipTerms,
  encodePaymasterAndData,
  sponsorshipDigest,
} from "../../offchain/wire/sponsorship";
import type { EntryPointVersion } from "../../ignition/modules/EntryPoint";
import type { OperatorPaymaster } from "../../typechain-types";
import { AccountWorld, type TestPasskey, sha256, testPasskey } from "./account";

/** Length of the budgets' windows. */
export const WINDOW = 3_600;
export const ETHER = 10n ** 18n;
const FAR = 2 ** 40;

/** An account world with a staked paymaster, a sponsor, and an account without any money that has a budget. */
export interface PaymasterWorld {
  readonly world: AccountWorld;
  readonly paymaster: OperatorPaymaster;
  readonly domain: PaymasterDomain;
  readonly sponsor: DeviceKey;
  readonly passkey: TestPasskey;
  /** Deployed, no deposit, budget of one ether per window. */
  readonly account: Hex;
}

/** Deploys one; the sponsor's key is always the same. */
export async function paymasterWorld(version: EntryPointVersion): Promise<PaymasterWorld> {
  const world = await AccountWorld.over(version);
  const [owner] = await ethers.getSigners();
  if (owner === undefined) throw new Error("the network has no accounts");
  const sponsor = deviceKey(sha256("sponsor of tests"));
  const paymaster = await ethers.deployContract("OperatorPaymaster", [world.domain.entryPoint, owner, sponsor.address]);
  await (await paymaster.deposit({ value: 100n * ETHER })).wait();
  await (await paymaster.addStake(86_400, { value: ETHER })).wait();
  const passkey = testPasskey("sponsored");
  await (await world.factory.createAccount(passkey.contract, 0)).wait();
  const account = await accountAddress(world, passkey);
  const domain = { chainId: world.domain.chainId, paymaster: (paymaster.target as string).toLowerCase() as Hex };
  const made = { world, paymaster, domain, sponsor, passkey, account };
  await setBudget(made, ETHER);
  await startWindow();
  return made;
}

/** Where the account of `passkey` is, deployed or not. */
export async function accountAddress(world: AccountWorld, passkey: TestPasskey): Promise<Hex> {
  const name = "getAddress((bytes32,bytes32,bytes32,bytes32),uint256)";
  return ((await world.factory.getFunction(name).staticCall(passkey.contract, 0n)) as string).toLowerCase() as Hex;
}

/** Moves the clock to the first second of the next window, so that no test meets its end. */
export async function startWindow(): Promise<number> {
  const start = (Math.floor((await time.latest()) / WINDOW) + 1) * WINDOW;
  await time.increaseTo(start);
  return start;
}

/** Wei per window for the account, or another. */
export async function setBudget(at: PaymasterWorld, wei: bigint, more: BudgetWish = {}): Promise<void> {
  const { account = at.account, windowSeconds = WINDOW, validUntil = FAR } = more;
  await (await at.paymaster.setBudget(account, wei, windowSeconds, validUntil)).wait();
}

interface BudgetWish {
  readonly account?: string;
  readonly windowSeconds?: number;
  readonly validUntil?: number;
}

/** What is wanted of a sponsored operation; all members have an honest value by default. */
export interface SponsorWish {
  readonly calls?: readonly AccountCall[];
  readonly sender?: Hex;
  readonly passkey?: TestPasskey;
  readonly initCode?: Hex;
  readonly terms?: Partial<SponsorshipTerms>;
  readonly sponsor?: DeviceKey;
  readonly domain?: PaymasterDomain;
  /** Another than the account's next, for several operations in one bundle. */
  readonly nonce?: bigint;
  readonly callGasLimit?: bigint;
  /** After the sponsor signed, before the account signs. */
  readonly changed?: (operation: PackedUserOperation) => PackedUserOperation;
}

/** Good for ten minutes: the network's clock goes on between snapshots. */
export async function terms(wish: Partial<SponsorshipTerms> = {}): Promise<SponsorshipTerms> {
  const latest = await time.latest();
  return {
    verificationGasLimit: 120_000n,
    postOpGasLimit: 30_000n,
    validAfter: 0,
    validUntil: latest + 600,
    ...wish,
  };
}

/** An operation that the sponsor signed and then the account. */
export async function sponsored(at: PaymasterWorld, wish: SponsorWish = {}): Promise<PackedUserOperation> {
  const { world } = at;
  const draft = await world.operation(wish.sender ?? at.account, wish.calls ?? [world.write(1n)], {
    ...(wish.initCode === undefined ? {} : { initCode: wish.initCode }),
  });
  const operation = wish.nonce === undefined ? draft : { ...draft, nonce: wish.nonce };
  const withGas =
    wish.callGasLimit === undefined
      ? operation
      : { ...operation, accountGasLimits: callGas(operation.accountGasLimits, wish.callGasLimit) };
  const signed = await signedBySponsor(at, withGas, wish);
  return world.signed(wish.changed?.(signed) ?? signed, wish.passkey ?? at.passkey);
}

function callGas(limits: Hex, callGasLimit: bigint): Hex {
  return `${limits.slice(0, 34)}${callGasLimit.toString(16).padStart(32, "0")}` as Hex;
}

async function signedBySponsor(
  at: PaymasterWorld,
  operation: PackedUserOperation,
  wish: SponsorWish,
): Promise<PackedUserOperation> {
  const agreed = await terms(wish.terms);
  const sponsor = wish.sponsor ?? at.sponsor;
  const signature = sponsor.sign(sponsorshipDigest(operation, agreed, wish.domain ?? at.domain));
  return { ...operation, paymasterAndData: encodePaymasterAndData(at.domain.paymaster, agreed, signature) };
}

/** What the paymaster's deposit and the account's budget lost by an act, both in wei. */
export async function lost(
  at: PaymasterWorld,
  act: () => Promise<ContractTransactionReceipt>,
): Promise<{ readonly deposit: bigint; readonly budget: bigint; readonly receipt: ContractTransactionReceipt }> {
  const now = async () => await time.latest();
  const depositNow = async () => (await at.world.entryPoint.getFunction("balanceOf")(at.paymaster.target)) as bigint;
  const deposit = await depositNow();
  const budget = await at.paymaster.leftIn(at.account, await now());
  const receipt = await act();
  return {
    deposit: deposit - (await depositNow()),
    budget: budget - (await at.paymaster.leftIn(at.account, await now())),
    receipt,
  };
}

/** A sponsor that nobody knows. */
export function stranger(): DeviceKey {
  return deviceKey(randomBytes(32));
}

import { randomBytes } from "node:crypto";

import { type ContractTransactionReceipt, type Signer, ZeroAddress, concat, toBeHex } from "ethers";
import hre, { ethers } from "hardhat";

import { packOperation, userOperationHash } from "../../offchain/client/user-operation";
import { signAsAgent } from "../../offchain/wire/agent-signature";
import { type Hex, fromHex, toHex } from "../../offchain/wire/bytes";
import { type ExecutionCall, encodeExecution } from "../../offchain/wire/execution";
import { addressOf } from "../../offchain/wire/secp256k1";
import type { PackedUserOperation } from "../../offchain/wire/user-operation";
import type { MasterAccount } from "../../typechain-types";
import type { SessionStruct } from "../../typechain-types/contracts/interfaces/ISessionKeyValidator";
import type { AccountWorld } from "./account";

/** An agent's key in a test's hands. */
export interface TestAgent {
  readonly secret: Buffer;
  /** Lowercase. */
  readonly key: Hex;
}

/** Members of an operation, honest by default. */
export interface OperationWish {
  readonly callData?: Hex;
  readonly nonceKey?: bigint;
  readonly initCode?: Hex;
  readonly paymasterAndData?: Hex;
  readonly gas?: Partial<SessionGas>;
  /** Default: that of now. */
  readonly window?: number;
}

interface SessionGas {
  readonly verificationGasLimit: bigint;
  readonly callGasLimit: bigint;
  readonly preVerificationGas: bigint;
  readonly maxPriorityFeePerGas: bigint;
  readonly maxFeePerGas: bigint;
}

/** 690,000 gas at 1 gwei. */
export const GAS: SessionGas = {
  verificationGasLimit: 300_000n,
  callGasLimit: 330_000n,
  preVerificationGas: 60_000n,
  maxPriorityFeePerGas: 10n ** 9n,
  maxFeePerGas: 10n ** 9n,
};
/** What it costs, as `GAS` says. */
export const GAS_GWEI = 690_000n;
export const WINDOW_SECONDS = 3600;

/** A new agent key; with a number always the same one, so that gas measured with it is exact. */
export function testAgent(seed?: number): TestAgent {
  const secret = seed === undefined ? randomBytes(32) : Buffer.alloc(32, seed);
  return { secret, key: addressOf(secret) };
}

/** Seconds of the latest block. */
export async function chainTime(): Promise<number> {
  const block = await ethers.provider.getBlock("latest");
  if (block === null) throw new Error("the chain has no block");
  return block.timestamp;
}

/** A session of an hour that may do nothing but pay for gas, with the wish on top. */
export async function sessionOf(agent: TestAgent, wish: Partial<SessionStruct> = {}): Promise<SessionStruct> {
  const now = await chainTime();
  return {
    actorOmni: `0x${"ac".repeat(32)}`,
    key: agent.key,
    validAfter: now,
    validUntil: now + 86_400,
    windowSeconds: WINDOW_SECONDS,
    callsPerWindow: 100,
    gasPerOperationGwei: 1_000_000,
    gasTotalGwei: 1_000_000_000,
    paymaster: ZeroAddress,
    paymasterTotalGwei: 0,
    rules: [],
    tokenLimits: [],
    ...wish,
  };
}

/** A rule without predicates; value in wei, per call and in total. */
export function rule(target: unknown, selector: string, valuePerCall = 0n, valueTotal = valuePerCall) {
  return { target: target as string, selector, valuePerCall, valueTotal, predicates: [] };
}

/** The account itself as a sender of transactions. */
export async function asAccount(account: MasterAccount): Promise<Signer> {
  await hre.network.provider.send("hardhat_setBalance", [account.target, "0x3635c9adc5dea00000"]);
  return ethers.getImpersonatedSigner(account.target as string);
}

/** Grants as the account would by an operation of its own. */
export async function grant(
  world: AccountWorld,
  account: MasterAccount,
  session: SessionStruct,
): Promise<ContractTransactionReceipt> {
  const receipt = await (await world.sessions.connect(await asAccount(account)).grant(session)).wait();
  if (receipt === null) throw new Error("the grant was not mined");
  return receipt;
}

/** A call to this contract. */
export function call(to: unknown, data: string, value = 0n): ExecutionCall {
  return { to: (to as string).toLowerCase() as Hex, value, data: data as Hex };
}

/** The calldata of these calls: single mode for one, a batch for more. */
export async function callDataOf(
  calls: readonly ExecutionCall[],
  wish: { readonly window?: number; readonly isBatch?: boolean } = {},
): Promise<Hex> {
  const window = wish.window ?? Math.floor((await chainTime()) / WINDOW_SECONDS);
  return encodeExecution({ isBatch: wish.isBatch ?? calls.length > 1, window, calls });
}

/** An operation of the account's validator that makes these calls, without its signature. */
export async function sessionOperation(
  world: AccountWorld,
  account: MasterAccount,
  calls: readonly ExecutionCall[],
  wish: OperationWish = {},
): Promise<PackedUserOperation> {
  const nonceKey = wish.nonceKey ?? BigInt(world.sessions.target as string);
  const sender = (account.target as string).toLowerCase() as Hex;
  const packed = packOperation({
    sender,
    nonce: (await world.entryPoint.getFunction("getNonce")(sender, nonceKey)) as bigint,
    initCode: wish.initCode ?? "0x",
    callData: wish.callData ?? (await callDataOf(calls, wish.window === undefined ? {} : { window: wish.window })),
    gas: { ...GAS, ...wish.gas },
  });
  return { ...packed, paymasterAndData: wish.paymasterAndData ?? "0x" };
}

/** The operation with the agent's signature. */
export function signedByAgent(
  world: Pick<AccountWorld, "domain">,
  operation: PackedUserOperation,
  { secret }: TestAgent,
  account: Hex = operation.sender,
): PackedUserOperation {
  const hash = fromHex(userOperationHash(operation, world.domain));
  return { ...operation, signature: signAsAgent(account, hash, secret) };
}

/** `paymaster ‖ verification gas ‖ post-operation gas ‖ data`. */
export function paymasterAndData(paymaster: string, verification: bigint, afterwards: bigint, data = "0x"): Hex {
  return concat([paymaster, toBeHex(verification, 16), toBeHex(afterwards, 16), data]).toLowerCase() as Hex;
}

/** What the account answers the EntryPoint about an operation as it stands, changing nothing: its time range when valid. */
export type Verdict =
  | { readonly is: "valid"; readonly after: number; readonly until: number }
  | { readonly is: "unsigned" }
  | { readonly is: "refused"; readonly error: string; readonly args: readonly unknown[] };

/** Asks the account for its verdict, as the EntryPoint would. */
export async function verdictOn(world: AccountWorld, operation: PackedUserOperation): Promise<Verdict> {
  const account = await ethers.getContractAt("MasterAccount", operation.sender);
  const hash = userOperationHash(operation, world.domain);
  const data = account.interface.encodeFunctionData("validateUserOp", [operation, hash, 0n]);
  const answer = await askedBy(world.domain.entryPoint, operation.sender, data);
  if (!answer.ok) {
    const error = world.sessions.interface.parseError(answer.data);
    return { is: "refused", error: error?.name ?? answer.data, args: error?.args.toArray() ?? [] };
  }
  const word = BigInt(answer.data);
  if (word % 2n ** 160n !== 0n) return { is: "unsigned" };
  return { is: "valid", after: Number(word >> 208n), until: Number((word >> 160n) % 2n ** 48n) };
}

/** The verdict in one word: `valid`, `unsigned`, or the error's name. */
export async function wordOn(world: AccountWorld, operation: PackedUserOperation): Promise<string> {
  const verdict = await verdictOn(world, operation);
  return verdict.is === "refused" ? verdict.error : verdict.is;
}

async function askedBy(from: string, to: string, data: string): Promise<{ ok: boolean; data: string }> {
  try {
    return { ok: true, data: (await hre.network.provider.send("eth_call", [{ from, to, data }, "latest"])) as string };
  } catch (error) {
    const { data: inner } = error as { readonly data?: unknown };
    if (typeof inner === "string") return { ok: false, data: inner };
    const nested = (inner as { readonly data?: string } | undefined)?.data;
    if (nested === undefined) throw error;
    return { ok: false, data: nested };
  }
}

/** The bytes with one of them changed. */
export function withByte(bytes: Hex, at: number, change = 1): Hex {
  const buffer = Buffer.from(fromHex(bytes));
  buffer.writeUInt8((buffer[at] ?? 0) ^ change, at);
  return toHex(buffer);
}

import { dataSlice, getBytes, id, keccak256, toBeHex } from "ethers";
import { ethers } from "hardhat";

interface StructLog {
  readonly op: string;
  readonly depth: number;
  readonly stack: readonly string[];
  /** Words of 64 hex digits. */
  readonly memory?: readonly string[];
}

const BEFORE_EXECUTION = id("BeforeExecution()").slice(2);
const CALLS = new Set(["CALL", "STATICCALL", "DELEGATECALL", "CALLCODE"]);
/** ERC-7562 [OP-011]; GAS, CREATE2, BALANCE and SELFBALANCE have rules of their own below. */
const FORBIDDEN = new Set(
  (
    "GASPRICE GASLIMIT DIFFICULTY PREVRANDAO TIMESTAMP BASEFEE BLOCKHASH NUMBER ORIGIN COINBASE SELFDESTRUCT " +
    "BLOBHASH BLOBBASEFEE CREATE BALANCE SELFBALANCE INVALID CALLCODE"
  ).split(" "),
);
const HASHES = new Set(["KECCAK256", "SHA3"]);
const STORAGE = new Set(["SLOAD", "SSTORE", "TLOAD", "TSTORE"]);
/** [STO-021]: how far behind keccak256(account ‖ x) a slot is still the account's. */
const ASSOCIATED_SPAN = 128n;
const OTHERS_CODE = new Set(["EXTCODESIZE", "EXTCODECOPY", "EXTCODEHASH"]);

/** Who an operation is made of; all lowercase. */
export interface Entities {
  readonly entryPoint: string;
  readonly sender: string;
  readonly factory: string;
  /** A staked one, where the operation names any. */
  readonly paymaster?: string;
}

/** keccak256(sender ‖ 32 bytes) of every hash made so far: where storage associated with the sender begins. */
type Associated = Set<bigint>;

interface Frame {
  /** Whose code runs. */
  readonly code: string;
  /** Whose storage it has. */
  readonly context: string;
}

/**
 * What the validation of a mined `handleOps` did against the rules for an unstaked account and factory: forbidden
 * opcodes, storage that is neither the sender's nor associated with it, calls that carry value or go where there is no
 * code. A paymaster may use its own storage, because it has a stake [STO-031]; more that a stake allows is not used. Empty
 * when clean. Reads Hardhat's struct logs up to the EntryPoint's `BeforeExecution`.
 * @see https://eips.ethereum.org/EIPS/eip-7562
 */
export async function erc7562Violations(transaction: string, entities: Entities): Promise<readonly string[]> {
  const trace = (await ethers.provider.send("debug_traceTransaction", [transaction, {}])) as {
    readonly structLogs: readonly StructLog[];
  };
  const logs = trace.structLogs;
  const end = logs.findIndex(
    ({ op, depth, stack }) => op === "LOG1" && depth === 1 && word(stack, 3) === BEFORE_EXECUTION,
  );
  if (end < 0) throw new Error("the transaction is no handleOps: it has no BeforeExecution");
  const found: string[] = [];
  const frames: Frame[] = [{ code: entities.entryPoint, context: entities.entryPoint }];
  const associated: Associated = new Set();
  const entered = new Set<string>();
  let creations = 0;
  for (let i = 0; i < end; i += 1) {
    const log = logs[i];
    const next = logs[i + 1];
    if (log === undefined || next === undefined) break;
    frames.length = log.depth;
    const frame = frames[log.depth - 1];
    if (frame === undefined) throw new Error("the trace enters a frame that nothing called");
    const { sender, factory, paymaster } = entities;
    const entity = frames.find(({ context }) => [sender, factory, paymaster].includes(context))?.context;
    if (entity !== undefined && frame.code !== entities.entryPoint) {
      entered.add(entity);
      if (log.op === "CREATE2") creations += 1;
      if (HASHES.has(log.op)) noteHash(log, entities, associated);
      found.push(...(await violations(log, next, frame, { ...entities, entity }, associated)));
    }
    if (next.depth > log.depth) frames[log.depth] = frameOf(log, frame);
  }
  if (entered.size === 0) throw new Error("the trace shows no validation by the account");
  if (entities.paymaster !== undefined && !entered.has(entities.paymaster)) {
    throw new Error("the trace shows no validation by the paymaster");
  }
  if (creations > 1) found.push("CREATE2 more than once");
  return found;
}

async function violations(
  log: StructLog,
  next: StructLog,
  frame: Frame,
  entities: Entities & { readonly entity: string },
  associated: Associated,
): Promise<readonly string[]> {
  const { op, stack } = log;
  if (FORBIDDEN.has(op)) return [op];
  if (op === "GAS" && !CALLS.has(next.op)) return [`GAS that no call follows but ${next.op}, in ${frame.code}`];
  if (op === "CREATE2" && frame.code !== entities.factory) return ["CREATE2 outside of the factory"];
  const owner = entities.entity === entities.paymaster ? entities.paymaster : entities.sender;
  if (STORAGE.has(op) && frame.context !== owner && !isAssociated(log, associated))
    return [`${op} in the storage of ${frame.context}`];
  if (OTHERS_CODE.has(op)) return withoutCode(op, address(stack, 1), entities);
  if (!CALLS.has(op)) return [];
  const to = address(stack, 2);
  if (op === "CALL" && word(stack, 3) !== "0".repeat(64) && to !== entities.entryPoint) return [`value sent to ${to}`];
  return withoutCode(op, to, entities);
}

/** Takes the preimage from memory: only a hash that was really made of the sender's address counts. */
function noteHash({ stack, memory }: StructLog, { sender }: Entities, associated: Associated): void {
  if (memory === undefined) throw new Error("the trace has no memory");
  const [at, size] = [Number(`0x${word(stack, 1)}`), Number(`0x${word(stack, 2)}`)];
  if (size !== 64) return;
  const preimage = memory
    .map((line) => line.replace(/^0x/, ""))
    .join("")
    .slice(2 * at, 2 * (at + size));
  if (preimage.slice(0, 64) === sender.slice(2).padStart(64, "0"))
    associated.add(BigInt(keccak256(getBytes(`0x${preimage}`))));
}

/** Transient storage has the same rules as storage. */
function isAssociated({ stack }: StructLog, associated: Associated): boolean {
  const slot = BigInt(`0x${word(stack, 1)}`);
  return [...associated].some((start) => slot >= start && slot <= start + ASSOCIATED_SPAN);
}

/** [OP-041]: code is asked for, and called, only where there is some; the sender itself is being made. */
async function withoutCode(op: string, of: string, entities: Entities): Promise<readonly string[]> {
  const isPrecompile = BigInt(of) <= 0x11n || BigInt(of) === 0x100n;
  if (isPrecompile || of === entities.sender || of === entities.entryPoint) return [];
  return (await ethers.provider.getCode(of)) === "0x" ? [`${op} of ${of}, which has no code`] : [];
}

function frameOf(log: StructLog, from: Frame): Frame {
  if (log.op === "CREATE2" || log.op === "CREATE") return { code: "new", context: "new" };
  const to = address(log.stack, 2);
  return { code: to, context: log.op === "DELEGATECALL" ? from.context : to };
}

/** The nth word from the top, 64 hex digits. */
function word(stack: readonly string[], fromTop: number): string {
  const top = stack[stack.length - fromTop] ?? "0";
  return (top.startsWith("0x") ? top.slice(2) : top).padStart(64, "0");
}

function address(stack: readonly string[], fromTop: number): string {
  return dataSlice(toBeHex(BigInt(`0x${word(stack, fromTop)}`), 32), 12).toLowerCase();
}

import { type Hex, fromHex, toHex } from "./bytes";

/** One call that an operation makes the account do. */
export interface ExecutionCall {
  /** Lowercase; zero would mean the account itself. */
  readonly to: Hex;
  /** Wei. */
  readonly value: bigint;
  readonly data: Hex;
}

/** The calldata of a session's operation: `execute(bytes32 mode, bytes executionData)`. @see contracts note 2.5 */
export interface Execution {
  /** ERC-7821 batch; otherwise ERC-7579 single call. */
  readonly isBatch: boolean;
  /** Number of the rate window, the last four bytes of the mode; all others but the first are zero. */
  readonly window: number;
  /** 1 to 16; exactly one where it is no batch. */
  readonly calls: readonly ExecutionCall[];
}

/** The most calls of one operation. */
export const MAX_CALLS = 16;

// first four bytes of keccak256("execute(bytes32,bytes)")
const SELECTOR = Buffer.from("e9ae5c53", "hex");
const WORD = 32;
// selector, mode, offset of the execution data, their length
const HEAD = 4 + 3 * WORD;

/** The one encoding of these calls. */
export function encodeExecution(execution: Execution): Hex {
  return toHex(encode(execution));
}

/**
 * The calls of this calldata: decoded, encoded again and compared, so that what is looked at is what runs.
 * @returns undefined for any calldata that is not exactly `encodeExecution` of 1 to 16 calls
 */
export function readExecution(callData: Hex): Execution | undefined {
  const bytes = fromHex(callData);
  if (bytes.length < HEAD) return undefined;
  const isBatch = bytes[4] === 1;
  const data = bytes.subarray(HEAD);
  const calls = isBatch ? readBatch(data) : readSingle(data, numberAt(bytes, HEAD - WORD));
  if (calls === undefined) return undefined;
  const execution = { isBatch, window: bytes.readUInt32BE(WORD), calls };
  return encode(execution).equals(bytes) ? execution : undefined;
}

function encode({ isBatch, window, calls }: Execution): Buffer {
  const [only] = calls;
  if (only === undefined || calls.length > MAX_CALLS) throw new RangeError("an operation makes 1 to 16 calls");
  if (!isBatch && calls.length !== 1) throw new RangeError("only a batch makes several calls");
  const mode = Buffer.alloc(WORD);
  mode.writeUInt8(isBatch ? 1 : 0);
  mode.writeUInt32BE(window, 28);
  const packed = (): Buffer => Buffer.concat([fromHex(only.to), word(only.value), fromHex(only.data)]);
  return Buffer.concat([SELECTOR, mode, word(2 * WORD), withLength(isBatch ? encodeBatch(calls) : packed())]);
}

/** abi.encode(Call[]), Call = (address to, uint256 value, bytes data). */
function encodeBatch(calls: readonly ExecutionCall[]): Buffer {
  const offsets: Buffer[] = [];
  const tuples: Buffer[] = [];
  let at = calls.length * WORD;
  for (const { to, value, data } of calls) {
    const tuple = Buffer.concat([word(BigInt(to)), word(value), word(3 * WORD), withLength(fromHex(data))]);
    offsets.push(word(at));
    tuples.push(tuple);
    at += tuple.length;
  }
  return Buffer.concat([word(WORD), word(calls.length), ...offsets, ...tuples]);
}

function readSingle(data: Buffer, length: number): readonly ExecutionCall[] | undefined {
  if (length < 20 + WORD || length > data.length) return undefined;
  return [{ to: toHex(data.subarray(0, 20)), value: bigAt(data, 20), data: toHex(data.subarray(52, length)) }];
}

// reads only where the canonical encoding can have it; whether it has, the comparison says
function readBatch(data: Buffer): readonly ExecutionCall[] | undefined {
  const count = numberAt(data, WORD);
  if (!(count >= 1 && count <= MAX_CALLS)) return undefined;
  const calls: ExecutionCall[] = [];
  for (let i = 0; i < count; i += 1) {
    const at = 2 * WORD + numberAt(data, (2 + i) * WORD);
    const start = at + 4 * WORD;
    const end = start + numberAt(data, start - WORD);
    if (!(end <= data.length)) return undefined;
    const to = toHex(data.subarray(at + 12, at + WORD));
    calls.push({ to, value: bigAt(data, at + WORD), data: toHex(data.subarray(start, end)) });
  }
  return calls;
}

/** A word as a number; NaN, which no comparison is true of, where it is cut off or has more than 48 bits. */
function numberAt(bytes: Buffer, at: number): number {
  if (!(at + WORD <= bytes.length) || bytes.subarray(at, at + 26).some((byte) => byte !== 0)) return NaN;
  return bytes.readUIntBE(at + 26, 6);
}

function bigAt(bytes: Buffer, at: number): bigint {
  return BigInt(toHex(bytes.subarray(at, at + WORD)));
}

function word(value: bigint | number): Buffer {
  return Buffer.from(value.toString(16).padStart(2 * WORD, "0"), "hex");
}

/** A `bytes` member: length, bytes, zeros up to the next word. */
function withLength(bytes: Buffer): Buffer {
  return Buffer.concat([word(bytes.length), bytes, Buffer.alloc((WORD - (bytes.length % WORD)) % WORD)]);
}

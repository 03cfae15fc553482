import { expect } from "chai";
import { AbiCoder, concat, id, toBeHex } from "ethers";
import fc from "fast-check";

import { encodeExecute } from "../../../offchain/client/account-calls";
import { type Hex, toHex } from "../../../offchain/wire/bytes";
import { type Execution, type ExecutionCall, encodeExecution, readExecution } from "../../../offchain/wire/execution";

const hex = (min: number, max = min): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) => toHex(bytes));
const anyCall: fc.Arbitrary<ExecutionCall> = fc.record({
  to: hex(20),
  value: fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }),
  data: hex(0, 100),
});
const anyWindow = fc.nat(0xffffffff);
const anyExecution: fc.Arbitrary<Execution> = fc.oneof(
  fc.record({ isBatch: fc.constant(false), window: anyWindow, calls: fc.tuple(anyCall) }),
  fc.record({
    isBatch: fc.constant(true),
    window: anyWindow,
    calls: fc.array(anyCall, { minLength: 1, maxLength: 16 }),
  }),
);

const TARGET: Hex = `0x${"11".repeat(20)}`;
const call: ExecutionCall = { to: TARGET, value: 5n, data: "0xa9059cbb" };
const single: Execution = { isBatch: false, window: 0, calls: [call] };
const batch = (calls: readonly ExecutionCall[]): Execution => ({ isBatch: true, window: 0, calls });

describe("wire: the calldata of a session's operation", () => {
  const SELECTOR = id("execute(bytes32,bytes)").slice(0, 10);
  const coder = AbiCoder.defaultAbiCoder();

  /** As Solidity's `abi.encodeCall` writes it. */
  function byEthers({ isBatch, window, calls }: Execution): string {
    const mode = concat([isBatch ? "0x01" : "0x00", new Uint8Array(27), toBeHex(window, 4)]);
    const [first] = calls;
    const packed = first === undefined ? "0x" : concat([first.to, toBeHex(first.value, 32), first.data]);
    const encoded = coder.encode(["tuple(address to, uint256 value, bytes data)[]"], [calls]);
    return concat([SELECTOR, coder.encode(["bytes32", "bytes"], [mode, isBatch ? encoded : packed])]);
  }

  it("is what ethers encodes, and is read back, for random executions", () => {
    fc.assert(
      fc.property(anyExecution, (execution) => {
        expect(encodeExecution(execution)).to.equal(byEthers(execution));
        expect(readExecution(encodeExecution(execution))).to.deep.equal(execution);
      }),
    );
  });

  it("is what our client sends, in window 0", () => {
    fc.assert(
      fc.property(fc.array(anyCall, { minLength: 1, maxLength: 16 }), (calls) => {
        expect(readExecution(encodeExecute(calls))).to.deep.equal({ isBatch: calls.length > 1, window: 0, calls });
      }),
    );
  });

  it("has no other encoding: a change of any one bit changes the calls or is refused", () => {
    fc.assert(
      fc.property(anyExecution, fc.nat(), (execution, at) => {
        const bytes = Buffer.from(encodeExecution(execution).slice(2), "hex");
        const bit = at % (8 * bytes.length);
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const read = readExecution(toHex(bytes));
        if (read === undefined) return;
        expect(read).to.not.deep.equal(execution);
        expect(encodeExecution(read)).to.equal(toHex(bytes));
      }),
      { numRuns: 2_000 },
    );
  });

  it("is refused cut anywhere, and with anything behind", () => {
    for (const execution of [single, batch([call, { ...call, data: `0x${"12".repeat(33)}` }])]) {
      const good = encodeExecution(execution);
      for (let end = 2; end < good.length; end += 2)
        expect(readExecution(good.slice(0, end) as Hex), `${end / 2 - 1} bytes`).to.equal(undefined);
      for (const tail of ["00", "00".repeat(32), "ff"]) expect(readExecution(`${good}${tail}`)).to.equal(undefined);
      expect(readExecution(good)).to.deep.equal(execution);
    }
  });

  it("is refused in every other mode and shape", () => {
    const word = (value: number | bigint): string => value.toString(16).padStart(64, "0");
    const outer = (mode: string, data: string, offset = 64, behind = ""): Hex => {
      const bytes = data.length / 2;
      const padding = "00".repeat((32 - (bytes % 32)) % 32);
      return `${SELECTOR}${mode}${word(offset)}${word(bytes)}${data}${padding}${behind}` as Hex;
    };
    const tuple = `${word(BigInt(TARGET))}${word(5)}${word(96)}${word(4)}a9059cbb${"00".repeat(28)}`;
    const list = (count: number | bigint, ...parts: readonly string[]): string =>
      word(32) + word(count) + parts.join("");
    const SINGLE = "00".repeat(32);
    const BATCH = `01${"00".repeat(31)}`;
    const packed = `${TARGET.slice(2)}${word(5)}a9059cbb`;
    const one = list(1, word(32), tuple);
    expect(readExecution(outer(SINGLE, packed))).to.deep.equal(single);
    expect(readExecution(outer(BATCH, one))).to.deep.equal(batch([call]));
    const at = (position: number): string => `00`.repeat(position) + "01" + "00".repeat(31 - position);
    const rows: Readonly<Record<string, Hex>> = {
      "another selector": outer(SINGLE, packed).replace(SELECTOR, "0xb61d27f6") as Hex,
      "a delegatecall": outer(`ff${"00".repeat(31)}`, packed),
      "a static call": outer(`fe${"00".repeat(31)}`, packed),
      "a batch that tolerates failures": outer(`0101${"00".repeat(30)}`, one),
      "a single call that tolerates failures": outer(`0001${"00".repeat(30)}`, packed),
      "a batch of batches (ERC-7821)": outer(`01000000000078210002${"00".repeat(22)}`, one),
      "a batch with opData (ERC-7821)": outer(`01000000000078210001${"00".repeat(22)}`, one),
      "a single call read as a batch": outer(BATCH, packed),
      "a batch read as no calls": outer(BATCH, list(0)),
      "no execution data": outer(SINGLE, ""),
      "a single call of 51 bytes": outer(SINGLE, packed.slice(0, 102)),
      "an offset one word further": outer(SINGLE, `${word(0)}${packed}`, 96),
      "an offset into the mode": outer(SINGLE, packed, 0),
      "an offset of 2^255": outer(SINGLE, packed).replace(word(64), word(2n ** 255n)) as Hex,
      "dirty padding": outer(SINGLE, packed).replace(/00$/, "01") as Hex,
      "a length of 2^256-1": outer(SINGLE, packed).replace(word(56), "f".repeat(64)) as Hex,
      "a list one word further": outer(BATCH, word(64) + word(0) + word(1) + word(32) + tuple),
      "two calls at one place": outer(BATCH, list(2, word(64), word(64), tuple)),
      "two calls in reverse order": outer(BATCH, list(2, word(64 + tuple.length / 2), word(64), tuple, tuple)),
      "a gap before a call": outer(BATCH, list(1, word(64), word(0), tuple)),
      "a call that starts in the list": outer(BATCH, list(1, word(0), tuple)),
      "a call beyond the end": outer(BATCH, list(1, word(4096), tuple)),
      "a call at 2^256-32": outer(BATCH, list(1, word(2n ** 256n - 32n), tuple)),
      "a dirty address": outer(BATCH, list(1, word(32), word((1n << 160n) | BigInt(TARGET)), tuple.slice(64))),
      "a call's data one word further": outer(BATCH, list(1, word(32), tuple.replace(word(96), word(128)), word(0))),
      "a call's data of 2^256-1": outer(BATCH, list(1, word(32), tuple.replace(word(4), "f".repeat(64)))),
      "dirty padding of a call": outer(BATCH, list(1, word(32), tuple.replace(/00$/, "01"))),
      "bytes behind the last call": outer(BATCH, list(1, word(32), tuple, word(0))),
      "a count of 2": outer(BATCH, list(2, word(32), tuple)),
      "a count of 2^256-1": outer(BATCH, list(2n ** 256n - 1n, word(32), tuple)),
      "a word behind everything": outer(SINGLE, packed, 64, word(0)),
      ...Object.fromEntries(
        Array.from({ length: 27 }, (_, i) => [`mode byte ${i + 1}`, outer(at(i + 1), packed)] as const),
      ),
      ...Object.fromEntries(
        [0x02, 0x7f, 0x80].map((first) => [`call type ${first}`, outer(word(BigInt(first) << 248n), packed)] as const),
      ),
    };
    for (const [name, callData] of Object.entries(rows)) expect(readExecution(callData), name).to.equal(undefined);
  });

  it("is refused with more than 16 calls, and never encoded", () => {
    const many = Array<ExecutionCall>(17).fill(call);
    expect(readExecution(byEthers(batch(many)) as Hex)).to.equal(undefined);
    expect(readExecution(byEthers(batch(many.slice(1))) as Hex)?.calls).to.have.length(16);
    expect(() => encodeExecution(batch(many))).to.throw(RangeError);
    expect(() => encodeExecution(batch([]))).to.throw(RangeError);
    expect(() => encodeExecution({ ...single, calls: [call, call] })).to.throw(RangeError);
  });
});

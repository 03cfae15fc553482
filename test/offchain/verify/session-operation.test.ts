import { expect } from "chai";
import { concat, zeroPadBytes } from "ethers";
import fc from "fast-check";

import { encodeExecute } from "../../../offchain/client/account-calls";
import {
  SESSION_LIMITS,
  type SessionQuestion,
  type SessionRules,
  verifySessionOperation,
} from "../../../offchain/verify/session-operation";
import { type Hex, toHex } from "../../../offchain/wire/bytes";
import { type Execution, type ExecutionCall, encodeExecution } from "../../../offchain/wire/execution";
import { type PackedUserOperation, packTwo } from "../../../offchain/wire/user-operation";

const hex = (min: number, max = min): fc.Arbitrary<Hex> =>
  fc.uint8Array({ minLength: min, maxLength: max }).map((bytes) => toHex(bytes));
const ACCOUNT: Hex = `0x${"aa".repeat(20)}`;
const TARGET: Hex = `0x${"11".repeat(20)}`;
const VALIDATOR: Hex = `0x08${"51".repeat(19)}`;
const ENTRY_POINT: Hex = `0x${"ee".repeat(20)}`;
const REGISTRY: Hex = `0x${"5f".repeat(20)}`;
const PAYMASTER: Hex = `0x${"fa".repeat(20)}`;
const ZERO: Hex = `0x${"00".repeat(20)}`;

const call: ExecutionCall = { to: TARGET, value: 5n, data: "0xa9059cbb" };
const single: Execution = { isBatch: false, window: 0, calls: [call] };
const batch = (calls: readonly ExecutionCall[], window = 0): Execution => ({ isBatch: true, window, calls });

const rules: SessionRules = {
  domain: { chainId: 31337, entryPoint: ENTRY_POINT, entryPointVersion: "0.8" },
  sessionValidator: VALIDATOR,
  ownContracts: [REGISTRY],
  paymasters: [`0x${"fb".repeat(20)}`, PAYMASTER],
  ...SESSION_LIMITS,
};

const operation: PackedUserOperation = {
  sender: ACCOUNT,
  nonce: (BigInt(VALIDATOR) << 64n) | 3n,
  initCode: "0x",
  callData: encodeExecution(single),
  accountGasLimits: packTwo(100_000n, 200_000n),
  preVerificationGas: 50_000n,
  gasFees: packTwo(1n, 1_000_000_000n),
  paymasterAndData: "0x",
  signature: "0x",
};

const question = (change: Partial<PackedUserOperation> = {}): SessionQuestion => ({
  userOperation: { ...operation, ...change },
  entryPoint: ENTRY_POINT,
  chainId: 31337,
  account: ACCOUNT,
});

function expectRefused(words: RegExp, asked: SessionQuestion, under: SessionRules = rules, name?: string): void {
  const verdict = verifySessionOperation(asked, under);
  expect(verdict.ok ? "signed" : verdict.failure.code, name).to.equal("payload_invalid");
  expect(verdict.ok ? "" : verdict.failure.detail, name).to.match(words);
}

const calling = (execution: Execution): SessionQuestion => question({ callData: encodeExecution(execution) });

/** The paymaster's address, its two gas limits, and data for it. */
const sponsored = (paymaster: Hex, verification = 10_000n, postOp = 20_000n, data: Hex = "0x1234"): Hex =>
  concat([paymaster, packTwo(verification, postOp), data]) as Hex;

describe("verifySessionOperation", () => {
  const accepted: Readonly<Record<string, readonly [SessionQuestion, Execution]>> = {
    "one call": [question(), single],
    "one call in a window": [calling({ ...single, window: 0xffffffff }), { ...single, window: 0xffffffff }],
    "a batch of one": [calling(batch([call])), batch([call])],
    "a batch of sixteen": [calling(batch(Array(16).fill(call), 7)), batch(Array(16).fill(call), 7)],
    "a plain transfer": [
      calling({ ...single, calls: [{ ...call, data: "0x" }] }),
      { ...single, calls: [{ ...call, data: "0x" }] },
    ],
    "another sequence number": [question({ nonce: BigInt(VALIDATOR) << 64n }), single],
    "a listed paymaster": [question({ paymasterAndData: sponsored(PAYMASTER) }), single],
    "a listed paymaster without data": [question({ paymasterAndData: sponsored(PAYMASTER, 0n, 0n, "0x") }), single],
    "a dummy signature": [question({ signature: "0x1234" }), single],
    "no fees": [question({ gasFees: packTwo(0n, 0n) }), single],
  };
  for (const [name, [asked, execution]] of Object.entries(accepted)) {
    it(`accepts: ${name}`, () => {
      expect(verifySessionOperation(asked, rules)).to.deep.equal({ ok: true, value: execution });
    });
  }

  const other: Hex = `0x${"66".repeat(20)}`;
  const refused: Readonly<Record<string, readonly [RegExp, SessionQuestion]>> = {
    "another chain": [/another chain/, { ...question(), chainId: 1 }],
    "another EntryPoint": [/another chain/, { ...question(), entryPoint: other }],
    "another sender": [/sender/, question({ sender: other })],
    "another operator's account": [/sender/, { ...question(), account: other }],
    "the passkeys' nonce key": [/nonce key/, question({ nonce: 3n })],
    "another validator's nonce key": [/nonce key/, question({ nonce: BigInt(other) << 64n })],
    "a nonce key with bits above the address": [/nonce key/, question({ nonce: operation.nonce | (1n << 224n) })],
    "the validator in the sequence": [/nonce key/, question({ nonce: BigInt(VALIDATOR) })],
    "the validator shifted by a byte": [/nonce key/, question({ nonce: BigInt(VALIDATOR) << 72n })],
    "an initCode": [/deploys/, question({ initCode: `${other}1234` })],
    "an initCode of one zero byte": [/deploys/, question({ initCode: "0x00" })],
    "a delegation by EIP-7702": [/7702/, question({ initCode: "0x7702" })],
    "a delegation by EIP-7702, padded": [/7702/, question({ initCode: zeroPadBytes("0x7702", 20) as Hex })],
    "a delegation by EIP-7702 with data": [/7702/, question({ initCode: `${zeroPadBytes("0x7702", 20)}1234` as Hex })],
    "no calldata": [/calldata/, question({ callData: "0x" })],
    "seventeen calls": [/calldata/, question({ callData: encodeExecute(Array<ExecutionCall>(17).fill(call)) })],
    "a target of zero": [/calls the account/, calling({ ...single, calls: [{ ...call, to: ZERO }] })],
    "the account": [/calls the account/, calling({ ...single, calls: [{ ...call, to: ACCOUNT }] })],
    "the EntryPoint": [/calls the account/, calling({ ...single, calls: [{ ...call, to: ENTRY_POINT }] })],
    "the session validator": [/calls the account/, calling({ ...single, calls: [{ ...call, to: VALIDATOR }] })],
    "a contract of ours": [/calls the account/, calling({ ...single, calls: [{ ...call, to: REGISTRY }] })],
    "a contract of ours, last of a batch": [
      /calls the account/,
      calling(batch([...Array<ExecutionCall>(15).fill(call), { ...call, to: REGISTRY }])),
    ],
    "a transfer to the account": [/calls the account/, calling(batch([call, { to: ACCOUNT, value: 1n, data: "0x" }]))],
    "calldata of 1 byte": [/1 to 3 bytes/, calling({ ...single, calls: [{ ...call, data: "0x01" }] })],
    "calldata of 2 bytes": [/1 to 3 bytes/, calling({ ...single, calls: [{ ...call, data: "0x0102" }] })],
    "calldata of 3 bytes, in a batch": [/1 to 3 bytes/, calling(batch([call, { ...call, data: "0x010203" }]))],
    "an unlisted paymaster": [/not listed/, question({ paymasterAndData: sponsored(other) })],
    "a paymaster of zero": [/not listed/, question({ paymasterAndData: sponsored(ZERO) })],
    "a paymaster without its gas": [/too short/, question({ paymasterAndData: PAYMASTER })],
    "a paymaster's data cut by a byte": [
      /too short/,
      question({ paymasterAndData: sponsored(PAYMASTER, 0n, 0n, "0x").slice(0, -2) as Hex }),
    ],
    "one byte of paymaster data": [/too short/, question({ paymasterAndData: "0x00" })],
  };
  for (const [name, [words, asked]] of Object.entries(refused)) {
    it(`refuses: ${name}`, () => {
      expectRefused(words, asked);
    });
  }

  it("signs nothing where no session validator is configured, whatever the nonce key", () => {
    const none = { ...rules, sessionValidator: undefined };
    for (const nonce of [operation.nonce, 3n, 0n, BigInt(other) << 64n])
      expectRefused(/no session validator/, question({ nonce }), none);
  });

  it("bounds the five gas fields together, and what they cost", () => {
    const used = 100_000n + 200_000n + 50_000n + 10_000n + 20_000n;
    const asked = (paymasterAndData = sponsored(PAYMASTER)): SessionQuestion => question({ paymasterAndData });
    expect(verifySessionOperation(asked(), { ...rules, maxGas: used }).ok).to.equal(true);
    expectRefused(/gas limits/, asked(), { ...rules, maxGas: used - 1n });
    expect(verifySessionOperation(asked(), { ...rules, maxCostWei: used * 1_000_000_000n }).ok).to.equal(true);
    expectRefused(/cost/, asked(), { ...rules, maxCostWei: used * 1_000_000_000n - 1n });
    const huge = 2n ** 128n - 1n;
    for (const change of [
      { accountGasLimits: packTwo(huge, 0n) },
      { accountGasLimits: packTwo(0n, huge) },
      { preVerificationGas: 2n ** 256n - 1n },
      { paymasterAndData: sponsored(PAYMASTER, huge, 0n) },
      { paymasterAndData: sponsored(PAYMASTER, 0n, huge) },
    ]) {
      expectRefused(/gas limits/, question(change));
      // also where it would cost nothing
      expectRefused(/gas limits/, question({ ...change, gasFees: packTwo(0n, 0n) }));
    }
    expectRefused(/cost/, question({ gasFees: packTwo(0n, huge) }));
    // the priority fee is not what the operation pays at most
    expect(verifySessionOperation(question({ gasFees: packTwo(huge, 1n) }), rules).ok).to.equal(true);
  });

  it("answers any operation with a value", () => {
    const operations = fc.record({
      sender: hex(20),
      nonce: fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }),
      initCode: hex(0, 40),
      callData: hex(0, 400),
      accountGasLimits: hex(32),
      preVerificationGas: fc.bigInt({ min: 0n, max: 2n ** 256n - 1n }),
      gasFees: hex(32),
      paymasterAndData: hex(0, 120),
      signature: hex(0, 70),
    });
    fc.assert(
      fc.property(operations, (random) => {
        expect(verifySessionOperation({ ...question(), userOperation: random }, rules).ok).to.equal(false);
        const { callData, accountGasLimits, paymasterAndData } = random;
        for (const change of [{ callData }, { paymasterAndData }, { accountGasLimits }]) {
          const verdict = verifySessionOperation(question(change), rules);
          expect(verdict.ok && Object.keys(change)[0]).to.be.oneOf([false, "accountGasLimits", "paymasterAndData"]);
        }
      }),
    );
  });
});

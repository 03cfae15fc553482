import { expect } from "chai";
import { loadFixture } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { concat, toBeHex } from "ethers";
import hre, { ethers } from "hardhat";

import { userOperationHash } from "../../../offchain/client/user-operation";
import type { Hex } from "../../../offchain/wire/bytes";
import { type ExecutionCall, encodeExecution } from "../../../offchain/wire/execution";
import type { PackedUserOperation } from "../../../offchain/wire/user-operation";
import { AccountWorld, assertion, failure, randomHash, testPasskey } from "../../helpers/account";
import {
  GAS,
  GAS_GWEI,
  type OperationWish,
  WINDOW_SECONDS,
  call,
  callDataOf,
  chainTime,
  grant,
  paymasterAndData,
  rule,
  sessionOf,
  sessionOperation,
  signedByAgent,
  testAgent,
  verdictOn,
  withByte,
  wordOn,
} from "../../helpers/session";

const PAYMASTER: Hex = `0x${"9a".repeat(20)}`;
const SPENDER: Hex = `0x${"5e".repeat(20)}`;
const word = (value: bigint | string): string => toBeHex(value, 32).slice(2);
const TRANSFER = "0xa9059cbb";

/** One account whose agent may: `0x11223344` on a recorder with value, a plain transfer to it, and `transfer` of a token. */
async function sessionWorld() {
  const world = await AccountWorld.over("0.8");
  const passkey = testPasskey("session owner");
  const account = await world.newAccount(passkey);
  const sibling = await world.newAccount(passkey, 1n);
  const recorder = await ethers.deployContract("CallRecorder");
  const token = await ethers.deployContract("OddToken", [account.target, 10_000n, 0, 0]);
  const agent = testAgent(1);
  await hre.network.provider.send("hardhat_setBalance", [account.target, "0xde0b6b3a7640000"]);
  const bounded = {
    ...rule(recorder.target, "0x55667788"),
    predicates: [
      { word: 0, comparison: 0, value: `0x${word(7n)}` },
      { word: 1, comparison: 1, value: `0x${word(0n)}` },
      { word: 2, comparison: 2, value: `0x${word(100n)}` },
      { word: 3, comparison: 3, value: `0x${word(10n)}` },
    ],
  };
  const session = await sessionOf(agent, {
    gasTotalGwei: 10_000_000_000,
    gasPerOperationGwei: Number(GAS_GWEI) + 60_000,
    paymaster: PAYMASTER,
    paymasterTotalGwei: 2 * Number(GAS_GWEI),
    rules: [
      rule(recorder.target, "0x11223344", 50n, 120n),
      rule(recorder.target, "0x00000000", 30n, 60n),
      bounded,
      rule(token.target, TRANSFER),
      rule(token.target, "0x095ea7b3"),
      rule(token.target, "0x23b872dd"),
      rule(token.target, "0x39509351"),
      rule(SPENDER, "0x87517c45"),
      rule(SPENDER, "0x36c78516"),
      rule(SPENDER, TRANSFER),
    ],
    tokenLimits: [{ token: token.target, total: 1000n }],
  });
  await grant(world, account, session);
  const honest: ExecutionCall = call(recorder.target, "0x11223344", 20n);
  return { world, passkey, account, sibling, recorder, token, agent, session, honest };
}

type Case = Awaited<ReturnType<typeof sessionWorld>>;

async function asked(c: Case, calls: readonly ExecutionCall[], wish: OperationWish = {}): Promise<string> {
  return wordOn(c.world, signedByAgent(c.world, await sessionOperation(c.world, c.account, calls, wish), c.agent));
}

/** Runs one operation to its end and says whether the execution succeeded. */
async function run(c: Case, calls: readonly ExecutionCall[], wish: OperationWish = {}): Promise<boolean> {
  const operation = signedByAgent(c.world, await sessionOperation(c.world, c.account, calls, wish), c.agent);
  const { logs } = await c.world.handle(operation);
  const event = logs
    .flatMap((log) => c.world.entryPoint.interface.parseLog(log) ?? [])
    .find(({ name }) => name === "UserOperationEvent");
  return event?.args["success"] as boolean;
}

async function stateOf(c: Case) {
  const { state, sponsor } = await c.world.sessions.sessionOf(c.account.target, c.agent.key);
  const of = await c.world.sessions.ruleOf(c.account.target, c.agent.key, c.recorder.target, "0x11223344");
  const token = await c.world.sessions.tokenOf(c.account.target, c.agent.key, c.token.target);
  return {
    gas: state.gasLeftGwei,
    calls: state.calls,
    sponsor: sponsor.leftGwei,
    value: of.valueSpent,
    token: token.spent,
  };
}

describe("SessionKeyValidator: operations", function () {
  this.timeout(300_000);

  it("an honest one runs, in both modes, and is counted", async () => {
    const c = await loadFixture(sessionWorld);
    const before = await stateOf(c);
    expect(await run(c, [c.honest])).to.equal(true);
    expect(await run(c, [c.honest, call(c.recorder.target, "0x", 30n)])).to.equal(true);
    const recorded = await c.recorder.recordedCalls();
    expect(recorded.map(({ from, value, data }) => [from, value, data])).to.deep.equal([
      [c.account.target, 20n, "0x11223344"],
      [c.account.target, 20n, "0x11223344"],
      [c.account.target, 30n, "0x"],
    ]);
    const after = await stateOf(c);
    expect(after).to.deep.equal({ ...before, calls: 3n, value: 40n, gas: before.gas - 2n * GAS_GWEI });
  });

  describe("what a session never does (D17), alone and in pairs", () => {
    type Move = (c: Case) => { readonly calls?: readonly ExecutionCall[]; readonly wish?: OperationWish };
    const calls =
      (...made: readonly ((c: Case) => ExecutionCall)[]): Move =>
      (c) => ({ calls: made.map((make) => make(c)) });
    const p2 = (...words: readonly (bigint | string)[]): string => words.map(word).join("");
    const bounded = (a: bigint, b: bigint, d: bigint, e: bigint) =>
      calls((c) => call(c.recorder.target, `0x55667788${p2(a, b, d, e)}`));
    const rows: Readonly<Record<string, readonly [Move, string]>> = {
      "another target": [calls(() => call(SPENDER, "0x11223344")), "RuleUnknown"],
      "target zero": [calls(() => call(ethers.ZeroAddress, "0x11223344")), "RuleUnknown"],
      "the account": [calls((c) => call(c.account.target, "0x11223344")), "RuleUnknown"],
      "the EntryPoint": [calls((c) => call(c.world.domain.entryPoint, "0x11223344")), "RuleUnknown"],
      "the validator": [calls((c) => call(c.world.sessions.target, "0x11223344")), "RuleUnknown"],
      "the recovery contract": [calls((c) => call(c.world.recovery.target, "0x11223344")), "RuleUnknown"],
      "another selector": [calls((c) => call(c.recorder.target, "0x11223345")), "RuleUnknown"],
      "selector zero, which is not a call without data": [
        calls((c) => call(c.recorder.target, "0x00000000")),
        "RuleUnknown",
      ],
      "1 byte": [calls((c) => call(c.recorder.target, "0x00")), "RuleUnknown"],
      "3 bytes": [calls((c) => call(c.recorder.target, "0x112233")), "RuleUnknown"],
      "a plain transfer without a rule": [calls((c) => call(c.token.target, "0x")), "RuleUnknown"],
      "the second call of a batch outside": [
        calls(
          (c) => c.honest,
          () => call(SPENDER, "0x11223344"),
        ),
        "RuleUnknown",
      ],
      "value above one call's": [calls((c) => ({ ...c.honest, value: 51n })), "LimitExceeded"],
      "value of 2^255": [calls((c) => ({ ...c.honest, value: 2n ** 255n })), "LimitExceeded"],
      "value above the total, over a batch": [
        calls(...Array.from({ length: 7 }, () => (c: Case) => c.honest)),
        "LimitExceeded",
      ],
      "value in a call that has none": [
        calls((c) => call(c.token.target, `${TRANSFER}${p2(SPENDER, 1n)}`, 1n)),
        "LimitExceeded",
      ],
      "too many tokens": [calls((c) => call(c.token.target, `${TRANSFER}${p2(SPENDER, 1001n)}`)), "LimitExceeded"],
      "too many tokens, over a batch": [
        calls(...[600n, 401n].map((n) => (c: Case) => call(c.token.target, `${TRANSFER}${p2(SPENDER, n)}`))),
        "LimitExceeded",
      ],
      "an endless approval": [
        calls((c) => call(c.token.target, `0x095ea7b3${p2(SPENDER, 2n ** 256n - 1n)}`)),
        "LimitExceeded",
      ],
      "too much of transferFrom": [
        calls((c) => call(c.token.target, `0x23b872dd${p2(SPENDER, SPENDER, 1001n)}`)),
        "LimitExceeded",
      ],
      "too much of increaseAllowance": [
        calls((c) => call(c.token.target, `0x39509351${p2(SPENDER, 1001n)}`)),
        "LimitExceeded",
      ],
      "too much through Permit2": [
        calls((c) => call(SPENDER, `0x87517c45${p2(c.token.target as string, SPENDER, 1001n, 0n)}`)),
        "LimitExceeded",
      ],
      "too much moved by Permit2": [
        calls((c) => call(SPENDER, `0x36c78516${p2(SPENDER, SPENDER, 1001n, c.token.target as string)}`)),
        "LimitExceeded",
      ],
      "a token without a limit": [calls(() => call(SPENDER, `${TRANSFER}${p2(SPENDER, 0n)}`)), "LimitExceeded"],
      "a token without a limit through Permit2": [
        calls(() => call(SPENDER, `0x87517c45${p2(SPENDER, SPENDER, 1n, 0n)}`)),
        "LimitExceeded",
      ],
      "Permit2 with a dirty token": [
        calls((c) =>
          call(SPENDER, `0x87517c45${p2((1n << 160n) | BigInt(c.token.target as string), SPENDER, 1n, 0n)}`),
        ),
        "LimitExceeded",
      ],
      "a transfer cut short": [
        calls((c) => call(c.token.target, `${TRANSFER}${p2(SPENDER)}${"00".repeat(31)}`)),
        "LimitExceeded",
      ],
      "a transfer of no parameters": [calls((c) => call(c.token.target, TRANSFER)), "LimitExceeded"],
      "a parameter not equal": [bounded(8n, 1n, 100n, 10n), "PredicateFailed"],
      "a parameter equal": [bounded(7n, 0n, 100n, 10n), "PredicateFailed"],
      "a parameter too large": [bounded(7n, 1n, 101n, 10n), "PredicateFailed"],
      "a parameter too small": [bounded(7n, 1n, 100n, 9n), "PredicateFailed"],
      "a parameter cut off": [
        calls((c) => call(c.recorder.target, `0x55667788${p2(7n, 1n, 100n)}${"ff".repeat(31)}`)),
        "PredicateFailed",
      ],
      initCode: [(c) => ({ wish: { initCode: c.world.initCode(c.passkey) } }), "InitCodeNotAllowed"],
      "a foreign paymaster": [
        () => ({ wish: { paymasterAndData: paymasterAndData(SPENDER, 1n, 1n) } }),
        "PaymasterNotAllowed",
      ],
      "paymaster zero": [
        () => ({ wish: { paymasterAndData: paymasterAndData(ethers.ZeroAddress, 1n, 1n) } }),
        "PaymasterNotAllowed",
      ],
      "paymaster data of 51 bytes": [
        () => ({ wish: { paymasterAndData: paymasterAndData(PAYMASTER, 1n, 1n).slice(0, -2) as Hex } }),
        "PaymasterNotAllowed",
      ],
      "a window that is over": [() => ({ wish: { window: 1 } }), "WindowNotAllowed"],
      "a window after the end": [() => ({ wish: { window: 0xffffffff } }), "WindowNotAllowed"],
    };
    for (const [name, [move, error]] of Object.entries(rows)) {
      it(`${name}: ${error}`, async () => {
        const c = await loadFixture(sessionWorld);
        const { calls: made = [c.honest], wish = {} } = move(c);
        expect(await asked(c, made, wish)).to.equal(error);
        expect(await asked(c, [c.honest])).to.equal("valid");
      });
    }

    it("in pairs: one wrong thing does not hide another", async () => {
      const c = await loadFixture(sessionWorld);
      const moves = Object.values(rows).map(([move]) => move(c));
      const errors = new Set(Object.values(rows).map(([, error]) => error));
      for (const [i, first] of moves.entries()) {
        for (const second of moves.slice(i + 1)) {
          const made = [...(first.calls ?? []), ...(second.calls ?? [])];
          const wish = { ...first.wish, ...second.wish };
          expect(errors).to.include(await asked(c, made.length === 0 ? [c.honest] : made.slice(0, 16), wish));
        }
      }
    });

    it("each honest twin of the table passes", async () => {
      const c = await loadFixture(sessionWorld);
      const token = c.token.target as string;
      const twins: readonly (readonly ExecutionCall[])[] = [
        [call(c.recorder.target, "0x", 30n)],
        [{ ...c.honest, value: 50n }],
        Array<ExecutionCall>(6).fill(c.honest),
        [600n, 400n].map((n) => call(token, `${TRANSFER}${p2(SPENDER, n)}`)),
        [call(token, `0x095ea7b3${p2(SPENDER, 1000n)}`)],
        [call(token, `0x23b872dd${p2(SPENDER, SPENDER, 1000n)}`)],
        [call(token, `0x39509351${p2(SPENDER, 1000n)}`)],
        [call(SPENDER, `0x87517c45${p2(token, SPENDER, 1000n, 0n)}`)],
        [call(SPENDER, `0x36c78516${p2(SPENDER, SPENDER, 1000n, token)}`)],
        [call(c.recorder.target, `0x55667788${p2(7n, 1n, 100n, 10n)}`)],
      ];
      for (const calls of twins) expect(await asked(c, calls)).to.equal("valid");
      expect(await asked(c, [c.honest], { paymasterAndData: paymasterAndData(PAYMASTER, 1n, 1n, "0x1234") })).to.equal(
        "valid",
      );
    });

    it("another account, nonce key or chain", async () => {
      const c = await loadFixture(sessionWorld);
      const { world, agent } = c;
      const elsewhere = await sessionOperation(world, c.sibling, [c.honest]);
      expect(await wordOn(world, signedByAgent(world, elsewhere, agent))).to.equal("SessionNotLive");
      const own = await sessionOperation(world, c.account, [c.honest]);
      const sibling = (c.sibling.target as string).toLowerCase() as Hex;
      expect(await wordOn(world, signedByAgent(world, own, agent, sibling))).to.equal("unsigned");
      for (const nonceKey of [
        0n,
        1n,
        BigInt(world.sessions.target as string) + 1n,
        (1n << 160n) | BigInt(world.sessions.target as string),
      ])
        expect(await asked(c, [c.honest], { nonceKey })).to.equal("unsigned");
      const abroad = { ...world.domain, chainId: world.domain.chainId + 1 };
      const there = signedByAgent({ domain: abroad }, own, agent);
      expect(await wordOn(world, there)).to.equal("unsigned");
      expect(await wordOn(world, signedByAgent(world, own, agent))).to.equal("valid");
    });
  });

  it("no mutated byte of the 106-byte signature passes, nor any other length, nor the passkey's own", async () => {
    const c = await loadFixture(sessionWorld);
    const good = signedByAgent(c.world, await sessionOperation(c.world, c.account, [c.honest]), c.agent);
    expect(await wordOn(c.world, good)).to.equal("valid");
    for (let at = 0; at < 106; at += 1) {
      const bad = await wordOn(c.world, { ...good, signature: withByte(good.signature, at) });
      expect(bad, `byte ${at}`).to.equal(at >= 21 && at < 41 ? "SessionNotLive" : "unsigned");
    }
    for (let length = 0; length < 106; length += 1)
      expect(await wordOn(c.world, { ...good, signature: good.signature.slice(0, 2 + 2 * length) as Hex })).to.equal(
        "unsigned",
      );
    expect(await wordOn(c.world, { ...good, signature: `${good.signature}00` })).to.equal("unsigned");
    const byPasskey = assertion(c.passkey, userOperationHash(good, c.world.domain));
    expect(await wordOn(c.world, { ...good, signature: byPasskey })).to.equal("unsigned");
    // the other s, which recovers the same key
    const order = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
    const s = order - BigInt(`0x${good.signature.slice(2 + 2 * 73, 2 + 2 * 105)}`);
    const v = good.signature.endsWith("1b") ? "1c" : "1b";
    const high = `${good.signature.slice(0, 2 + 2 * 73)}${word(s)}${v}` as Hex;
    expect(await wordOn(c.world, { ...good, signature: high })).to.equal("unsigned");
  });

  it("no ERC-1271 signature comes of a session key", async () => {
    const c = await loadFixture(sessionWorld);
    const hash = randomHash();
    const { signature } = signedByAgent(c.world, await sessionOperation(c.world, c.account, [c.honest]), c.agent);
    expect(await c.account.isValidSignature(hash, signature)).to.equal("0xffffffff");
    expect(await c.world.sessions.isValidSignatureWithSender(c.account.target, hash, signature)).to.equal("0xffffffff");
  });

  describe("gas", () => {
    const ten = (name: keyof typeof GAS): OperationWish => ({ gas: { [name]: GAS[name] * 10n } });
    for (const name of ["verificationGasLimit", "callGasLimit", "preVerificationGas", "maxFeePerGas"] as const)
      it(`${name} at ten times`, async () => {
        const c = await loadFixture(sessionWorld);
        expect(await asked(c, [c.honest], ten(name))).to.equal("LimitExceeded");
      });
    for (const [name, two] of [
      ["paymasterVerificationGasLimit", [600_000n, 0n]],
      ["paymasterPostOpGasLimit", [0n, 600_000n]],
    ] as const)
      it(`${name} at ten times`, async () => {
        const c = await loadFixture(sessionWorld);
        const at = (factor: bigint) => ({
          paymasterAndData: paymasterAndData(PAYMASTER, two[0] / factor, two[1] / factor),
        });
        expect(await asked(c, [c.honest], at(1n))).to.equal("LimitExceeded");
        expect(await asked(c, [c.honest], at(10n))).to.equal("valid");
      });

    it("fields of 2^120 and above are refused, so that no product overflows", async () => {
      const c = await loadFixture(sessionWorld);
      for (const huge of [2n ** 120n, 2n ** 128n - 1n])
        for (const name of Object.keys(GAS).filter((field) => field !== "maxPriorityFeePerGas"))
          expect(await asked(c, [c.honest], { gas: { [name]: huge } }), name).to.equal("LimitExceeded");
      expect(await asked(c, [c.honest], { gas: { preVerificationGas: 2n ** 256n - 1n } })).to.equal("LimitExceeded");
    });

    it("a paymaster's total is its own, and the account's goes on", async () => {
      const c = await loadFixture(sessionWorld);
      const before = await stateOf(c);
      const sponsored = { paymasterAndData: paymasterAndData(PAYMASTER, 0n, 0n) };
      await accept(c, [c.honest], sponsored);
      expect(await stateOf(c)).to.deep.equal({ ...before, calls: 1n, value: 20n, sponsor: before.sponsor - GAS_GWEI });
      await accept(c, [c.honest], sponsored);
      expect(await asked(c, [c.honest], sponsored)).to.equal("LimitExceeded");
      expect(await asked(c, [c.honest])).to.equal("valid");
    });

    it("a session without a paymaster has none", async () => {
      const c = await loadFixture(sessionWorld);
      await grant(c.world, c.account, { ...c.session, paymaster: ethers.ZeroAddress });
      expect(await asked(c, [c.honest], { paymasterAndData: paymasterAndData(PAYMASTER, 0n, 0n) })).to.equal(
        "PaymasterNotAllowed",
      );
    });

    it("the total is spent to its end, and by every operation that reaches the chain", async () => {
      const c = await loadFixture(sessionWorld);
      await grant(c.world, c.account, { ...c.session, gasTotalGwei: 2n * GAS_GWEI });
      for (let n = 0; n < 2; n += 1) await accept(c, [c.honest]);
      expect(await asked(c, [c.honest])).to.equal("LimitExceeded");
    });
  });

  /** Lets the account validate for good, as the EntryPoint would, without the rest of a bundle. */
  async function accept(c: Case, calls: readonly ExecutionCall[], wish: OperationWish = {}): Promise<void> {
    const operation = signedByAgent(c.world, await sessionOperation(c.world, c.account, calls, wish), c.agent);
    expect(await wordOn(c.world, operation)).to.equal("valid");
    await hre.network.provider.send("hardhat_setBalance", [c.world.domain.entryPoint, "0xde0b6b3a7640000"]);
    const entryPoint = await ethers.getImpersonatedSigner(c.world.domain.entryPoint);
    await (
      await c.account.connect(entryPoint).validateUserOp(operation, userOperationHash(operation, c.world.domain), 0n)
    ).wait();
  }

  describe("time", () => {
    it("answers the window and the session's times intersected, the last second excluded", async () => {
      const c = await loadFixture(sessionWorld);
      const now = await chainTime();
      const window = Math.floor(now / WINDOW_SECONDS);
      const start = window * WINDOW_SECONDS;
      const verdict = async () =>
        verdictOn(
          c.world,
          signedByAgent(c.world, await sessionOperation(c.world, c.account, [c.honest], { window }), c.agent),
        );
      await grant(c.world, c.account, { ...c.session, validAfter: start - 5, validUntil: start + 90_000 });
      expect(await verdict()).to.deep.equal({ is: "valid", after: start, until: start + WINDOW_SECONDS - 1 });
      const validUntil = (await chainTime()) + 2;
      if (validUntil < start + WINDOW_SECONDS) {
        await grant(c.world, c.account, { ...c.session, validAfter: start + 1, validUntil });
        expect(await verdict()).to.deep.equal({ is: "valid", after: start + 1, until: validUntil - 1 });
      }
    });

    it("runs in the last second and not at the end", async () => {
      const c = await loadFixture(sessionWorld);
      const window = Math.floor((await chainTime()) / WINDOW_SECONDS) + 1;
      const validUntil = (window + 1) * WINDOW_SECONDS - 100;
      await grant(c.world, c.account, { ...c.session, validUntil });
      const operation = signedByAgent(
        c.world,
        await sessionOperation(c.world, c.account, [c.honest], { window }),
        c.agent,
      );
      await hre.network.provider.send("evm_setNextBlockTimestamp", [validUntil - 1]);
      await hre.network.provider.send("evm_mine");
      await c.world.entryPoint.getFunction("handleOps").staticCall([operation], SPENDER, { blockTag: "latest" });
      await hre.network.provider.send("evm_setNextBlockTimestamp", [validUntil]);
      await hre.network.provider.send("evm_mine");
      expect(await failure(c.world.handle(operation))).to.match(/AA22/);
      expect((await c.world.sessions.sessionOf(c.account.target, c.agent.key)).isLive).to.equal(false);
    });

    it("counts every window by itself, and never goes back to an earlier one", async () => {
      const c = await loadFixture(sessionWorld);
      await grant(c.world, c.account, {
        ...c.session,
        callsPerWindow: 3,
        validUntil: (await chainTime()) + 9 * WINDOW_SECONDS,
      });
      const window = Math.floor((await chainTime()) / WINDOW_SECONDS);
      const plain = call(c.recorder.target, "0x11223344");
      await accept(c, [plain, plain], { window });
      expect(await asked(c, [plain, plain], { window })).to.equal("LimitExceeded");
      expect(await asked(c, [plain], { window })).to.equal("valid");
      await accept(c, [plain, plain, plain], { window: window + 1 });
      expect(await asked(c, [plain], { window: window + 1 })).to.equal("LimitExceeded");
      expect(await asked(c, [plain], { window })).to.equal("WindowNotAllowed");
      expect(await asked(c, [plain], { window: window + 2 })).to.equal("valid");
    });
  });

  it("a hundred calls that revert have spent all the same", async () => {
    const c = await loadFixture(sessionWorld);
    await hre.network.provider.send("hardhat_setCode", [c.recorder.target, "0x60006000fd"]);
    await grant(c.world, c.account, {
      ...c.session,
      callsPerWindow: 100,
      rules: [rule(c.recorder.target, "0x11223344", 1n, 1000n)],
    });
    const one = { ...c.honest, value: 1n };
    const tens = Array<ExecutionCall>(10).fill(one);
    for (let n = 0; n < 10; n += 1) expect(await run(c, tens)).to.equal(false);
    expect(await asked(c, [one])).to.equal("LimitExceeded");
    const spent = await stateOf(c);
    expect([spent.calls, spent.value]).to.deep.equal([100n, 100n]);
  });

  it("two operations with the same calldata in one bundle are two", async () => {
    const c = await loadFixture(sessionWorld);
    const first = await sessionOperation(c.world, c.account, [{ ...c.honest, value: 50n }]);
    const signed = (operation: PackedUserOperation) => signedByAgent(c.world, operation, c.agent);
    const second = { ...first, nonce: first.nonce + 1n };
    await c.world.handle(signed(first), signed(second));
    expect((await stateOf(c)).value).to.equal(100n);
    // the third would be 150 of 120: nothing of its bundle happens
    const [third, fourth] = [
      { ...first, nonce: first.nonce + 2n },
      { ...first, nonce: first.nonce + 3n },
    ];
    expect(await failure(c.world.handle(signed(third), signed(fourth)))).to.match(/AA23/);
    expect((await stateOf(c)).value).to.equal(100n);
  });

  it("tokens are counted by what the call says: with no answer, false, a revert, or a fee", async () => {
    const c = await loadFixture(sessionWorld);
    for (const [manner, fee, success, arrives] of [
      [0, 0, true, 400n],
      [1, 0, true, 400n],
      [2, 0, true, 0n],
      [3, 0, false, 0n],
      [0, 25, true, 300n],
    ] as const) {
      const token = await ethers.deployContract("OddToken", [c.account.target, 10_000n, manner, fee]);
      await grant(c.world, c.account, {
        ...c.session,
        rules: [rule(token.target, TRANSFER)],
        tokenLimits: [{ token: token.target, total: 1000n }],
      });
      const transfer = (n: bigint) => call(token.target, `${TRANSFER}${word(SPENDER)}${word(n)}`);
      expect(await run(c, [transfer(400n)])).to.equal(success);
      expect(await token.balanceOf(SPENDER)).to.equal(arrives);
      expect((await c.world.sessions.tokenOf(c.account.target, c.agent.key, token.target)).spent).to.equal(400n);
      expect(await asked(c, [transfer(601n)])).to.equal("LimitExceeded");
      expect(await asked(c, [transfer(600n)])).to.equal("valid");
    }
  });

  it("a target that ended or became another keeps its rules and its limits", async () => {
    const c = await loadFixture(sessionWorld);
    const before = await ethers.provider.getBalance(c.account.target);
    for (const code of ["0x", "0x60006000f3", "0x60006000fd"]) {
      await hre.network.provider.send("hardhat_setCode", [c.recorder.target, code]);
      await run(c, [c.honest]);
    }
    expect((await stateOf(c)).value).to.equal(60n);
    expect(await asked(c, [{ ...c.honest, value: 61n }])).to.equal("LimitExceeded");
    // no code and code that stops keep the money, code that reverts does not
    expect(await ethers.provider.getBalance(c.account.target)).to.equal(before - 40n);
  });

  it("each byte of the mode, a nested batch and every cut of the calldata are refused", async () => {
    const c = await loadFixture(sessionWorld);
    const good = await callDataOf([c.honest]);
    const window = Number(BigInt(`0x${good.slice(2 + 2 * 32, 2 + 2 * 36)}`));
    for (let at = 0; at < 28; at += 1) {
      for (const change of [1, 2, 0x80, 0xff])
        expect(await asked(c, [], { callData: withByte(good, 4 + at, change) }), `mode byte ${at}`).to.equal(
          "CallDataNotCanonical",
        );
    }
    const batch = encodeExecution({ isBatch: true, window, calls: [c.honest, c.honest] });
    for (const whole of [good, batch]) {
      for (let length = 0; length < (whole.length - 2) / 2; length += 1)
        expect(await asked(c, [], { callData: whole.slice(0, 2 + 2 * length) as Hex }), `${length} bytes`).to.equal(
          "CallDataNotCanonical",
        );
      expect(await asked(c, [], { callData: `${whole}00` })).to.equal("CallDataNotCanonical");
      expect(await asked(c, [], { callData: whole })).to.equal("valid");
    }
    const nested = call(c.account.target, batch);
    expect(await asked(c, [nested])).to.equal("RuleUnknown");
    const executeUserOp = concat(["0x8dd7712f", good]) as Hex;
    expect(await asked(c, [], { callData: executeUserOp })).to.equal("CallDataNotCanonical");
  });

  it("costs the same whatever else was granted or done before, and a wrong signature costs what a right one does", async () => {
    const c = await loadFixture(sessionWorld);
    await accept(c, [c.honest]);
    const cost = async (bad = false): Promise<bigint> => {
      const operation = signedByAgent(
        c.world,
        await sessionOperation(c.world, c.account, [c.honest]),
        bad ? testAgent(9) : c.agent,
      );
      const signature =
        `${operation.signature.slice(0, 44)}${c.agent.key.slice(2)}${operation.signature.slice(84)}` as Hex;
      const fields = { ...operation, signature };
      const data = c.account.interface.encodeFunctionData("validateUserOp", [
        fields,
        userOperationHash(fields, c.world.domain),
        0n,
      ]);
      const calldata = Buffer.from(data.slice(2), "hex").reduce((sum, byte) => sum + (byte === 0 ? 4n : 16n), 0n);
      return (
        (await ethers.provider.estimateGas({ from: c.world.domain.entryPoint, to: c.account.target, data })) - calldata
      );
    };
    const before = await cost();
    const many = Array.from({ length: 30 }, (_, i) =>
      rule(`0x${(i + 1).toString(16).padStart(40, "b")}`, "0x11223344"),
    );
    for (let n = 2; n < 12; n += 1)
      await grant(c.world, c.account, await sessionOf(testAgent(n), { rules: many.slice(0, n) }));
    await grant(c.world, c.account, { ...c.session, rules: [...c.session.rules, ...many] });
    await accept(c, [c.honest]);
    const after = await cost();
    expect(Number(after) / Number(before)).to.be.within(0.99, 1.01);
    expect(Number(await cost(true)) / Number(after)).to.be.within(0.95, 1.05);
  });
});

import { expect } from "chai";
import { loadFixture } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { type Result, TypedDataEncoder, ZeroAddress, concat, toBeHex } from "ethers";
import hre, { ethers } from "hardhat";

import type { SessionStruct } from "../../../typechain-types/contracts/interfaces/ISessionKeyValidator";
import { AccountWorld, assertion, testPasskey } from "../../helpers/account";
import {
  asAccount,
  call,
  chainTime,
  grant,
  rule,
  sessionOf,
  sessionOperation,
  signedByAgent,
  testAgent,
  wordOn,
} from "../../helpers/session";

const TYPES = {
  GrantSession: [
    { name: "account", type: "address" },
    { name: "generation", type: "uint32" },
    { name: "nonce", type: "uint256" },
    { name: "deadline", type: "uint256" },
    { name: "session", type: "Session" },
  ],
  Session: [
    { name: "actorOmni", type: "bytes32" },
    { name: "key", type: "address" },
    { name: "validAfter", type: "uint32" },
    { name: "validUntil", type: "uint32" },
    { name: "windowSeconds", type: "uint24" },
    { name: "callsPerWindow", type: "uint16" },
    { name: "gasPerOperationGwei", type: "uint32" },
    { name: "gasTotalGwei", type: "uint40" },
    { name: "paymaster", type: "address" },
    { name: "paymasterTotalGwei", type: "uint40" },
    { name: "rules", type: "Rule[]" },
    { name: "tokenLimits", type: "TokenLimit[]" },
  ],
  Rule: [
    { name: "target", type: "address" },
    { name: "selector", type: "bytes4" },
    { name: "valuePerCall", type: "uint80" },
    { name: "valueTotal", type: "uint80" },
    { name: "predicates", type: "Predicate[]" },
  ],
  Predicate: [
    { name: "word", type: "uint16" },
    { name: "comparison", type: "uint8" },
    { name: "value", type: "bytes32" },
  ],
  TokenLimit: [
    { name: "token", type: "address" },
    { name: "total", type: "uint128" },
  ],
};
const TARGET = `0x${"71".repeat(20)}`;
const SELECTOR = "0x11223344";
const DAY = 86_400;

async function grantWorld() {
  const world = await AccountWorld.over("0.8");
  const passkey = testPasskey("granting owner");
  const account = await world.newAccount(passkey);
  const sibling = await world.newAccount(passkey, 1n);
  const predicates = [{ word: 3, comparison: 2, value: toBeHex(9n, 32) }];
  const session = await sessionOf(testAgent(1), {
    rules: [rule(TARGET, SELECTOR, 5n, 10n), { ...rule(TARGET, "0x55667788"), predicates }],
    tokenLimits: [{ token: TARGET, total: 77n }],
  });
  const own = world.sessions.connect(await asAccount(account));
  return { world, passkey, account, sibling, session, own };
}

type Case = Awaited<ReturnType<typeof grantWorld>>;

/** A struct's members by name. */
function membersOf(struct: unknown): Record<string, unknown> {
  return (struct as Result).toObject();
}

/** The account's ERC-7739 signature over a grant. */
async function signedGrant(
  c: Case,
  session: SessionStruct,
  nonce: bigint,
  deadline: number,
  chainId = c.world.domain.chainId,
) {
  const domain = {
    name: "AgentKeys SessionKeyValidator",
    version: "1",
    chainId,
    verifyingContract: c.world.sessions.target as string,
  };
  const contents = {
    account: c.account.target,
    generation: await c.world.sessions.generationOf(c.account.target),
    nonce,
    deadline,
    session,
  };
  const nested = {
    TypedDataSign: [
      { name: "contents", type: "GrantSession" },
      { name: "name", type: "string" },
      { name: "version", type: "string" },
      { name: "chainId", type: "uint256" },
      { name: "verifyingContract", type: "address" },
      { name: "salt", type: "bytes32" },
    ],
    ...TYPES,
  };
  const digest = TypedDataEncoder.hash(domain, nested, {
    contents,
    name: "AgentKeys MasterAccount",
    version: "1",
    chainId: domain.chainId,
    verifyingContract: c.account.target,
    salt: `0x${"00".repeat(32)}`,
  });
  const encoder = TypedDataEncoder.from(TYPES);
  const description = Buffer.from(encoder.encodeType("GrantSession"));
  return {
    digest: TypedDataEncoder.hash(domain, TYPES, contents),
    signature: concat([
      assertion(c.passkey, digest),
      TypedDataEncoder.hashDomain(domain),
      encoder.hashStruct("GrantSession", contents),
      description,
      toBeHex(description.length, 2),
    ]),
  };
}

describe("SessionKeyValidator: grants", function () {
  this.timeout(300_000);

  describe("grant", () => {
    it("stores and tells all that it was given", async () => {
      const c = await loadFixture(grantWorld);
      const receipt = await grant(c.world, c.account, c.session);
      const [event] = receipt.logs.flatMap((log) => c.world.sessions.interface.parseLog(log) ?? []);
      expect(event?.args.toObject(true)).to.deep.include({
        account: ethers.getAddress(c.account.target as string),
        actorOmni: c.session.actorOmni,
      });
      const told = (event?.args["session"] as { toObject(deep: boolean): Record<string, unknown> }).toObject(true);
      expect(told["validUntil"]).to.equal(BigInt(c.session.validUntil));
      expect(told["rules"]).to.have.length(2);
      expect((event?.args["session"] as { tokenLimits: unknown }).tokenLimits).to.deep.equal([
        [ethers.getAddress(TARGET), 77n],
      ]);
      const { isLive, state, sponsor } = await c.world.sessions.sessionOf(c.account.target, c.session.key);
      expect(isLive).to.equal(true);
      expect(membersOf(state)).to.deep.include({
        validUntil: BigInt(c.session.validUntil),
        validAfter: BigInt(c.session.validAfter),
        generation: 0n,
        serial: 1n,
        windowSeconds: 3600n,
        callsPerWindow: 100n,
        gasPerOperationGwei: 1_000_000n,
        gasLeftGwei: 1_000_000_000n,
        window: 0n,
        calls: 0n,
      });
      expect(membersOf(sponsor)).to.deep.equal({ serial: 1n, paymaster: ZeroAddress, leftGwei: 0n });
      const stored = await c.world.sessions.ruleOf(c.account.target, c.session.key, TARGET, "0x55667788");
      expect(membersOf(stored)).to.deep.equal({
        valueSpent: 0n,
        valueTotal: 0n,
        valuePerCall: 0n,
        predicates: 1n,
        isGranted: true,
      });
      const limit = await c.world.sessions.tokenOf(c.account.target, c.session.key, TARGET);
      expect(membersOf(limit)).to.deep.equal({ spent: 0n, total: 77n });
      expect(await c.world.sessions.sessionsOf(c.account.target)).to.deep.equal([
        ethers.getAddress(c.session.key as string),
      ]);
      expect(await c.world.sessions.sessionsOf(c.sibling.target)).to.deep.equal([]);
    });

    it("refuses what can never be called, what is malformed, and what comes twice", async () => {
      const c = await loadFixture(grantWorld);
      const now = await chainTime();
      const one = (target: string, selector = SELECTOR) => ({ rules: [rule(target, selector)] });
      const predicates = (count: number, word = 0) =>
        Array.from({ length: count }, () => ({ word, comparison: 0, value: toBeHex(0, 32) }));
      const ruled = (count: number, word = 0, selector = SELECTOR) => ({
        rules: [{ ...rule(TARGET, selector), predicates: predicates(count, word) }],
      });
      const rows: readonly (readonly [string, Partial<SessionStruct>, string])[] = [
        ["target zero", one(ZeroAddress), "TargetNotAllowed"],
        ["the account", one(c.account.target as string), "TargetNotAllowed"],
        ["the EntryPoint", one(c.world.domain.entryPoint), "TargetNotAllowed"],
        ["the validator", one(c.world.sessions.target as string), "TargetNotAllowed"],
        ["the recovery contract", one(c.world.recovery.target as string), "TargetNotAllowed"],
        ["Permit2's batch transfer", one(TARGET, "0x0d58b1db"), "TargetNotAllowed"],
        ["key zero", { key: ZeroAddress }, "KeyNotAllowed"],
        ["the account as key", { key: c.account.target }, "KeyNotAllowed"],
        ["an end before the beginning", { validAfter: now + 20, validUntil: now + 20 }, "TimesInvalid"],
        ["an end that is past", { validAfter: 0, validUntil: now }, "TimesInvalid"],
        ["more than 7 days", { validUntil: now + 7 * DAY + 100 }, "TimesInvalid"],
        ["a window of 59 seconds", { windowSeconds: 59 }, "RateInvalid"],
        ["a window of 7 days and a second", { windowSeconds: 7 * DAY + 1 }, "RateInvalid"],
        ["no calls", { callsPerWindow: 0 }, "RateInvalid"],
        ["4,096 calls", { callsPerWindow: 4096 }, "RateInvalid"],
        ["a rule twice", { rules: [rule(TARGET, SELECTOR), rule(TARGET, SELECTOR, 1n)] }, "RuleRepeated"],
        ["17 predicates", ruled(17), "PredicatesInvalid"],
        ["a predicate on word 4,096", ruled(1, 4096), "PredicatesInvalid"],
        ["a predicate on no data", ruled(1, 0, "0x00000000"), "PredicatesInvalid"],
        ["a token limit of zero", { tokenLimits: [{ token: TARGET, total: 0n }] }, "TokenLimitInvalid"],
        ["a token twice", { tokenLimits: [1n, 2n].map((total) => ({ token: TARGET, total })) }, "TokenLimitInvalid"],
      ];
      for (const [name, wish, error] of rows)
        await expect(c.own.grant({ ...c.session, ...wish }), name).to.be.revertedWithCustomError(c.own, error);
      for (const wish of [
        { windowSeconds: 60 },
        { windowSeconds: 7 * DAY },
        { callsPerWindow: 4095 },
        ruled(16, 4095),
        { validUntil: now + 7 * DAY },
      ])
        await (await c.own.grant({ ...c.session, ...wish })).wait();
    });

    it("refuses contracts named at deployment, and only them", async () => {
      const c = await loadFixture(grantWorld);
      const named = Array.from({ length: 9 }, (_, i) => `0x${(0xc0de00 + i).toString(16).padStart(40, "0")}`);
      const strict = await ethers.deployContract("SessionKeyValidator", [
        c.world.domain.entryPoint,
        c.world.recovery.target,
        named,
      ]);
      for (const target of named) {
        expect(await strict.isTargetRefused(c.account.target, target)).to.equal(true);
        // the same last byte, another address
        expect(await strict.isTargetRefused(c.account.target, `0x11${target.slice(4)}`)).to.equal(false);
      }
      expect(await strict.isTargetRefused(c.account.target, TARGET)).to.equal(false);
    });

    it("stops while a recovery is pending, revoking does not", async () => {
      const c = await loadFixture(grantWorld);
      await grant(c.world, c.account, c.session);
      await (await c.world.recovery.set(c.account.target, true)).wait();
      await expect(c.own.grant(c.session))
        .to.be.revertedWithCustomError(c.own, "RecoveryPending")
        .withArgs(ethers.getAddress(c.account.target as string));
      await grant(c.world, c.sibling, c.session);
      await (await c.own.revokeAll()).wait();
      await (await c.world.recovery.set(c.account.target, false)).wait();
      await grant(c.world, c.account, c.session);
    });

    it("again to the same key replaces rules and counters, in one place", async () => {
      const c = await loadFixture(grantWorld);
      await grant(c.world, c.account, c.session);
      await grant(c.world, c.account, { ...c.session, rules: [rule(TARGET, "0x99999999")], tokenLimits: [] });
      const of = async (selector: string) =>
        (await c.own.ruleOf(c.account.target, c.session.key, TARGET, selector)).isGranted;
      expect([await of(SELECTOR), await of("0x99999999")]).to.deep.equal([false, true]);
      expect((await c.own.tokenOf(c.account.target, c.session.key, TARGET)).total).to.equal(0n);
      expect(await c.own.sessionsOf(c.account.target)).to.have.length(1);
      const old = await sessionOperation(c.world, c.account, [call(TARGET, SELECTOR)]);
      expect(await wordOn(c.world, signedByAgent(c.world, old, testAgent(1)))).to.equal("RuleUnknown");
    });

    it("has 50 places; expiry and revocation free them", async () => {
      const c = await loadFixture(grantWorld);
      const now = await chainTime();
      const short = { ...c.session, rules: [], tokenLimits: [], validUntil: now + 3600 };
      for (let n = 1; n <= 50; n += 1) await grant(c.world, c.account, { ...short, key: testAgent(n).key });
      expect(await c.own.sessionsOf(c.account.target)).to.have.length(50);
      const next = { ...short, key: testAgent(51).key, validUntil: now + DAY };
      await expect(c.own.grant(next)).to.be.revertedWithCustomError(c.own, "TooManySessions").withArgs(50);
      await grant(c.world, c.account, { ...short, key: testAgent(7).key });
      await (await c.own.revoke(testAgent(30).key)).wait();
      await grant(c.world, c.account, next);
      await expect(c.own.grant({ ...short, key: testAgent(52).key })).to.be.revertedWithCustomError(
        c.own,
        "TooManySessions",
      );
      await hre.network.provider.send("evm_increaseTime", [3700]);
      await hre.network.provider.send("evm_mine");
      expect(await c.own.sessionsOf(c.account.target)).to.deep.equal([ethers.getAddress(testAgent(51).key)]);
      for (let n = 1; n < 50; n += 1) await grant(c.world, c.account, { ...next, key: testAgent(60 + n).key });
      expect(await c.own.sessionsOf(c.account.target)).to.have.length(50);
      await expect(c.own.grant({ ...next, key: testAgent(1).key })).to.be.revertedWithCustomError(
        c.own,
        "TooManySessions",
      );
    });
  });

  describe("revocation", () => {
    it("of one, of an actor, of all", async () => {
      const c = await loadFixture(grantWorld);
      const other = `0x${"bb".repeat(32)}`;
      const of = (n: number, actorOmni = c.session.actorOmni) => ({ ...c.session, key: testAgent(n).key, actorOmni });
      for (const session of [of(1), of(2), of(3, other), of(4, other)]) await grant(c.world, c.account, session);
      await grant(c.world, c.sibling, of(1));
      const ends = async (n: number) => !(await c.own.sessionOf(c.account.target, testAgent(n).key)).isLive;
      await expect(c.own.revoke(testAgent(1).key)).to.emit(c.own, "SessionRevoked");
      await expect(c.own.revoke(testAgent(1).key)).to.be.revertedWithCustomError(c.own, "SessionNotLive");
      await expect(c.world.sessions.revoke(testAgent(2).key)).to.be.revertedWithCustomError(c.own, "SessionNotLive");
      await (await c.own.revokeActor(other)).wait();
      expect([await ends(1), await ends(2), await ends(3), await ends(4)]).to.deep.equal([true, false, true, true]);
      const live = async () =>
        wordOn(
          c.world,
          signedByAgent(c.world, await sessionOperation(c.world, c.account, [call(TARGET, SELECTOR)]), testAgent(2)),
        );
      expect(await live()).to.equal("valid");
      await expect(c.own.revokeAll())
        .to.emit(c.own, "AllSessionsRevoked")
        .withArgs(ethers.getAddress(c.account.target as string), 1);
      expect(await live()).to.equal("SessionNotLive");
      expect((await c.own.sessionOf(c.sibling.target, testAgent(1).key)).isLive).to.equal(true);
      await grant(c.world, c.account, of(2));
      expect(await live()).to.equal("valid");
    });
  });

  describe("grantBySignature", () => {
    it("takes the account's signature from anyone, once", async () => {
      const c = await loadFixture(grantWorld);
      const deadline = (await chainTime()) + 600;
      const { digest, signature } = await signedGrant(c, c.session, 5n, deadline);
      expect(await c.world.sessions.grantDigest(c.account.target, c.session, 5n, deadline)).to.equal(digest);
      const send = () => c.world.sessions.grantBySignature(c.account.target, c.session, 5n, deadline, signature);
      const receipt = await (await send()).wait();
      const events = (receipt?.logs ?? []).flatMap((log) => c.world.sessions.interface.parseLog(log) ?? []);
      expect(events.map(({ name }) => name)).to.deep.equal(["NonceUsed", "SessionGranted"]);
      expect((events[1]?.args["session"] as { readonly rules: unknown }).rules).to.have.length(2);
      expect((await c.own.sessionOf(c.account.target, c.session.key)).isLive).to.equal(true);
      await expect(send())
        .to.be.revertedWithCustomError(c.own, "NonceNotFresh")
        .withArgs(ethers.getAddress(c.account.target as string), 5n);
      expect(await c.own.isNonceUsed(c.account.target, 5n)).to.equal(true);
      expect(await c.own.isNonceUsed(c.account.target, 6n)).to.equal(false);
    });

    it("refuses it for anything else than was signed", async () => {
      const c = await loadFixture(grantWorld);
      const deadline = (await chainTime()) + 600;
      const { signature } = await signedGrant(c, c.session, 5n, deadline);
      const { sessions } = c.world;
      const send = (account: unknown, session: SessionStruct, nonce = 5n, until = deadline) =>
        sessions.grantBySignature(account as string, session, nonce, until, signature);
      const firstRule = { ...rule(TARGET, SELECTOR, 5n, 11n) };
      const changed: readonly SessionStruct[] = [
        { ...c.session, key: testAgent(2).key },
        { ...c.session, actorOmni: `0x${"00".repeat(32)}` },
        { ...c.session, validUntil: Number(c.session.validUntil) + 1 },
        { ...c.session, gasTotalGwei: 1_000_000_001 },
        { ...c.session, paymaster: TARGET },
        { ...c.session, rules: [firstRule, ...c.session.rules.slice(1)] },
        { ...c.session, rules: c.session.rules.slice(0, 1) },
        { ...c.session, tokenLimits: [{ token: TARGET, total: 78n }] },
      ];
      for (const session of changed)
        await expect(send(c.account.target, session)).to.be.revertedWithCustomError(sessions, "SignatureNotAccepted");
      const refused = [
        () => send(c.sibling.target, c.session),
        () => send(TARGET, c.session),
        () => send(c.account.target, c.session, 6n),
        () => send(c.account.target, c.session, 5n, deadline + 1),
      ];
      for (const sent of refused) await expect(sent()).to.be.revertedWithCustomError(sessions, "SignatureNotAccepted");
      await (await send(c.account.target, c.session)).wait();
    });

    it("refuses it late, cancelled, after revokeAll, for another chain or validator", async () => {
      const c = await loadFixture(grantWorld);
      const { sessions, domain } = c.world;
      const deadline = (await chainTime()) + 600;
      const send = async (nonce: bigint, signature: string, until = deadline) =>
        sessions.grantBySignature(c.account.target, c.session, nonce, until, signature);
      const past = (await chainTime()) - 1;
      await expect(send(1n, (await signedGrant(c, c.session, 1n, past)).signature, past)).to.be.revertedWithCustomError(
        sessions,
        "DeadlinePassed",
      );
      await (await c.own.cancelNonce(2n)).wait();
      await expect(send(2n, (await signedGrant(c, c.session, 2n, deadline)).signature)).to.be.revertedWithCustomError(
        sessions,
        "NonceNotFresh",
      );
      await expect(c.own.cancelNonce(2n)).to.be.revertedWithCustomError(sessions, "NonceNotFresh");
      const { signature } = await signedGrant(c, c.session, 3n, deadline);
      await (await c.own.revokeAll()).wait();
      await expect(send(3n, signature)).to.be.revertedWithCustomError(sessions, "SignatureNotAccepted");
      const abroad = await signedGrant(c, c.session, 4n, deadline, domain.chainId + 1);
      await expect(send(4n, abroad.signature)).to.be.revertedWithCustomError(sessions, "SignatureNotAccepted");
      const other = await ethers.deployContract("SessionKeyValidator", [
        domain.entryPoint,
        c.world.recovery.target,
        [],
      ]);
      const mine = (await signedGrant(c, c.session, 4n, deadline)).signature;
      await expect(
        other.grantBySignature(c.account.target, c.session, 4n, deadline, mine),
      ).to.be.revertedWithCustomError(other, "SignatureNotAccepted");
      await (await send(4n, mine)).wait();
    });
  });

  it("is a validator module and nothing else, with nothing to install", async () => {
    const { sessions } = (await loadFixture(grantWorld)).world;
    expect(await Promise.all([0, 1, 2, 3, 4].map((type) => sessions.isModuleType(type)))).to.deep.equal([
      false,
      true,
      false,
      false,
      false,
    ]);
    await sessions.onInstall.staticCall("0x");
    await sessions.onUninstall.staticCall("0x");
  });
});

import { setTimeout as sleep } from "node:timers/promises";

import { expect } from "chai";
import type { Block } from "ethers";

import type { AccessQuery } from "../../../offchain/chain/access-facts";
import { type ChainReader, type ChainReaderOptions, chainReader } from "../../../offchain/chain/reader";
import { type Hex, ZERO32, fromHex } from "../../../offchain/wire/bytes";
import { deviceBindingDigest } from "../../../offchain/wire/device-binding";
import { domainSeparator } from "../../../offchain/wire/eip712";
import { keccakReady } from "../../../offchain/wire/keccak";
import {
  NO_END,
  OP_BIT,
  ROLE,
  actorOmni,
  deviceKeyHash,
  operatorOmni,
  serviceHash,
} from "../../../offchain/wire/names";
import type { Result } from "../../../offchain/wire/result";
import { addressOf, signDigest } from "../../../offchain/wire/secp256k1";
import { eventually } from "../../helpers/eventually";
import { type HardhatNode, startHardhatNode } from "../../helpers/hardhat-node";
import { type Registries, SOME_COMMITMENT, deployRegistries } from "../../helpers/registries";
import { type RpcProxy, replaceWord, startRpcProxy } from "../../helpers/rpc-proxy";

const K10 = Buffer.alloc(32, 0x11);
const CHECK_ACCESS_WORD = { notRevoked: 2, notFrozen: 3, grantOps: 7, blockTime: 10, chainId: 11 } as const;

describe("chainReader", () => {
  let node: HardhatNode;
  let registries: Registries;
  let proxies: RpcProxy[];
  let query: AccessQuery;
  const readers: ChainReader[] = [];

  before(async () => {
    await keccakReady();
    node = await startHardhatNode();
    registries = await deployRegistries(node.provider);
    proxies = await Promise.all([startRpcProxy(node.url), startRpcProxy(node.url)]);
    query = await registerAgent("agent-a", K10);
  });

  after(async () => {
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await node.stop();
  });

  afterEach(async () => {
    await Promise.all(readers.splice(0).map((reader) => reader.close()));
    for (const proxy of proxies) {
      proxy.heal();
      proxy.resetCounts();
    }
  });

  /** An operator, its agent's device and one grant, by an ordinary account. */
  async function registerAgent(label: string, secret: Uint8Array): Promise<AccessQuery> {
    const { sidecarRegistry, scopeRegistry, master, addresses } = registries;
    const operator = operatorOmni(master.address);
    const actor = actorOmni(operator, label);
    const key = addressOf(secret);
    const deadline = (await latest()).timestamp + 3_600;
    const separator = domainSeparator({ chainId: 31337, registry: addresses.sidecarRegistry });
    const binding = {
      operatorOmni: operator,
      actorOmni: actor,
      deviceKey: key,
      roles: ROLE.CAP_MINT,
      attestationHash: ZERO32,
      deadline,
    };
    const popSig = signDigest(deviceBindingDigest(separator, binding), secret);
    if ((await sidecarRegistry.omniOf(master.address)) === ZERO32)
      await (await sidecarRegistry.registerOperator()).wait();
    await (await sidecarRegistry.registerAgentDevice(label, key, ZERO32, deadline, popSig)).wait();
    const grant = { dataClass: 1, serviceHash: serviceHash("openrouter"), ops: OP_BIT.fetch, validUntil: NO_END };
    await (await scopeRegistry.setGrants(actor, [grant])).wait();
    return {
      deviceKeyHash: deviceKeyHash(key),
      operatorOmni: operator,
      actorOmni: actor,
      dataClass: "credentials",
      service: "openrouter",
    };
  }

  function reader(rpcUrls: readonly string[], quorum: number, options: Partial<ChainReaderOptions> = {}): ChainReader {
    const made = chainReader({
      rpcUrls,
      quorum,
      chainId: 31337,
      contracts: registries.addresses,
      profile: "local",
      now: () => Math.floor(Date.now() / 1000),
      pollMs: 100,
      ...options,
    });
    readers.push(made);
    return made;
  }

  function proxy(index: number): RpcProxy {
    const one = proxies[index];
    if (one === undefined) throw new Error("there are two proxies");
    return one;
  }

  const url = (index: number): string => proxy(index).url;
  const faults = (index: number): RpcProxy["faults"] => proxy(index).faults;

  async function latest(): Promise<Block> {
    const block = await node.provider.getBlock("latest");
    if (block === null) throw new Error("no block");
    return block;
  }

  /** Waits until the reader's own polling has seen the newest block. */
  async function followed(chain: ChainReader): Promise<void> {
    const newest = await node.provider.getBlockNumber();
    await eventually(() => Promise.resolve((chain.head()?.number ?? -1) >= newest));
  }

  function expectUnavailable(result: Result<unknown>, words: RegExp): void {
    expect(result.ok).to.equal(false);
    if (result.ok) return;
    expect(result.failure.code).to.equal("chain_unavailable");
    expect(result.failure.detail).to.match(words).and.not.match(/http/);
  }

  describe("access", () => {
    it("answers every fact at the head's block", async () => {
      const answer = await reader([node.url], 1).access(query);
      const block = await latest();
      expect(answer).to.deep.equal({
        ok: true,
        value: {
          version: 1,
          deviceRegistered: true,
          deviceNotRevoked: true,
          operatorNotFrozen: true,
          deviceMayMint: true,
          binding: "self",
          isOperatorSelf: false,
          grantOps: OP_BIT.fetch,
          grantValidUntil: NO_END,
          k3Epoch: 1,
          blockTime: block.timestamp,
          chainId: 31337,
          blockHash: block.hash,
          blockNumber: block.number,
        },
      });
    });

    it("answers an unknown device with facts that refuse", async () => {
      const answer = await reader([node.url], 1).access({ ...query, deviceKeyHash: ZERO32 });
      expect(answer).to.deep.include({ ok: true });
      if (!answer.ok) return;
      expect(answer.value.deviceRegistered).to.equal(false);
      expect(answer.value.binding).to.equal("none");
    });

    it("asks once per block, however many ask at once", async () => {
      const chain = reader([url(0)], 1);
      await Promise.all(Array.from({ length: 50 }, () => chain.access(query)));
      await chain.access(query);
      expect(proxy(0).counts.get("eth_call")).to.equal(1);
      await node.mine();
      await followed(chain);
      await chain.access(query);
      expect(proxy(0).counts.get("eth_call")).to.equal(2);
    });

    it("confirms the head again when nobody polled for a second", async () => {
      const chain = reader([url(0)], 1, { pollMs: 60_000 });
      const before = await chain.access(query);
      await node.mine();
      await sleep(1_050);
      const after = await chain.access(query);
      expect(before.ok && after.ok && after.value.blockNumber - before.value.blockNumber).to.equal(1);
    });

    it("tells how reads were answered", async () => {
      const outcomes: string[] = [];
      const chain = reader([url(0)], 1, { onRead: (outcome) => outcomes.push(outcome) });
      await chain.access(query);
      await chain.access(query);
      faults(0).lie = { selector: "0x", rewrite: () => "0x" };
      await chain.access({ ...query, service: "other" });
      expect(outcomes).to.deep.equal(["read", "cached", "refused"]);
    });
  });

  describe("one RPC that misbehaves", () => {
    it("refuses while it is down and works again by itself", async () => {
      const chain = reader([url(0)], 1);
      faults(0).isDown = true;
      expectUnavailable(await chain.access(query), /RPC 1: no connection/);
      faults(0).isDown = false;
      expect((await chain.access(query)).ok).to.equal(true);
    });

    it("refuses when the deadline passes", async () => {
      const chain = reader([url(0)], 1, { deadlineMs: 200 });
      faults(0).delayMs = 400;
      expectUnavailable(await chain.access(query), /no answer in time/);
    });

    it("repeats a read once after HTTP trouble, never twice", async () => {
      const chain = reader([url(0)], 1, { pollMs: 60_000 });
      faults(0).statuses.push(500);
      expect((await chain.access(query)).ok).to.equal(true);
      faults(0).statuses.push(500, 502);
      await sleep(1_050);
      expectUnavailable(await chain.access(query), /HTTP status 502/);
    });

    it("refuses another chain, also one that appears later", async () => {
      const chain = reader([url(0)], 1);
      expect((await chain.access(query)).ok).to.equal(true);
      faults(0).chainId = 1;
      await node.mine();
      await sleep(250);
      await sleep(1_000);
      expectUnavailable(await chain.access(query), /another chain than 31337/);
    });

    it("refuses an old head, except locally", async () => {
      const later = (): number => Math.floor(Date.now() / 1000) + 100_000;
      expect((await reader([node.url], 1, { now: later }).access(query)).ok).to.equal(true);
      expectUnavailable(await reader([node.url], 1, { now: later, profile: "custom" }).access(query), /too old/);
      const soon = (await latest()).timestamp + 60;
      expect((await reader([node.url], 1, { now: () => soon, profile: "baseSepolia" }).access(query)).ok).to.equal(
        true,
      );
      expectUnavailable(
        await reader([node.url], 1, { now: () => soon + 1, profile: "baseSepolia" }).access(query),
        /too old/,
      );
    });

    for (const [name, word, value] of [
      ["another block's time", CHECK_ACCESS_WORD.blockTime, 1n],
      ["another chain id", CHECK_ACCESS_WORD.chainId, 1n],
      ["a boolean of 2", CHECK_ACCESS_WORD.notRevoked, 2n],
      ["another version", 0, 2n],
      ["a binding of 3", 5, 3n],
      ["a number above 2^53", 8, 2n ** 53n],
      ["a number above 2^64", 8, 2n ** 64n],
    ] as const) {
      it(`refuses an answer with ${name}`, async () => {
        faults(0).lie = { selector: "0x", rewrite: replaceWord(word, value) };
        expectUnavailable(await reader([url(0)], 1).access(query), /no answer/);
      });
    }

    for (const [name, rewrite] of [
      ["an empty answer", () => "0x"],
      ["a short answer", (answer: string) => answer.slice(0, -64)],
      ["a long answer", (answer: string) => `${answer}00`],
    ] as const) {
      it(`refuses ${name}`, async () => {
        faults(0).lie = { selector: "0x", rewrite };
        expectUnavailable(await reader([url(0)], 1).access(query), /no answer/);
      });
    }

    it("never goes back to a lower block", async () => {
      const chain = reader([url(0)], 1);
      const first = await chain.access(query);
      faults(0).lag = 2;
      await sleep(1_050);
      expectUnavailable(await chain.access(query), /behind/);
      faults(0).lag = 0;
      const again = await chain.access(query);
      expect(first.ok && again.ok && again.value.blockNumber >= first.value.blockNumber).to.equal(true);
    });

    it("never goes back behind a balancer, and waits for the node that lags", async () => {
      const chain = reader([url(0)], 1);
      faults(0).balance = [0, 1];
      let highest = 0;
      let answered = 0;
      for (let i = 0; i < 6; i += 1) {
        await node.mine();
        await sleep(250);
        const answer = await chain.access(query);
        if (!answer.ok) {
          expect(answer.failure.code).to.equal("chain_unavailable");
          continue;
        }
        expect(answer.value.blockNumber).to.be.at.least(highest);
        highest = answer.value.blockNumber;
        answered += 1;
      }
      expect(answered).to.be.at.least(4);
    });
  });

  describe("several RPCs", () => {
    it("moves on to the next with quorum 1, and not to an older block", async () => {
      const chain = reader([url(0), url(1)], 1);
      const first = await chain.access(query);
      faults(0).isDown = true;
      await node.mine();
      await sleep(1_050);
      const second = await chain.access(query);
      expect(first.ok && second.ok && second.value.blockNumber - first.value.blockNumber).to.equal(1);
      faults(1).lag = 3;
      await sleep(1_050);
      expectUnavailable(await chain.access(query), /behind/);
    });

    it("moves on when a read fails although the head was served", async () => {
      const chain = reader([url(0), url(1)], 1);
      faults(0).errors = { eth_call: -32000 };
      expect((await chain.access(query)).ok).to.equal(true);
    });

    it("agrees on block and answer with quorum 2", async () => {
      expect((await reader([url(0), url(1)], 2).access(query)).ok).to.equal(true);
      expect(proxies.map(({ counts }) => counts.get("eth_call"))).to.deep.equal([1, 1]);
    });

    it("refuses when one of two lies about one word", async () => {
      faults(1).lie = { selector: "0x", rewrite: replaceWord(CHECK_ACCESS_WORD.grantOps, 15n) };
      expectUnavailable(await reader([url(0), url(1)], 2).access(query), /differently/);
      expect((await reader([url(1)], 1).access(query)).ok, "the broker's single RPC is believed").to.equal(true);
    });

    it("refuses when one of two is down, lags for good, or serves another chain", async () => {
      for (const [fault, words] of [
        [{ isDown: true }, /1 of 2/],
        [{ lag: 2 }, /serve the newest/],
        [{ chainId: 1 }, /another chain/],
      ] as const) {
        Object.assign(faults(1), fault);
        expectUnavailable(await reader([url(0), url(1)], 2).access(query), words);
        proxy(1).heal();
      }
    });

    it("waits for a laggard that catches up", async () => {
      const chain = reader([url(0), url(1)], 2);
      faults(1).lag = 1;
      setTimeout(() => {
        faults(1).lag = 0;
      }, 600);
      const answer = await chain.access(query);
      expect(answer.ok && answer.value.blockNumber).to.equal(await node.provider.getBlockNumber());
    });

    it("asks three for two that agree, and lets none contradict", async () => {
      const third = await startRpcProxy(node.url);
      try {
        const chain = reader([url(0), url(1), third.url], 2);
        faults(0).isDown = true;
        expect((await chain.access(query)).ok).to.equal(true);
        proxy(0).heal();
        await sleep(300);
        third.faults.lie = { selector: "0x", rewrite: replaceWord(CHECK_ACCESS_WORD.notFrozen, 0n) };
        expectUnavailable(await chain.access({ ...query, service: "other" }), /differently/);
      } finally {
        await third.stop();
      }
    });

    it("refuses a quorum that cannot be met", () => {
      expect(() => reader([url(0)], 2)).to.throw(RangeError);
      expect(() => reader([url(0)], 0)).to.throw(RangeError);
    });
  });

  describe("revocation", () => {
    it("is seen in the next block, and never unseen through an RPC that stays behind", async () => {
      const one = await registerAgent("agent-b", Buffer.alloc(32, 0x12));
      const chain = reader([url(0), url(1)], 1);
      expect((await chain.access(one)).ok).to.equal(true);
      faults(1).stuckAt = await node.provider.getBlockNumber();
      await (await registries.sidecarRegistry.revokeDevice(one.deviceKeyHash)).wait();
      await followed(chain);
      const after = await chain.access(one);
      expect(after.ok && after.value.deviceNotRevoked).to.equal(false);
      faults(0).isDown = true;
      await sleep(1_050);
      for (let i = 0; i < 3; i += 1) {
        const late = await chain.access(one);
        expect(late.ok && late.value.deviceNotRevoked).to.equal(false);
      }
    });
  });

  describe("k3Commitment", () => {
    it("answers the current epoch by block, a past one for good, a coming one with zero", async () => {
      const chain = reader([url(0)], 1);
      expect(await chain.k3Commitment(1)).to.deep.equal({ ok: true, value: SOME_COMMITMENT });
      expect(await chain.k3Commitment(2)).to.deep.equal({ ok: true, value: ZERO32 });
      const next: Hex = `0x${"44".repeat(32)}`;
      await (await registries.k3EpochCounter.advanceEpoch(next)).wait();
      await followed(chain);
      expect(await chain.k3Commitment(2)).to.deep.equal({ ok: true, value: next });
      expect(await chain.k3Commitment(1)).to.deep.equal({ ok: true, value: SOME_COMMITMENT });
      const facts = await chain.access(query);
      expect(facts.ok && facts.value.k3Epoch).to.equal(2);
      faults(0).isDown = true;
      await sleep(1_050);
      expect(await chain.k3Commitment(1)).to.deep.equal({ ok: true, value: SOME_COMMITMENT });
      expectUnavailable(await chain.k3Commitment(2), /no connection/);
    });
  });

  describe("getDevice and masterOf", () => {
    it("answers what the client's check of a fetched object needs", async () => {
      const chain = reader([url(0), url(1)], 2);
      const device = await chain.getDevice(query.deviceKeyHash);
      expect(device.ok && device.value).to.include({
        operatorOmni: query.operatorOmni,
        actorOmni: query.actorOmni,
        key: addressOf(K10),
        roles: 1,
        tier: 2,
        revokedAt: 0,
      });
      expect(await chain.getDevice(ZERO32)).to.deep.equal({ ok: true, value: undefined });
      expect(await chain.masterOf(query.operatorOmni)).to.deep.equal({
        ok: true,
        value: registries.master.address.toLowerCase(),
      });
      expect(await chain.masterOf(ZERO32)).to.deep.equal({ ok: true, value: undefined });
    });

    it("refuses dirty words", async () => {
      faults(0).lie = { selector: "0x", rewrite: replaceWord(0, 2n ** 200n) };
      expectUnavailable(await reader([url(0)], 1).masterOf(query.operatorOmni), /masterOf/);
      faults(0).lie = { selector: "0x", rewrite: replaceWord(3, 256n) };
      expectUnavailable(await reader([url(0)], 1).getDevice(query.deviceKeyHash), /getDevice/);
    });
  });

  describe("ready", () => {
    it("passes for contracts that name each other", async () => {
      const ready = await reader([url(0), url(1)], 2).ready();
      expect(ready.ok && ready.value.number).to.equal(await node.provider.getBlockNumber());
    });

    it("says which contract is wrong", async () => {
      const { sidecarRegistry, scopeRegistry, k3EpochCounter } = registries.addresses;
      const nobody: Hex = `0x${"99".repeat(20)}`;
      for (const [contracts, words] of [
        [{ sidecarRegistry: nobody, scopeRegistry, k3EpochCounter }, /no code at the address of SidecarRegistry/],
        [{ sidecarRegistry, scopeRegistry: nobody, k3EpochCounter }, /no code at the address of ScopeRegistry/],
        [{ sidecarRegistry, scopeRegistry, k3EpochCounter: nobody }, /no code at the address of K3EpochCounter/],
        [{ sidecarRegistry: k3EpochCounter, scopeRegistry, k3EpochCounter }, /ScopeRegistry.sidecarRegistry\(\)/],
        [{ sidecarRegistry, scopeRegistry, k3EpochCounter: scopeRegistry }, /ScopeRegistry.epochCounter\(\)/],
      ] as const) {
        expectUnavailable(await reader([node.url], 1, { contracts }).ready(), words);
      }
      expectUnavailable(await reader([node.url], 1, { chainId: 1 }).ready(), /another chain than 1/);
    });
  });

  it("agrees with the domain that the registry computes", async () => {
    const separator = await registries.sidecarRegistry.domainSeparator();
    const { sidecarRegistry } = registries.addresses;
    expect(fromHex(separator as Hex)).to.deep.equal(domainSeparator({ chainId: 31337, registry: sidecarRegistry }));
  });
});

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { startStack } from "../../scripts/lib/stack";
import { ScopeRegistry__factory } from "../../typechain-types";
import { type RpcProxy, startRpcProxy } from "../helpers/rpc-proxy";
import { countersign, signCap } from "../helpers/words";
import type { Drill, DrillLog } from "./drill";
import { World } from "./world";

const CHECK_ACCESS = ScopeRegistry__factory.createInterface().getFunction("checkAccess").selector;
/** Words of `AccessFacts` from `deviceRegistered` to `k3Epoch`. */
const WORDS = [1, 2, 3, 4, 5, 7, 8, 9];

/**
 * D15: a chain RPC that is down, slow, of another chain, lagging, or lying about one word. A stack of its own, whose
 * broker and worker have one RPC each behind a hostile proxy, and whose vault has two that must agree.
 */
export const d15: Drill = {
  id: "D15",
  title: "chain RPC down, slow, of another chain, at different heights, or lying about one word",
  async run(_world, log) {
    const dir = mkdtempSync(join(tmpdir(), "agentkeys-d15-"));
    const proxies: RpcProxy[] = [];
    const proxied = async (url: string): Promise<RpcProxy> => {
      const proxy = await startRpcProxy(url);
      proxies.push(proxy);
      return proxy;
    };
    const stack = await startStack({
      dir,
      logLevel: "warn",
      rpc: {
        broker: async (url) => (await proxied(url)).url,
        worker: async (url) => (await proxied(url)).url,
        vault: async (url) => [url, (await proxied(url)).url],
      },
    });
    const world = await World.over(stack);
    try {
      const [vault, broker, worker] = proxies;
      if (broker === undefined || worker === undefined || vault === undefined) throw new Error("D15: no proxies");
      await faulty(world, log, { broker, worker, vault });
      await lying(world, log, { broker, worker, vault });
    } finally {
      await world.close();
      await stack.stop();
      for (const proxy of proxies) await proxy.stop();
      rmSync(dir, { recursive: true, force: true });
    }
  },
};

type Proxies = Readonly<Record<"broker" | "worker" | "vault", RpcProxy>>;

/** Whatever goes wrong with the RPC of one service, that service says so, and works again by itself. */
async function faulty(world: World, log: DrillLog, proxies: Proxies): Promise<void> {
  const faults: Readonly<Record<string, (proxy: RpcProxy) => void>> = {
    down: (proxy) => (proxy.faults.isDown = true),
    slow: (proxy) => (proxy.faults.delayMs = 6_000),
    "another chain id": (proxy) => (proxy.faults.chainId = 1),
  };
  for (const [name, spoil] of Object.entries(faults)) {
    const { cap } = await world.mint("fetch");
    for (const proxy of Object.values(proxies)) spoil(proxy);
    await new Promise((done) => setTimeout(done, 2_500));
    const request = world.cap({ op: "fetch" });
    const minted = await world.mintRaw("fetch", world.mintBody(request));
    log.refused("broker", name, minted, "chain_unavailable");
    log.refused("worker", name, await world.redeem(world.agentDevice, "fetch", cap), "chain_unavailable");
    log.refused("signer", name, await world.askVault(world.agentDevice, "fetch", cap), "chain_unavailable");
    for (const proxy of Object.values(proxies)) proxy.heal();
    await new Promise((done) => setTimeout(done, 3_000));
    await world.fetchHonestly(log);
  }
}

/** A lie about any one word, told for a revoked device: it may fool the broker and the worker, never the vault. */
async function lying(world: World, log: DrillLog, proxies: Proxies): Promise<void> {
  const party = await world.newParty();
  await world.as(party, async () => {
    await world.store("sk-before-revocation");
    const thief = await world.stolenBroker();
    await (await world.registry.revokeDevice(party.agentDevice.hash)).wait();
    await world.nextBlock();
    const cap = (): string => {
      const request = world.cap({ op: "fetch" });
      return countersign(thief, request, signCap(world.separator, party.agentDevice, request));
    };
    log.refused("signer", "no lie yet", await world.askVault(party.agentDevice, "fetch", cap()), "device_revoked");
    for (const word of WORDS) {
      proxies.vault.faults.lie = { selector: CHECK_ACCESS, rewrite: (answer) => withWord(answer, word) };
      await world.nextBlock();
      const answer = await world.askVault(party.agentDevice, "fetch", cap());
      log.refused("signer", `a lie about word ${String(word)}`, answer, ["chain_unavailable", "device_revoked"]);
    }
    // one node of the vault's two stays behind, at a time when the device was still registered
    proxies.vault.heal();
    proxies.vault.faults.stuckAt = (await world.provider.getBlockNumber()) - 2;
    await world.nextBlock();
    const behind = await world.askVault(party.agentDevice, "fetch", cap());
    log.refused("signer", "one RPC behind", behind, ["chain_unavailable", "device_revoked"]);
    for (const proxy of Object.values(proxies)) proxy.heal();
    // nodes at different heights behind one address: after the first refusal never a success
    for (const proxy of Object.values(proxies)) proxy.faults.balance = [0, 3, 1, 6];
    for (let i = 0; i < 12; i += 1) {
      await new Promise((done) => setTimeout(done, 300));
      const codes = ["device_revoked", "chain_unavailable"];
      log.refused("worker", "a balancer", await world.redeem(party.agentDevice, "fetch", cap()), codes);
      log.refused("signer", "a balancer", await world.askVault(party.agentDevice, "fetch", cap()), codes);
    }
    for (const proxy of Object.values(proxies)) proxy.heal();
  });
  await new Promise((done) => setTimeout(done, 3_000));
  await world.fetchHonestly(log);
}

/** The answer with one word turned into its opposite, or made large. */
function withWord(answer: string, word: number): string {
  const at = 2 + word * 64;
  const old = BigInt(`0x${answer.slice(at, at + 64)}`);
  const lie = old === 0n ? 1n : word >= 7 ? old + 1n : 0n;
  return answer.slice(0, at) + lie.toString(16).padStart(64, "0") + answer.slice(at + 64);
}

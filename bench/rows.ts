import { NO_END, serviceHash } from "../offchain/wire/names";
import { ScopeRegistry__factory } from "../typechain-types";
import { caller } from "./lib/calls";
import { compare } from "./lib/compare";
import { type Row, percentile, rounded } from "./lib/row";
import type { BenchWorld, Replay } from "./lib/world";

/** Requests of one round, about a second or two of work. */
const COUNT = 4_000;
const OIDC = "oidc-provider+dpop";
const JOSE = "express+jose dpop";

const COLD_SERVICES = 60;
const CACHED_CALLS = 3_000;
const MOST_OVER_PROXY_MS = 0.5;

/** Every row by its name. */
export const ROWS: Readonly<Record<string, (world: BenchWorld) => Promise<Row>>> = {
  mint: (world) => mint(world, "mint", "memory"),
  "mint.durable": (world) => mint(world, "mint.durable", "durable"),
  verify: (world) => verify(world, "verify", "memory", 2),
  "verify.durable": (world) => verify(world, "verify.durable", "durable"),
  "verify.cold": (world) => verify(world, "verify.cold", "memory", 1.3),
  fetch: fetchRow,
  "sidecar.cached": sidecarCached,
  "sidecar.cold": sidecarCold,
};

async function mint(world: BenchWorld, name: string, replay: Replay): Promise<Row> {
  const server = await world.broker(replay);
  const peer = await world.authorizationServer();
  return compare(
    name,
    { server, count: COUNT, plan: { scenario: "mint", origin: server.url, expected: 200, device: world.device } },
    { name: OIDC, server: peer, count: COUNT / 2, plan: { scenario: "peer.mint", origin: peer.url, expected: 200 } },
    replay === "memory" ? 2 : undefined,
  );
}

async function verify(world: BenchWorld, name: string, replay: Replay, leastRatio?: number): Promise<Row> {
  const server = await world.worker(replay);
  const peer = await world.resourceServer();
  const issued = { issuerKey: await world.issuerKey(), issuer: world.stack.urls.broker };
  const scenario = name === "verify.cold" ? "verify.cold" : "verify";
  const { device } = world;
  return compare(
    name,
    // nothing is stored there: the list is run to its end, then 404
    { server, count: COUNT, plan: { scenario, origin: server.url, expected: 404, device, ...issued } },
    {
      name: JOSE,
      server: peer,
      count: COUNT / 2,
      plan: { scenario: `peer.${scenario}`, origin: peer.url, expected: 200, ...issued },
    },
    leastRatio,
  );
}

/** The whole redemption: worker, vault, object, both audit rows; durable stores, processes not pinned. */
async function fetchRow(world: BenchWorld): Promise<Row> {
  const url = world.stack.urls.worker.credentials;
  const server = { url, cpuSeconds: () => undefined, stop: () => Promise.resolve() };
  const issued = { issuerKey: await world.issuerKey(), issuer: world.stack.urls.broker };
  const plan = { scenario: "verify", origin: url, expected: 200, device: world.device, ...issued } as const;
  return compare("fetch", { server, count: COUNT / 4, plan }, undefined);
}

const TOKEN = "bench-token-of-24-bytes.";
const AUTHORIZATION = "Bearer sk-bench";
const services = Array.from({ length: COLD_SERVICES + 1 }, (_, i) => `bench-${String(i)}`);

interface Proxies {
  readonly sidecar: string;
  readonly proxy: string;
}

async function proxies(world: BenchWorld): Promise<Proxies> {
  const upstream = await world.upstream(AUTHORIZATION);
  const sidecar = await world.sidecar(services, upstream.url, TOKEN);
  const proxy = await world.plainProxy(upstream.url, AUTHORIZATION);
  return { sidecar: sidecar.url, proxy: proxy.url };
}

/** Grants and stores what the sidecar rows read, once. */
let storing: Promise<void> | undefined;
function stored(world: BenchWorld): Promise<void> {
  storing ??= (async () => {
    const { party, stack } = world.world;
    const scopes = ScopeRegistry__factory.connect(stack.contracts.ScopeRegistry, party.wallet);
    const grants = services.map((service) => ({
      dataClass: 1,
      serviceHash: serviceHash(service),
      ops: 7,
      validUntil: NO_END,
    }));
    await (await scopes.setGrants(party.actor, grants)).wait();
    await world.world.nextBlock();
    for (const service of services) await world.world.store(`sk-bench-${service}`, { service });
  })();
  return storing;
}

/** Call by call in turns: through the sidecar with its credential in memory, and through the plain proxy. */
async function sidecarCached(world: BenchWorld): Promise<Row> {
  await stored(world);
  const { sidecar, proxy } = await proxies(world);
  const client = caller({ "agentkeys-token": TOKEN });
  const ours: number[] = [];
  const theirs: number[] = [];
  const path = `/${services.at(-1) ?? ""}/v1/answer`;
  for (let i = 0; i < CACHED_CALLS; i += 1) {
    const one = await client.call(sidecar + path);
    const other = await client.call(`${proxy}/v1/answer`);
    if (i < CACHED_CALLS / 10) continue;
    ours.push(one);
    theirs.push(other);
  }
  client.close();
  const over = percentile(ours, 0.5) - percentile(theirs, 0.5);
  return {
    ...latencyRow("sidecar.cached", ours, theirs),
    over_peer_ms: rounded(over, 2),
    target: `≤ ${String(MOST_OVER_PROXY_MS)} ms over the proxy at p50`,
    reached: over <= MOST_OVER_PROXY_MS,
  };
}

/** The first call of each of many services: mint, fetch, the reader's checks, upstream. */
async function sidecarCold(world: BenchWorld): Promise<Row> {
  await stored(world);
  const { sidecar, proxy } = await proxies(world);
  const client = caller({ "agentkeys-token": TOKEN });
  const ours: number[] = [];
  const theirs: number[] = [];
  for (const service of services.slice(0, COLD_SERVICES)) {
    ours.push(await client.call(`${sidecar}/${service}/v1/answer`));
    theirs.push(await client.call(`${proxy}/v1/answer`));
  }
  client.close();
  return latencyRow("sidecar.cold", ours, theirs);
}

function latencyRow(name: string, ours: readonly number[], theirs: readonly number[]): Row {
  const [value, peer] = [percentile(ours, 0.5), percentile(theirs, 0.5)];
  return {
    name,
    value: rounded(value, 2),
    unit: "ms",
    p50_ms: rounded(value, 2),
    p99_ms: rounded(percentile(ours, 0.99), 2),
    peer: "plain Node proxy",
    peer_value: rounded(peer, 2),
    peer_p50_ms: rounded(peer, 2),
    ratio: rounded(value / peer, 2),
  };
}

import { readFileSync } from "node:fs";

import { toHex } from "../offchain/wire/bytes";
import { NO_END, serviceHash } from "../offchain/wire/names";
import { parseObject } from "../offchain/wire/object";
import { passkeyParty } from "../test/helpers/passkey-party";
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
  "data-keys": dataKeysRow,
  "sign-agent": signAgentRow,
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
  const server = { cpuSeconds: () => undefined };
  const issued = { issuerKey: await world.issuerKey(), issuer: world.stack.urls.broker };
  const plan = { scenario: "verify", origin: url, expected: 200, device: world.device, ...issued } as const;
  return compare("fetch", { server, count: COUNT / 4, plan }, undefined);
}

const IN_ONE = "front and vault in one process";
/** The pipe between front and vault may cost a quarter of the throughput. */
const LEAST_WITH_PIPE = 0.75;

/** A content key for a fetch, over mTLS as a worker asks for it. */
async function dataKeysRow(world: BenchWorld): Promise<Row> {
  const { stack } = world;
  const texts = stack.workerTls("credentials");
  const tls = { ca: texts.ca.toString(), cert: texts.cert.toString(), key: texts.key.toString() };
  const stored = parseObject(readFileSync(world.world.objectFile()));
  if (stored === undefined) throw new Error("nothing is stored");
  const worker = {
    origin: stack.urls.worker.credentials,
    header: stored.headerText,
    encryptedKey: stored.encryptedKey,
  };
  const issued = { issuerKey: await world.issuerKey(), issuer: stack.urls.broker };
  const side = async (form: "two" | "one") => {
    const { server, services } = await world.signer(form);
    const plan = { scenario: "data-keys", origin: services, expected: 200, device: world.device, tls, worker } as const;
    return { server, count: COUNT / 2, plan: { ...plan, ...issued } };
  };
  return compare("data-keys", await side("two"), { name: IN_ONE, ...(await side("one")) }, LEAST_WITH_PIPE);
}

/** A payload signed by an agent's key: proof, credential, chain facts, BIP-32, ECDSA; without the limits per minute. */
async function signAgentRow(world: BenchWorld): Promise<Row> {
  const party = await passkeyParty(world.stack, "bench");
  await world.world.nextBlock();
  const side = async (form: "two" | "one") => {
    const { server } = await world.signer(form);
    const client = await party.client({ signer: server.url });
    const made = await client.create(party.label, party.authenticator);
    await client.close();
    if (!made.ok) throw new Error(`${made.failure.code}: ${made.failure.detail}`);
    const device = { ...world.device, secret: toHex(party.agent.secret) };
    const agent = { keyId: made.value.keyId, credential: made.value.agentCredential, account: party.account };
    const plan = { scenario: "sign-agent", origin: server.url, expected: 200, device, agent } as const;
    return { server, count: COUNT / 2, plan };
  };
  const row = await compare("sign-agent", await side("two"), { name: IN_ONE, ...(await side("one")) }, LEAST_WITH_PIPE);
  party.operator.close();
  return row;
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

import { randomBytes } from "node:crypto";

import { type BrokerParts, brokerApp } from "../../offchain/broker/app";
import { openKeyRing } from "../../offchain/broker/keys";
import { brokerKeysFromOrigin } from "../../offchain/http/broker-keys";
import { openChain } from "../../offchain/http/chain-config";
import { serviceLog } from "../../offchain/http/log";
import { serviceMetrics } from "../../offchain/http/metrics";
import { type Listening, listen } from "../../offchain/http/server";
import { fileAudit } from "../../offchain/store/file-audit";
import { folderObjects } from "../../offchain/store/folder-objects";
import { memoryReplay } from "../../offchain/store/memory-replay";
import type { VersionRecord, VersionStore } from "../../offchain/store/versions";
import { CapCache } from "../../offchain/verify/cap-cache";
import { sealKeyPairFrom } from "../../offchain/wire/hpke";
import type { Hex } from "../../offchain/wire/bytes";
import { workerApp } from "../../offchain/worker/app";
import type { WorkerParts } from "../../offchain/worker/parts";
import { signerClient } from "../../offchain/http/signer-client";
import type { World } from "../drills/world";
import { fixedTls } from "./fixed-tls";
import { nowSeconds } from "./words";

/** A service of the test's own process, on a real socket, built as `main.ts` builds it. */
export interface Replica {
  readonly url: string;
  stop(): Promise<void>;
}

/** What a replica's chain connection asks. */
export interface ReplicaOptions<P> {
  /** A folder of its own. */
  readonly dir: string;
  /** In place of the stack's node. */
  readonly rpcUrl?: string;
  /** Parts in place of the working ones. */
  readonly parts?: Partial<P>;
}

/** Another replica of the stack's broker: the same origin, chain and device signatures, a K1 and a memory of its own. */
export async function brokerReplica(world: World, options: ReplicaOptions<BrokerParts>): Promise<Replica> {
  const { chain, separator } = chainOf(world, options.rpcUrl);
  const replay = memoryReplay({ now: nowSeconds, fenced: false });
  const parts: BrokerParts = {
    origin: world.stack.urls.broker,
    separator,
    chain,
    replay,
    keys: openKeyRing(`${options.dir}/keys`, nowSeconds()),
    now: nowSeconds,
    log: serviceLog("broker", "silent"),
    metrics: serviceMetrics("broker"),
    ...options.parts,
  };
  await chain.ready();
  const server = await listen(brokerApp(parts), { host: "127.0.0.1", port: 0 });
  return replica(server, [parts.chain, parts.replay]);
}

/**
 * Another replica of the stack's credentials worker: the same origin, so that device and vault know it, the real
 * signer behind mutual TLS, and objects, versions and audit log of its own.
 */
export async function workerReplica(world: World, options: ReplicaOptions<WorkerParts>): Promise<Replica> {
  const { chain, separator } = chainOf(world, options.rpcUrl);
  const { urls } = world.stack;
  const replay = memoryReplay({ now: nowSeconds, fenced: false });
  const objects = folderObjects({ dir: `${options.dir}/objects` });
  const audit = await fileAudit({ file: `${options.dir}/audit/rows` });
  const brokerKeys = await brokerKeysFromOrigin(urls.broker);
  const signer = signerClient({ origin: urls.signer, tls: fixedTls(world.stack.workerTls("credentials")) });
  const parts: WorkerParts = {
    dataClass: "credentials",
    origin: urls.worker.credentials,
    brokerOrigin: urls.broker,
    brokerKeys,
    separator,
    chain,
    replay,
    objects,
    versions: memoryVersions(),
    audit,
    signer,
    cache: new CapCache(),
    sealKey: await sealKeyPairFrom(randomBytes(32)),
    capPopRequired: true,
    now: nowSeconds,
    log: serviceLog("worker:credentials", "silent"),
    metrics: serviceMetrics("worker:credentials"),
    ...options.parts,
  };
  await chain.ready();
  const server = await listen(workerApp(parts), { host: "127.0.0.1", port: 0 });
  const closing = [parts.chain, parts.replay, parts.objects, parts.versions, parts.audit, parts.signer];
  return replica(server, closing, () => {
    brokerKeys.close();
  });
}

function replica(server: Listening, parts: readonly { close(): Promise<void> }[], more?: () => void): Replica {
  return {
    url: server.url,
    async stop() {
      await server.close();
      more?.();
      await Promise.all(parts.map((part) => part.close()));
    },
  };
}

function chainOf(world: World, rpcUrl = world.stack.rpcUrl): ReturnType<typeof openChain> {
  const { SidecarRegistry, ScopeRegistry, K3EpochCounter } = world.stack.contracts;
  const lower = (address: string): Hex => address.toLowerCase() as Hex;
  return openChain(
    {
      rpcUrls: [rpcUrl],
      quorum: 1,
      chainId: world.stack.chainId,
      profile: "local",
      sidecarRegistry: lower(SidecarRegistry),
      scopeRegistry: lower(ScopeRegistry),
      k3EpochCounter: lower(K3EpochCounter),
    },
    nowSeconds,
    () => undefined,
  );
}

/** Versions that live as long as the replica; never lowers one. */
function memoryVersions(): VersionStore {
  const records = new Map<string, VersionRecord>();
  return {
    get: (path) => Promise.resolve(records.get(path)),
    set(path, record) {
      if (record.version >= (records.get(path)?.version ?? 0)) records.set(path, record);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}

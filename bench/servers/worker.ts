import { openChain } from "../../offchain/http/chain-config";
import { brokerKeysFromFile } from "../../offchain/http/broker-keys";
import { serviceLog } from "../../offchain/http/log";
import { serviceMetrics } from "../../offchain/http/metrics";
import { listen, runMain } from "../../offchain/http/server";
import { signerClient } from "../../offchain/http/signer-client";
import { followTlsFiles } from "../../offchain/http/tls-files";
import { workerApp } from "../../offchain/worker/app";
import { workerConfig } from "../../offchain/worker/config";
import type { ObjectStore } from "../../offchain/store/objects";
import type { VersionStore } from "../../offchain/store/versions";
import { CapCache } from "../../offchain/verify/cap-cache";
import { generateSealKeyPair } from "../../offchain/wire/hpke";
import { keccakReady } from "../../offchain/wire/keccak";
import { benchReplay } from "./replay";

/**
 * The worker's own app over stores that are empty: a fetch runs the whole list, burns its proof, and ends with
 * `object_not_found`. What is measured is the deciding, as at the peer; the row `fetch` measures the rest. Log at
 * `info`, metrics on.
 */
const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog("worker:credentials", "info");
const nothing = (): Promise<undefined> => Promise.resolve(undefined);
const refuses = (): Promise<never> => Promise.reject(new Error("nothing is written here"));

const objects: ObjectStore = { get: nothing, put: refuses, probe: nothing, close: nothing };
const versions: VersionStore = { get: nothing, set: refuses, close: nothing };

runMain(log, async () => {
  const config = workerConfig(process.env);
  await keccakReady();
  const metrics = serviceMetrics(`worker:${config.dataClass}`);
  const { chain, separator } = openChain(config, now, (outcome) => {
    metrics.chainRead(outcome);
  });
  const replay = await benchReplay(config.stateDir, now);
  const tls = followTlsFiles({ ca: config.tlsCa, cert: config.tlsCert, key: config.tlsKey }, log);
  const { dataClass, origin, brokerOrigin, capPopRequired } = config;
  const app = workerApp({
    dataClass,
    origin,
    brokerOrigin,
    brokerKeys: brokerKeysFromFile(process.env["BENCH_JWKS_FILE"] ?? ""),
    separator,
    chain,
    replay,
    objects,
    versions,
    audit: { append: refuses, close: nothing },
    signer: signerClient({ origin: config.signerOrigin, tls }),
    cache: new CapCache(),
    sealKey: await generateSealKeyPair(),
    capPopRequired,
    now,
    log,
    metrics,
  });
  const server = await listen(app, config);
  return {
    url: server.url,
    async close() {
      await server.close();
      await replay.close();
      await chain.close();
    },
  };
});

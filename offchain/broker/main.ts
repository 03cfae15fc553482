import { renameSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { openChain } from "../http/chain-config";
import { checkOnlyReplica } from "../http/embedded";
import { serviceLog } from "../http/log";
import { serviceMetrics } from "../http/metrics";
import { listen, runMain } from "../http/server";
import { signerClient } from "../http/signer-client";
import { followTlsFiles } from "../http/tls-files";
import { fileReplay } from "../store/file-replay";
import { keccakReady } from "../wire/keccak";
import { brokerApp } from "./app";
import { brokerConfig } from "./config";
import { openKeyRing } from "./keys";

/** How often keys that were added or have retired are taken up. */
const KEYS_MS = 5_000;

const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog("broker", process.env["BROKER_LOG_LEVEL"] ?? "info");

runMain(log, async () => {
  const config = brokerConfig(process.env);
  checkOnlyReplica(config.host, config.onlyReplica, "BROKER_ONLY_REPLICA");
  await keccakReady();
  const metrics = serviceMetrics("broker");
  const { chain, separator } = openChain(config, now, (outcome) => {
    metrics.chainRead(outcome);
  });
  const replay = await fileReplay({ file: join(config.stateDir, "replay", "seen"), now });
  // for a vault, which pins the broker's keys by file; its time says until when this broker published
  const jwksFile = join(config.stateDir, "jwks.json");
  const published = statSync(jwksFile, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  const keys = openKeyRing(join(config.stateDir, "keys"), now(), Math.floor(published / 1_000));
  const publish = (): void => {
    keys.reload(now());
    writeFileSync(`${jwksFile}.tmp`, JSON.stringify(keys.jwks(now())));
    renameSync(`${jwksFile}.tmp`, jwksFile);
  };
  publish();
  const timer = setInterval(() => {
    try {
      publish();
    } catch (error) {
      log.error({ err: error }, "the keys could not be read or published again; those read before stay in use");
    }
  }, KEYS_MS);
  const signer =
    config.signerOrigin === undefined
      ? undefined
      : signerClient({
          origin: config.signerOrigin,
          tls: followTlsFiles({ ca: config.tlsCa, cert: config.tlsCert, key: config.tlsKey }, log),
        });
  const app = brokerApp({ origin: config.origin, separator, chain, replay, keys, signer, now, log, metrics });
  const server = await listen(app, config);
  return {
    url: server.url,
    async close() {
      clearInterval(timer);
      await server.close();
      await signer?.close();
      await replay.close();
      await chain.close();
    },
  };
});

import { join } from "node:path";

import { brokerApp } from "../../offchain/broker/app";
import { brokerConfig } from "../../offchain/broker/config";
import { openKeyRing } from "../../offchain/broker/keys";
import { openChain } from "../../offchain/http/chain-config";
import { serviceLog } from "../../offchain/http/log";
import { serviceMetrics } from "../../offchain/http/metrics";
import { listen, runMain } from "../../offchain/http/server";
import { keccakReady } from "../../offchain/wire/keccak";
import { benchReplay } from "./replay";

/** The broker's own app; only its replay store is chosen by the bench. Log at `info`, metrics on. */
const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog("broker", "info");

runMain(log, async () => {
  const config = brokerConfig(process.env);
  await keccakReady();
  const metrics = serviceMetrics("broker");
  const { chain, separator } = openChain(config, now, (outcome) => {
    metrics.chainRead(outcome);
  });
  const replay = await benchReplay(config.stateDir, now);
  const keys = openKeyRing(join(config.stateDir, "keys"), now());
  const app = brokerApp({ origin: config.origin, separator, chain, replay, keys, now, log, metrics });
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

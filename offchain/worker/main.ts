import { randomBytes } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { CHAIN_PROFILES } from "../chain/profiles";
import { openChain } from "../http/chain-config";
import { ConfigurationError, readSecretFile } from "../http/config";
import { checkOnlyReplica } from "../http/embedded";
import { serviceLog } from "../http/log";
import { serviceMetrics } from "../http/metrics";
import { listen, runMain } from "../http/server";
import { fileAudit } from "../store/file-audit";
import { fileReplay } from "../store/file-replay";
import { folderObjects } from "../store/folder-objects";
import { pgliteVersions } from "../store/pglite-versions";
import { CapCache } from "../verify/cap-cache";
import { type SealKeyPair, sealKeyPairFrom } from "../wire/hpke";
import { keccakReady } from "../wire/keccak";
import { workerApp } from "./app";
import { brokerKeysFromOrigin } from "../http/broker-keys";
import { workerConfig } from "./config";
import { signerClient } from "../http/signer-client";
import { followTlsFiles } from "../http/tls-files";

const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog(`worker:${process.env["WORKER_DATA_CLASS"] ?? "?"}`, process.env["WORKER_LOG_LEVEL"] ?? "info");

runMain(log, async () => {
  const config = workerConfig(process.env);
  checkOnlyReplica(config.host, config.onlyReplica, "WORKER_ONLY_REPLICA");
  checkMigrationSwitch(config.capPopRequired, CHAIN_PROFILES[config.profile].production);
  await keccakReady();
  const metrics = serviceMetrics(`worker:${config.dataClass}`);
  const { chain, separator } = openChain(config, now, (outcome) => {
    metrics.chainRead(outcome);
  });
  const state = (name: string): string => join(config.stateDir, name);
  const objects = folderObjects({ dir: state("objects") });
  await objects.probe();
  const versions = await pgliteVersions({ dir: state("versions") });
  const replay = await fileReplay({ file: join(state("replay"), "seen"), now });
  const audit = await fileAudit({ file: join(state("audit"), "rows") });
  const brokerKeys = await brokerKeysFromOrigin(config.brokerOrigin);
  const tls = followTlsFiles({ ca: config.tlsCa, cert: config.tlsCert, key: config.tlsKey }, log);
  const signer = signerClient({ origin: config.signerOrigin, tls });
  const sealKey = await openSealKey(state("seal-key"));
  const { dataClass, origin, brokerOrigin, capPopRequired } = config;
  const app = workerApp({
    dataClass,
    origin,
    brokerOrigin,
    brokerKeys,
    separator,
    chain,
    replay,
    objects,
    versions,
    audit,
    signer,
    cache: new CapCache(),
    sealKey,
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
      brokerKeys.close();
      await Promise.all([
        replay.close(),
        audit.close(),
        objects.close(),
        versions.close(),
        signer.close(),
        chain.close(),
      ]);
    },
  };
});

/** Off is for migrations only, said loudly. @see services note 4.2 */
function checkMigrationSwitch(capPopRequired: boolean, isProduction: boolean): void {
  if (capPopRequired) return;
  if (isProduction) throw new ConfigurationError("AGENTKEYS_WORKER_REQUIRE_CAP_POP=0 is refused on a production chain");
  log.warn(
    "AGENTKEYS_WORKER_REQUIRE_CAP_POP=0: caps are taken without their device's signature; the vault still asks for it",
  );
}

/** The worker's X25519 key; its public half is written beside it for clients to pin. */
async function openSealKey(file: string): Promise<SealKeyPair> {
  if (!existsSync(file)) writeFileSync(file, randomBytes(32), { mode: 0o600, flush: true });
  const pair = await sealKeyPairFrom(readSecretFile(file));
  writeFileSync(`${file}.pub`, `${pair.publicKey}\n`);
  log.info({ sealPublicKey: pair.publicKey }, "stores may be sealed to this key");
  return pair;
}

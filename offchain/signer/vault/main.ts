import { Socket } from "node:net";
import { join } from "node:path";

import { CHAIN_PROFILES } from "../../chain/profiles";
import { openChain } from "../../http/chain-config";
import { ConfigurationError } from "../../http/config";
import { serviceLog } from "../../http/log";
import { runMain } from "../../http/server";
import { fileReplay } from "../../store/file-replay";
import { CapCache } from "../../verify/cap-cache";
import { keccakReady } from "../../wire/keccak";
import { brokerKeysFromFile } from "../../http/broker-keys";
import { VAULT_PIPE_FD, endWithSupervisor } from "../processes";
import { vaultConfig } from "./config";
import { openVaultKeys } from "./keys/open";
import { rotateByAge } from "./keys/rotation";
import { Ceremonies } from "./kms/ceremonies";
import { kmsSettings } from "./kms/config";
import { kmsLimits } from "./kms/limits";
import { serve } from "./serve";
import { openVaultState } from "./state/open-state";

const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog("signer:vault", process.env["SIGNER_LOG_LEVEL"] ?? "info");

runMain(log, async () => {
  const config = vaultConfig(process.env);
  if (CHAIN_PROFILES[config.profile].production && config.quorum < 2) {
    throw new ConfigurationError("CHAIN_QUORUM must be at least 2: the vault believes no single RPC");
  }
  await keccakReady();
  // before the token's library is loaded, which reads them
  if (config.backend === "pkcs11") for (const [name, value] of config.environment) process.env[name] = value;
  const keys = await openVaultKeys(config, { writerDir: join(config.stateDir, "keys"), now, log });
  const state = await openVaultState({
    dir: join(config.stateDir, "agent-keys"),
    key: keys.stateKey(),
    anchor: keys.stateAnchor(),
  });
  const stopRotating = rotateByAge(keys, now, log);
  const { chain, separator } = openChain(config, now, () => undefined);
  const replay = await fileReplay({ file: join(config.stateDir, "replay", "seen"), now });
  endWithSupervisor();
  const pipe = new Socket({ fd: VAULT_PIPE_FD });
  const kms = {
    separator,
    chain,
    replay,
    keys,
    state,
    now,
    log,
    settings: kmsSettings(config, config.publicOrigin),
    ceremonies: new Ceremonies(),
    limits: kmsLimits({ now: () => performance.now() }),
  };
  serve(
    {
      separator,
      chain,
      replay,
      cache: new CapCache(),
      brokerOrigin: config.brokerOrigin,
      brokerKeys: brokerKeysFromFile(config.brokerJwksFile),
      workerOrigins: config.workerOrigins,
      keys,
      state,
      publicOrigin: config.publicOrigin,
      kms,
      now,
      log,
    },
    pipe,
    (why) => {
      log.warn({ why }, "the front is gone");
      process.kill(process.pid, "SIGTERM");
    },
  );
  return {
    url: "pipe",
    async close() {
      pipe.destroy();
      stopRotating();
      await replay.close();
      await state.close();
      await keys.close();
      await chain.close();
    },
  };
});

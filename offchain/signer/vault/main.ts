import { statSync } from "node:fs";
import { Socket } from "node:net";
import { join } from "node:path";

import { CHAIN_PROFILES } from "../../chain/profiles";
import { openChain } from "../../http/chain-config";
import { ConfigurationError, readSecretFile } from "../../http/config";
import { serviceLog } from "../../http/log";
import { runMain } from "../../http/server";
import { fileReplay } from "../../store/file-replay";
import { CapCache } from "../../verify/cap-cache";
import { keccakReady } from "../../wire/keccak";
import { Secret } from "../../wire/secret";
import { brokerKeysFromFile } from "../../http/broker-keys";
import { VAULT_PIPE_FD, endWithSupervisor } from "../processes";
import { vaultConfig } from "./config";
import { type K3Ring, openVaultFile } from "./sealed-file";
import { serve } from "./serve";

const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog("signer:vault", process.env["SIGNER_LOG_LEVEL"] ?? "info");

runMain(log, async () => {
  const config = vaultConfig(process.env);
  if (CHAIN_PROFILES[config.profile].production && config.quorum < 2) {
    throw new ConfigurationError("CHAIN_QUORUM must be at least 2: the vault believes no single RPC");
  }
  await keccakReady();
  const passphrase = new Secret(readSecretFile(config.passphraseFile));
  const { chain, separator } = openChain(config, now, () => undefined);
  const replay = await fileReplay({ file: join(config.stateDir, "replay", "seen"), now });
  endWithSupervisor();
  const pipe = new Socket({ fd: VAULT_PIPE_FD });
  serve(
    {
      separator,
      chain,
      replay,
      cache: new CapCache(),
      brokerOrigin: config.brokerOrigin,
      brokerKeys: brokerKeysFromFile(config.brokerJwksFile),
      workerOrigins: config.workerOrigins,
      ring: followVaultFile(config.file, passphrase),
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
      await replay.close();
      await chain.close();
    },
  };
});

/** The ring, read again when an epoch was prepared; a file that no longer opens leaves the old ring and says so. */
function followVaultFile(file: string, passphrase: Secret<Buffer>): () => K3Ring {
  const stampOf = (): string => {
    const { mtimeMs, ino } = statSync(file);
    return `${String(mtimeMs)}/${String(ino)}`;
  };
  let ring = openVaultFile(file, passphrase);
  let stamp = stampOf();
  setInterval(() => {
    try {
      const fresh = stampOf();
      if (fresh === stamp) return;
      stamp = fresh;
      ring = openVaultFile(file, passphrase);
      log.info({ epochs: [...ring.keys()] }, "the vault file was read again");
    } catch (error) {
      log.error({ err: error }, "the vault file no longer opens; the keys read before stay in use");
    }
  }, 1_000).unref();
  return () => ring;
}

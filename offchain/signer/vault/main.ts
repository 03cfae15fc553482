import { Socket } from "node:net";

import { CHAIN_PROFILES } from "../../chain/profiles";
import { ConfigurationError } from "../../http/config";
import { serviceLog } from "../../http/log";
import { runMain } from "../../http/server";
import { VAULT_PIPE_FD, endWithSupervisor, refuseDebugger } from "../processes";
import { serveAdmin } from "./admin";
import { vaultConfig } from "./config";
import { openVault } from "./open";
import { serve } from "./serve";

const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog("signer:vault", process.env["SIGNER_LOG_LEVEL"] ?? "info");

// before there is anything to look at
refuseDebugger();

runMain(log, async () => {
  const config = vaultConfig(process.env);
  if (CHAIN_PROFILES[config.profile].production && config.quorum < 2) {
    throw new ConfigurationError("CHAIN_QUORUM must be at least 2: the vault believes no single RPC");
  }
  const vault = await openVault(config, { now, log });
  const admin = await serveAdmin(vault.parts, config.stateDir);
  endWithSupervisor();
  const pipe = new Socket({ fd: VAULT_PIPE_FD });
  serve(vault.parts, pipe, (why) => {
    log.warn({ why }, "the front is gone");
    process.kill(process.pid, "SIGTERM");
  });
  return {
    url: "pipe",
    async close() {
      pipe.destroy();
      await admin.close();
      await vault.close();
    },
  };
});

import { Socket } from "node:net";

import { serviceLog } from "../../offchain/http/log";
import { runMain } from "../../offchain/http/server";
import { VAULT_PIPE_FD, endWithSupervisor } from "../../offchain/signer/processes";
import { vaultConfig } from "../../offchain/signer/vault/config";
import { openVault } from "../../offchain/signer/vault/open";
import { serve } from "../../offchain/signer/vault/serve";
import { noLimits } from "./no-limits";

/** The vault as it is, but for the limits that would end the measurement of `sign-agent` after 20 signatures. */
const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog("signer:vault", "info");

runMain(log, async () => {
  const vault = await openVault(vaultConfig(process.env), { now, log, limits: noLimits });
  endWithSupervisor();
  const pipe = new Socket({ fd: VAULT_PIPE_FD });
  serve(vault.parts, pipe, () => process.kill(process.pid, "SIGTERM"));
  return {
    url: "pipe",
    async close() {
      pipe.destroy();
      await vault.close();
    },
  };
});

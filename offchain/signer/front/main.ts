import { readFileSync } from "node:fs";
import { Socket } from "node:net";

import { readSecretFile } from "../../http/config";
import { serviceLog } from "../../http/log";
import { serviceMetrics } from "../../http/metrics";
import { listen, runMain } from "../../http/server";
import { VAULT_PIPE_FD, endWithSupervisor } from "../processes";
import { frontApp } from "./app";
import { frontConfig } from "./config";
import { vaultClient } from "./vault-client";

const log = serviceLog("signer:front", process.env["SIGNER_LOG_LEVEL"] ?? "info");

runMain(log, async () => {
  const config = frontConfig(process.env);
  endWithSupervisor();
  const pipe = new Socket({ fd: VAULT_PIPE_FD });
  const vault = vaultClient(pipe, (why) => {
    log.warn({ why }, "the vault is gone");
  });
  const app = frontApp({ vault, log, metrics: serviceMetrics("signer:front") });
  const server = await listen(app, {
    host: config.host,
    port: config.port,
    tls: {
      ca: readFileSync(config.tlsCa),
      cert: readFileSync(config.tlsCert),
      key: readSecretFile(config.tlsKey),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.3",
    },
  });
  return {
    url: server.url,
    async close() {
      await server.close();
      pipe.destroy();
    },
  };
});

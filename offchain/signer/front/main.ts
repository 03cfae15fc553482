import { Socket } from "node:net";

import { serviceLog } from "../../http/log";
import { serviceMetrics } from "../../http/metrics";
import { listen, runMain } from "../../http/server";
import { followTlsFiles } from "../../http/tls-files";
import { VAULT_PIPE_FD, endWithSupervisor } from "../processes";
import { frontApp } from "./app";
import { frontConfig } from "./config";
import { publicApp } from "./public-app";
import { sourceLimits } from "./source-limits";
import { vaultClient } from "./vault-client";

const log = serviceLog("signer:front", process.env["SIGNER_LOG_LEVEL"] ?? "info");

runMain(log, async () => {
  const config = frontConfig(process.env);
  const services = followTlsFiles({ ca: config.tlsCa, cert: config.tlsCert, key: config.tlsKey }, log);
  const agents =
    config.publicTlsCert === "none"
      ? undefined
      : followTlsFiles({ cert: config.publicTlsCert, key: config.publicTlsKey }, log);
  endWithSupervisor();
  const pipe = new Socket({ fd: VAULT_PIPE_FD });
  const vault = vaultClient(pipe, (why) => {
    log.warn({ why }, "the vault is gone");
  });
  const metrics = serviceMetrics("signer:front");
  const limits = sourceLimits({ now: () => performance.now() });
  const minVersion = "TLSv1.3";
  const publicFace = await listen(publicApp({ vault, limits, log, metrics }), {
    host: config.publicHost,
    port: config.publicPort,
    ...(agents === undefined ? {} : { tls: { ...agents.current(), minVersion } }),
  });
  const server = await listen(frontApp({ vault, log, metrics }), {
    host: config.host,
    port: config.port,
    tls: { ...services.current(), requestCert: true, rejectUnauthorized: true, minVersion },
  });
  services.onChange((texts) => {
    server.renewTls({ ...texts, minVersion });
  });
  agents?.onChange((texts) => {
    publicFace.renewTls({ ...texts, minVersion });
  });
  log.info({ url: publicFace.url }, "agents are served here");
  return {
    url: server.url,
    async close() {
      services.close();
      agents?.close();
      await Promise.all([server.close(), publicFace.close()]);
      pipe.destroy();
    },
  };
});

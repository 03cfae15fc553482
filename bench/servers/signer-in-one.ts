import { serviceLog } from "../../offchain/http/log";
import { serviceMetrics } from "../../offchain/http/metrics";
import { listen, runMain } from "../../offchain/http/server";
import { followTlsFiles } from "../../offchain/http/tls-files";
import { frontApp } from "../../offchain/signer/front/app";
import { frontConfig } from "../../offchain/signer/front/config";
import { publicApp } from "../../offchain/signer/front/public-app";
import type { VaultClient } from "../../offchain/signer/front/vault-client";
import { vaultConfig } from "../../offchain/signer/vault/config";
import { openVault } from "../../offchain/signer/vault/open";
import { answer } from "../../offchain/signer/vault/serve";
import { noLimits } from "./no-limits";

/**
 * The peer of the signer: front and vault in one process, the same work without the pipe between them. Nobody should run
 * it: whoever takes the front over has the keys.
 */
const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog("signer-in-one", "info");

runMain(log, async () => {
  const front = frontConfig(process.env);
  const opened = await openVault(vaultConfig(process.env), { now, log, limits: noLimits });
  const vault: VaultClient = {
    ask: (route, caller, body, headers = {}) =>
      answer(opened.parts, { id: 0, route, caller, body: body.toString("base64"), headers }),
  };
  const tls = followTlsFiles({ ca: front.tlsCa, cert: front.tlsCert, key: front.tlsKey }, log);
  const face = { vault, log, metrics: serviceMetrics("signer-in-one") };
  const agents = await listen(publicApp({ ...face, limits: noLimits }), {
    host: front.publicHost,
    port: front.publicPort,
  });
  const services = await listen(frontApp(face), {
    host: front.host,
    port: front.port,
    tls: { ...tls.current(), requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" },
  });
  return {
    url: services.url,
    async close() {
      tls.close();
      await Promise.all([agents.close(), services.close()]);
      await opened.close();
    },
  };
});

import { createPrivateKey } from "node:crypto";
import { readFileSync } from "node:fs";

import Provider from "oidc-provider";

import { serviceLog } from "../../offchain/http/log";
import { serviceMetrics } from "../../offchain/http/metrics";

/**
 * The peer of the broker: oidc-provider minting DPoP-bound access tokens (RFC 9068, ES256) for client credentials, its
 * embedded adapter in memory. Log a line a request and metrics, as ours.
 */
const origin = process.env["BENCH_ORIGIN"] ?? "";
const audience = process.env["BENCH_AUDIENCE"] ?? "";
const key = createPrivateKey(readFileSync(process.env["BENCH_ISSUER_KEY_FILE"] ?? ""));
const log = serviceLog("oidc-provider", "info");
const metrics = serviceMetrics("oidc-provider");

const provider = new Provider(origin, {
  clients: [
    {
      client_id: "agent",
      client_secret: "agent-secret",
      grant_types: ["client_credentials"],
      redirect_uris: [],
      response_types: [],
      token_endpoint_auth_method: "client_secret_basic",
      id_token_signed_response_alg: "ES256",
    },
  ],
  jwks: { keys: [{ ...key.export({ format: "jwk" }), use: "sig", alg: "ES256" }] },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    dPoP: { enabled: true },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => ({
        scope: "fetch",
        audience,
        accessTokenFormat: "jwt",
        accessTokenTTL: 300,
        jwt: { sign: { alg: "ES256" } },
      }),
    },
  },
});
provider.use(async (context, next) => {
  const started = performance.now();
  await next();
  const seconds = (performance.now() - started) / 1_000;
  metrics.request(context.path, context.status, "ok", seconds);
  log.info({ route: context.path, status: context.status, ms: Math.round(seconds * 1e5) / 100 });
});
provider.listen(Number(process.env["BENCH_PORT"]), "127.0.0.1");
process.on("SIGTERM", () => process.exit());

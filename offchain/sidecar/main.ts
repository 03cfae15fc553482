import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";

import { createClient } from "../client/client";
import { deviceKeyAt } from "../client/device-key-file";
import { fileMarks } from "../client/high-water-marks";
import { openChain } from "../http/chain-config";
import { ConfigurationError, readSecretFile } from "../http/config";
import { drain } from "../http/drain";
import { serviceLog } from "../http/log";
import { runMain } from "../http/server";
import { keccakReady } from "../wire/keccak";
import { askChain } from "../verify/ask-chain";
import { ZERO32 } from "../wire/bytes";
import { sidecarHandler } from "./app";
import { credentialCache } from "./cache";
import { MIN_TOKEN_BYTES, socketAdmission, tokenAdmission } from "./callers";
import { sidecarConfig } from "./config";
import { readServices } from "./services";
import { SERVER_LIMITS, listenOnSocket } from "./unix-socket";

const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog("sidecar", process.env["SIDECAR_LOG_LEVEL"] ?? "info");

runMain(log, async () => {
  const config = sidecarConfig(process.env);
  await keccakReady();
  const { chain, domain } = openChain(config, now, () => undefined);
  const device = await deviceKeyAt(config.deviceKeyFile);
  const marks = await fileMarks(config.marksFile);
  const { operatorOmni, actorOmni } = config;
  const urls = { broker: config.brokerOrigin, worker: { credentials: config.workerOrigin } };
  const client = await createClient({ device, operatorOmni, domain, urls, chain, marks, now });
  const services = readServices(config.servicesFile);
  const token = config.tcpPort === undefined ? undefined : readToken(config.tokenFile);
  const cache = credentialCache(() => performance.now());
  const wish = (service: string) => ({ actorOmni, dataClass: "credentials" as const, service });
  const parts = {
    services,
    cache,
    log,
    async load(service: string) {
      const fetched = await client.fetch(wish(service));
      return fetched.ok ? { ok: true as const, value: fetched.value.plaintext } : fetched;
    },
    // the same facts that a fetch would need now, at the newest block; the epoch's key plays no part in a cached call
    async stillAllowed(service: string) {
      const query = { ...wish(service), operatorOmni, deviceKeyHash: device.deviceKeyHash };
      const facts = await chain.access(query);
      if (!facts.ok) return facts;
      const rest = { contentHash: ZERO32, issuedAt: now(), expiresAt: now(), nonce: ZERO32 };
      const cap = { ...query, ...rest, op: "fetch" as const, k3Epoch: facts.value.k3Epoch };
      return askChain({ access: () => Promise.resolve(facts) }, cap, now());
    },
  };
  log.info(
    "same-user mode: keeps credentials out of environment, traffic and logs, not from a hostile process of this user",
  );
  const servers: Server[] = [await listenOnSocket(config.socket, sidecarHandler(parts, socketAdmission))];
  if (config.tcpPort !== undefined && token !== undefined) {
    servers.push(await listenOnTcp(config.tcpPort, (host) => sidecarHandler(parts, tokenAdmission(token, host))));
  }
  const tcp = servers[1]?.address() as AddressInfo | undefined;
  return {
    url: tcp === undefined ? `unix:${config.socket}` : `http://127.0.0.1:${String(tcp.port)}`,
    async close() {
      await Promise.all(servers.map((server) => drain(server)));
      cache.clear();
      await client.close();
      await chain.close();
    },
  };
});

function readToken(file: string): Buffer {
  const token = Buffer.from(readSecretFile(file).toString().trim());
  if (token.length < MIN_TOKEN_BYTES) {
    throw new ConfigurationError(`${file}: a token has at least ${String(MIN_TOKEN_BYTES)} bytes`);
  }
  return token;
}

/** The handler is made once the port, and so the exact `Host`, is known. */
async function listenOnTcp(
  port: number,
  handler: (host: string) => ReturnType<typeof sidecarHandler>,
): Promise<Server> {
  const server = createServer(SERVER_LIMITS);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "127.0.0.1", resolve);
  });
  server.on("request", handler(`127.0.0.1:${String((server.address() as AddressInfo).port)}`));
  return server;
}

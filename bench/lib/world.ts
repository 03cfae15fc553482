import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { toHex } from "../../offchain/wire/bytes";
import { freePorts } from "../../scripts/lib/process";
import { type Stack, startStack } from "../../scripts/lib/stack";
import { World } from "../../test/drills/world";
import type { LoadPlan } from "../load/scenarios";
import { type PinnedServer, startPinned } from "./pinned";

/** Which replay memory a server of the bench has. */
export type Replay = "memory" | "durable";

/** A running stack with one operator and agent, and the servers that the rows measure, started when first asked for. */
export class BenchWorld {
  readonly #servers = new Map<string, Promise<PinnedServer>>();
  readonly #signerPorts: { two?: readonly number[]; one?: readonly number[] } = {};

  private constructor(
    readonly dir: string,
    readonly stack: Stack,
    readonly world: World,
  ) {}

  static async start(): Promise<BenchWorld> {
    const dir = mkdtempSync(join(tmpdir(), "agentkeys-bench-"));
    const stack = await startStack({ dir: join(dir, "stack"), logLevel: "info" });
    return new BenchWorld(dir, stack, await World.over(stack));
  }

  async stop(): Promise<void> {
    // one that never started has nothing to stop, and its error was the row's
    await Promise.allSettled([...this.#servers.values()].map(async (server) => (await server).stop()));
    await this.world.close();
    await this.stack.stop();
    rmSync(this.dir, { recursive: true, force: true });
  }

  /** The device's facts, for a load generator to sign with. */
  get device(): NonNullable<LoadPlan["device"]> {
    const { omni, actor, agentDevice } = this.world.party;
    return {
      secret: toHex(agentDevice.secret),
      separator: toHex(this.world.separator),
      operatorOmni: omni,
      actorOmni: actor,
      service: this.world.service,
    };
  }

  /** PKCS#8 PEM of the stack's K1, which also signs the peers' access tokens: the same curve on both sides. */
  async issuerKey(): Promise<string> {
    return readFileSync(await this.stack.currentBrokerKeyFile(), "utf8");
  }

  broker(replay: Replay): Promise<PinnedServer> {
    return this.#once(`broker-${replay}`, "bench/servers/broker.ts", "/readyz", (url, state) => ({
      ...this.#chain(),
      BROKER_PORT: new URL(url).port,
      BROKER_ORIGIN: url,
      BROKER_STATE_DIR: state,
      BENCH_REPLAY: replay,
    }));
  }

  worker(replay: Replay): Promise<PinnedServer> {
    const { urls, dir } = this.stack;
    const certs = join(dir, "certs");
    return this.#once(`worker-${replay}`, "bench/servers/worker.ts", "/readyz", (url, state) => ({
      ...this.#chain(),
      WORKER_DATA_CLASS: "credentials",
      WORKER_PORT: new URL(url).port,
      WORKER_ORIGIN: url,
      WORKER_BROKER_ORIGIN: urls.broker,
      WORKER_SIGNER_ORIGIN: urls.signer,
      WORKER_TLS_CA_FILE: join(certs, "ca.pem"),
      WORKER_TLS_CERT_FILE: join(certs, "worker-credentials.pem"),
      WORKER_TLS_KEY_FILE: join(certs, "worker-credentials.key"),
      WORKER_STATE_DIR: state,
      BENCH_JWKS_FILE: join(dir, "broker", "jwks.json"),
      BENCH_REPLAY: replay,
    }));
  }

  async authorizationServer(): Promise<PinnedServer> {
    const file = await this.stack.currentBrokerKeyFile();
    return this.#once("oidc-provider", "bench/servers/oidc-provider.ts", "/jwks", (url) => ({
      BENCH_PORT: new URL(url).port,
      BENCH_ORIGIN: url,
      BENCH_AUDIENCE: "https://resource.example.org",
      BENCH_ISSUER_KEY_FILE: file,
    }));
  }

  async resourceServer(): Promise<PinnedServer> {
    const file = await this.stack.currentBrokerKeyFile();
    return this.#once("dpop-resource-server", "bench/servers/dpop-resource-server.ts", "/healthz", (url) => ({
      BENCH_PORT: new URL(url).port,
      BENCH_ORIGIN: url,
      BENCH_ISSUER: this.stack.urls.broker,
      BENCH_ISSUER_KEY_FILE: file,
    }));
  }

  /**
   * A signer of its own over a copy of the stack's vault: front and vault as they are, or both in one process. Listens for
   * services beside its public port.
   */
  async signer(form: "two" | "one"): Promise<{ readonly server: PinnedServer; readonly services: string }> {
    const [port = 0] = this.#signerPorts[form] ?? (await freePorts(1));
    this.#signerPorts[form] = [port];
    const { urls, dir, deployment } = this.stack;
    const certs = join(dir, "certs");
    const program = form === "two" ? "bench/servers/signer.ts" : "bench/servers/signer-in-one.ts";
    const server = await this.#once(
      `signer-${form}`,
      program,
      "/readyz",
      (url, state) => {
        for (const name of ["vault.sealed", "vault.sealed.seq", "passphrase"]) {
          copyFileSync(join(dir, "vault", name), join(state, name));
        }
        return {
          ...this.#chain(),
          CHAIN_QUORUM: "1",
          SIGNER_PORT: String(port),
          SIGNER_PUBLIC_PORT: new URL(url).port,
          SIGNER_TLS_CA_FILE: join(certs, "ca.pem"),
          SIGNER_TLS_CERT_FILE: join(certs, "signer.pem"),
          SIGNER_TLS_KEY_FILE: join(certs, "signer.key"),
          VAULT_FILE: join(state, "vault.sealed"),
          VAULT_PASSPHRASE_FILE: join(state, "passphrase"),
          VAULT_STATE_DIR: state,
          VAULT_PUBLIC_ORIGIN: url,
          VAULT_RP_ID: "localhost",
          VAULT_RP_ORIGINS: "http://localhost",
          VAULT_ENTRY_POINT: deployment.entryPoint,
          VAULT_BROKER_ORIGIN: urls.broker,
          VAULT_BROKER_JWKS_FILE: join(dir, "broker", "jwks.json"),
          VAULT_WORKER_ORIGINS: `credentials=${urls.worker.credentials}`,
        };
      },
      "server",
      form === "one",
    );
    return { server, services: `https://127.0.0.1:${String(port)}` };
  }

  /** The real sidecar over a token-protected port, with one upstream entry per service. */
  sidecar(services: readonly string[], upstream: string, token: string): Promise<PinnedServer> {
    const { omni, actor, agentDevice } = this.world.party;
    return this.#once("sidecar", "offchain/sidecar/main.ts", "/", (url, state) => {
      const file = (name: string, text: string): string => {
        const path = join(state, name);
        writeFileSync(path, text, { mode: 0o600 });
        return path;
      };
      const entries = services.map((service) => [service, { upstream, allow_private: true }]);
      return {
        ...this.#chain(),
        SIDECAR_SOCKET: join(state, "run", "sidecar.sock"),
        SIDECAR_TCP_PORT: new URL(url).port,
        SIDECAR_TOKEN_FILE: file("token", token),
        SIDECAR_DEVICE_KEY_FILE: file("k10", toHex(agentDevice.secret)),
        SIDECAR_MARKS_FILE: join(state, "marks.json"),
        SIDECAR_SERVICES_FILE: file("services.json", JSON.stringify(Object.fromEntries(entries))),
        SIDECAR_OPERATOR_OMNI: omni,
        SIDECAR_ACTOR_OMNI: actor,
        SIDECAR_BROKER_ORIGIN: this.stack.urls.broker,
        SIDECAR_WORKER_ORIGIN: this.stack.urls.worker.credentials,
      };
    });
  }

  /** The upstream, away from the servers' core. */
  upstream(authorization: string): Promise<PinnedServer> {
    const env = (url: string) => ({ BENCH_PORT: new URL(url).port, BENCH_AUTHORIZATION: authorization });
    return this.#once("upstream", "bench/servers/upstream.ts", "/", env, "load");
  }

  plainProxy(upstream: string, authorization: string): Promise<PinnedServer> {
    return this.#once("plain-proxy", "bench/servers/plain-proxy.ts", "/", (url) => ({
      BENCH_PORT: new URL(url).port,
      BENCH_UPSTREAM: upstream,
      BENCH_AUTHORIZATION: authorization,
    }));
  }

  #chain(): Record<string, string> {
    const { SidecarRegistry, ScopeRegistry, K3EpochCounter } = this.stack.contracts;
    return {
      CHAIN_RPC_URLS: this.stack.rpcUrl,
      CHAIN_ID: String(this.stack.chainId),
      CHAIN_PROFILE: "local",
      CHAIN_SIDECAR_REGISTRY: SidecarRegistry,
      CHAIN_SCOPE_REGISTRY: ScopeRegistry,
      CHAIN_K3_EPOCH_COUNTER: K3EpochCounter,
    };
  }

  #once(
    name: string,
    program: string,
    path: string,
    env: (url: string, state: string) => Record<string, string>,
    core: "server" | "load" = "server",
    isOneProcess = true,
  ): Promise<PinnedServer> {
    let server = this.#servers.get(name);
    if (server === undefined) {
      server = this.#start(name, program, path, env, core, isOneProcess);
      this.#servers.set(name, server);
    }
    return server;
  }

  async #start(
    name: string,
    program: string,
    path: string,
    env: (url: string, state: string) => Record<string, string>,
    core: "server" | "load",
    isOneProcess: boolean,
  ): Promise<PinnedServer> {
    const [port = 0] = await freePorts(1);
    const url = `http://127.0.0.1:${String(port)}`;
    const state = join(this.dir, name);
    mkdirSync(state, { mode: 0o700 });
    const logFile = join(this.dir, `${name}.log`);
    return startPinned(program, { url, path, env: env(url, state), logFile, core, isOneProcess });
  }
}

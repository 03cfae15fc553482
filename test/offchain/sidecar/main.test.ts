import { execFile } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, lstatSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { join, resolve } from "node:path";
import { promisify } from "node:util";

import { expect } from "chai";

import { freePorts } from "../../../scripts/lib/process";
import type { Party, World } from "../../drills/world";
import { sharedWorld } from "../../helpers/shared-world";
import { call, readAnswer } from "../../helpers/sidecar";
import { type SidecarProcess, sidecarSetup, startSidecar } from "../../helpers/sidecar-process";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { signal, testServer, until } from "../../helpers/upstream";

const ROOT = resolve(__dirname, "../../..");
const SECRET = "sk-live-0123456789abcdef";
const folders = temporaryFolders();

describe("sidecar: the process", () => {
  let world: World;
  let party: Party;
  let upstream: Awaited<ReturnType<typeof testServer>>;
  const running: SidecarProcess[] = [];

  before(async () => {
    world = await sharedWorld();
    party = await world.newParty("agent-sidecar");
    await world.as(party, () => world.store(SECRET).then(() => undefined));
    upstream = await testServer();
  });
  afterEach(async () => {
    upstream.use();
    upstream.received.length = 0;
    await Promise.all(running.splice(0).map((one) => one.stop()));
  });
  after(async () => {
    await upstream.stop();
    folders.removeAll();
  });

  async function sidecar(env: Record<string, string> = {}, dir = folders.make(), who = party): Promise<SidecarProcess> {
    const one = await startSidecar({ world, party: who, dir, upstream: upstream.url, env });
    running.push(one);
    return one;
  }

  const path = (): string => `/${world.service}/v1/chat`;
  const overTcp = (one: SidecarProcess) => ({
    port: one.tcpPort,
    path: path(),
    headers: { "agentkeys-token": one.token },
  });

  it("fetches the credential as the device, over the socket and over TCP, once", async () => {
    const one = await sidecar();
    expect(statSync(one.socket).mode & 0o777).to.equal(0o600);
    const first = await call({
      socketPath: one.socket,
      path: path(),
      headers: { authorization: "Bearer placeholder" },
    });
    expect(first.status).to.equal(200);
    expect((await call(overTcp(one))).status).to.equal(200);
    expect(upstream.received.map((got) => got.header("authorization"))).to.deep.equal([
      [`Bearer ${SECRET}`],
      [`Bearer ${SECRET}`],
    ]);
    expect((await call({ port: one.tcpPort, path: path() })).code).to.equal("caller_not_allowed");
    expect((await call({ socketPath: one.socket, path: "/unknown/a" })).code).to.equal("route_not_found");
    expect(upstream.received).to.have.length(2);
  });

  it("an agent beside it sees placeholders only: environment, traffic, files, log, /proc", async () => {
    const dir = folders.make();
    const seen = folders.make();
    const one = await sidecar({}, dir);
    upstream.use((incoming, response) => response.end(`you sent ${String(incoming.headers.authorization)}`));
    const agent = join(ROOT, "scripts", "demo", "agent.ts");
    const env = { PATH: process.env["PATH"] ?? "", OPENROUTER_API_KEY: "placeholder" };
    await promisify(execFile)(
      process.execPath,
      ["--import", require.resolve("tsx"), agent, one.socket, path(), "placeholder", seen],
      { cwd: ROOT, env },
    );
    expect(upstream.received[0]?.header("authorization")).to.deep.equal([`Bearer ${SECRET}`]);
    const received = readFileSync(join(seen, "received.json"), "utf8");
    expect(received).to.include("you sent Bearer [redacted]");
    for (const name of readdirSync(seen)) expect(readFileSync(join(seen, name)).includes(SECRET), name).to.equal(false);
    for (const file of readdirSync(dir, { recursive: true }).map(String)) {
      const full = join(dir, file);
      if (lstatSync(full).isFile()) expect(readFileSync(full).includes(SECRET), file).to.equal(false);
    }
    const id = String(one.child.pid);
    for (const file of ["environ", "cmdline"]) {
      expect(readFileSync(`/proc/${id}/${file}`).includes(SECRET), file).to.equal(false);
    }
  });

  it("SIGTERM lets a call in flight end, takes no new one, and removes the socket", async () => {
    const one = await sidecar();
    const asked = signal();
    const more = signal();
    upstream.use((_incoming, response) => {
      response.writeHead(200).write("first ");
      asked.happen();
      void more.happened.then(() => response.end("last"));
    });
    const calling = request({ socketPath: one.socket, path: path(), headers: { connection: "keep-alive" } });
    calling.end();
    const [answer] = (await once(calling, "response")) as [IncomingMessage];
    await asked.happened;
    const gone = once(one.child, "exit");
    one.child.kill("SIGTERM");
    await until(() => !existsSync(one.socket));
    const refused = await call({ socketPath: one.socket, path: path() }).then(
      () => undefined,
      (error: unknown) => (error as NodeJS.ErrnoException).code,
    );
    expect(refused).to.equal("ENOENT");
    more.happen();
    expect((await readAnswer(answer)).body).to.equal("first last");
    expect((await gone)[0]).to.equal(0);
  });

  it("starts again over the socket that kill -9 left, and remembers what it has seen", async () => {
    const dir = folders.make();
    const one = await sidecar({}, dir);
    expect((await call({ socketPath: one.socket, path: path() })).status).to.equal(200);
    const marks = readFileSync(join(dir, "marks.json"), "utf8");
    expect(statSync(join(dir, "marks.json")).mode & 0o777).to.equal(0o600);
    await one.stop("SIGKILL");
    expect(existsSync(one.socket)).to.equal(true);
    const two = await sidecar({}, dir);
    expect((await call({ socketPath: two.socket, path: path() })).status).to.equal(200);
    expect(readFileSync(join(dir, "marks.json"), "utf8")).to.equal(marks);
  });

  it("a second sidecar does not take the socket of the first", async () => {
    const dir = folders.make();
    const one = await sidecar({}, dir);
    const error = await sidecar({}, dir).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(error).to.be.an("error");
    expect((await call({ socketPath: one.socket, path: path() })).status).to.equal(200);
  });

  for (const [what, variable, code] of [
    ["the broker", "SIDECAR_BROKER_ORIGIN", "upstream_unavailable"],
    ["the worker", "SIDECAR_WORKER_ORIGIN", "upstream_unavailable"],
    ["the chain's RPC", "CHAIN_RPC_URLS", "chain_unavailable"],
  ] as const) {
    it(`where ${what} is down it answers 503 ${code}; the upstream hears nothing`, async () => {
      const [port = 0] = await freePorts(1);
      const one = await sidecar({ [variable]: `http://127.0.0.1:${String(port)}` });
      const answer = await call({ socketPath: one.socket, path: path() });
      expect([answer.status, answer.code]).to.deep.equal([503, code]);
      expect(upstream.received).to.have.length(0);
    });
  }

  it("where the signer is down it answers 503 signer_unavailable, and works again by itself", async () => {
    const one = await sidecar();
    await world.stack.restart("signer", "SIGTERM", async () => {
      const answer = await call({ socketPath: one.socket, path: path() });
      expect([answer.status, answer.code]).to.deep.equal([503, "signer_unavailable"]);
      expect(upstream.received).to.have.length(0);
    });
    expect((await call({ socketPath: one.socket, path: path() })).status).to.equal(200);
  });

  it("an object that the reader's checks refuse is object_corrupt; the upstream hears nothing", async () => {
    const dir = folders.make();
    const one = await sidecar({}, dir);
    expect((await call({ socketPath: one.socket, path: path() })).status).to.equal(200);
    await one.stop();
    const marks = JSON.parse(readFileSync(join(dir, "marks.json"), "utf8")) as Record<string, { version: number }>;
    // as if this device had seen a newer version than the store now gives
    for (const mark of Object.values(marks)) mark.version += 1;
    writeFileSync(join(dir, "marks.json"), JSON.stringify(marks));
    const two = await sidecar({}, dir);
    upstream.received.length = 0;
    const answer = await call({ socketPath: two.socket, path: path() });
    expect([answer.status, answer.code]).to.deep.equal([500, "object_corrupt"]);
    expect(upstream.received).to.have.length(0);
  });

  it("what was never stored is object_not_found; what was never granted service_not_in_scope", async () => {
    const other = await world.newParty("agent-without");
    const one = await sidecar({}, folders.make(), other);
    const answer = await call({ socketPath: one.socket, path: path() });
    expect([answer.status, answer.code]).to.deep.equal([404, "object_not_found"]);
    const dir = folders.make();
    const services = JSON.stringify({ github: { upstream: upstream.url, allow_private: true } });
    sidecarSetup({ world, party: other, dir, upstream: upstream.url });
    writeFileSync(join(dir, "other.json"), services);
    const two = await sidecar({ SIDECAR_SERVICES_FILE: join(dir, "other.json") }, folders.make(), other);
    const refused = await call({ socketPath: two.socket, path: "/github/user" });
    expect([refused.status, refused.code]).to.deep.equal([403, "service_not_in_scope"]);
    expect(upstream.received).to.have.length(0);
  });

  describe("does not start", () => {
    async function failure(env: Record<string, string>, prepare: (dir: string) => void = () => undefined) {
      const dir = folders.make();
      const setup = sidecarSetup({ world, party, dir, upstream: upstream.url, env });
      prepare(dir);
      const args = ["--import", require.resolve("tsx"), join(ROOT, "offchain", "sidecar", "main.ts")];
      const run = promisify(execFile)(process.execPath, args, {
        cwd: ROOT,
        env: { PATH: process.env["PATH"] ?? "", ...setup.env },
      });
      const { code, stderr } = await run.then(
        () => ({ code: 0, stderr: "" }),
        (error: unknown) => error as { code: number; stderr: string },
      );
      return { code, stderr, hasSocket: existsSync(setup.env["SIDECAR_SOCKET"] ?? "") };
    }

    it("with wrong variables: all of them are named at once, whatever the log's level", async () => {
      const { code, stderr } = await failure({
        SIDECAR_LOG_LEVEL: "loud",
        SIDECAR_BROKER_ORIGIN: "http://broker.example",
        SIDECAR_ACTOR_OMNI: "0x12",
        CHAIN_ID: "one",
      });
      expect(code).to.equal(1);
      for (const name of ["SIDECAR_LOG_LEVEL", "SIDECAR_BROKER_ORIGIN", "SIDECAR_ACTOR_OMNI", "CHAIN_ID"]) {
        expect(stderr).to.include(name);
      }
    });

    for (const [what, file, mode] of [
      ["a device key that others can read", "k10", 0o644],
      ["a token that others can read", "token", 0o640],
    ] as const) {
      it(`with ${what}`, async () => {
        const { code, hasSocket } = await failure({}, (dir) => {
          chmodSync(join(dir, file), mode);
        });
        expect([code, hasSocket]).to.deep.equal([1, false]);
      });
    }

    it("with an empty token, which would admit everyone", async () => {
      const { code, hasSocket } = await failure({}, (dir) => {
        writeFileSync(join(dir, "token"), "\n");
      });
      expect([code, hasSocket]).to.deep.equal([1, false]);
    });

    it("with damaged marks, which would forget what it has seen", async () => {
      const { code, hasSocket } = await failure({}, (dir) => {
        writeFileSync(join(dir, "marks.json"), '{"a":', { mode: 0o600 });
      });
      expect([code, hasSocket]).to.deep.equal([1, false]);
    });
  });
});

import { expect } from "chai";

import { chainReader } from "../../../offchain/chain/reader";
import type { Client } from "../../../offchain/client/client";
import { fromBase64url } from "../../../offchain/wire/bytes";
import { parseCap } from "../../../offchain/wire/cap";
import { capRequestDigest } from "../../../offchain/wire/cap-request";
import { contentHash } from "../../../offchain/wire/content-hash";
import { type SealKeyPair, generateSealKeyPair, hpkeOpen } from "../../../offchain/wire/hpke";
import type { ProblemCode } from "../../../offchain/wire/problem";
import { STORE_INFO, parseSealedPayload, parseStoreBody } from "../../../offchain/wire/redeem";
import { parseProofHeader } from "../../../offchain/wire/request-proof";
import type { Result } from "../../../offchain/wire/result";
import { freePorts } from "../../../scripts/lib/process";
import { ClientWorld, type Reply, problem } from "../../helpers/client-world";
import { type Serve, tcpServer, testServer } from "../../helpers/upstream";
import { capRequest, nowSeconds, signCap } from "../../helpers/words";

const SECRET = "sk-live-0123456789abcdef";
const DIGEST = `0x${"ab".repeat(32)}`;
const CALLS = {
  fetch: (client: Client, world: ClientWorld) => client.fetch(world.wish),
  store: (client: Client, world: ClientWorld) => client.store(world.wish, Buffer.from(SECRET)),
  teardown: (client: Client, world: ClientWorld) => client.teardown(world.wish),
  rotate: (client: Client, world: ClientWorld) => client.rotate(world.wish),
} as const;
type CallName = keyof typeof CALLS;
const ALL = Object.keys(CALLS) as CallName[];
const WRITES = ALL.filter((one) => one !== "fetch");

describe("client: between services that do not do what they should", () => {
  let world: ClientWorld;
  const clients: Client[] = [];

  before(async () => {
    world = await ClientWorld.start();
  });
  beforeEach(() => {
    world.honest();
    world.reply = (response, received) => {
      if (received.url.endsWith("/fetch")) world.sealed(world.truth(SECRET))(response, received);
      else problem(200, { version: 1, digest: DIGEST })(response, received);
    };
  });
  afterEach(async () => {
    await Promise.all(clients.splice(0).map((one) => one.close()));
  });
  after(() => world.stop());

  async function open(change: Parameters<ClientWorld["client"]>[0] = {}): Promise<Client> {
    const one = await world.client(change);
    clients.push(one);
    return one;
  }
  const codeOf = (result: Result<unknown>): ProblemCode | "ok" => (result.ok ? "ok" : result.failure.code);
  async function code(name: CallName, change: Parameters<ClientWorld["client"]>[0] = {}): Promise<ProblemCode | "ok"> {
    return codeOf(await CALLS[name](await open(change), world));
  }
  const asked = () => ({ broker: world.broker.received.length, worker: world.worker.received.length });

  for (const name of ALL) {
    it(`${name} between honest services: one mint, one redemption, with a cap and a proof of this device`, async () => {
      expect(await code(name)).to.equal("ok");
      expect(asked()).to.deep.equal({ broker: 1, worker: 1 });
      const [redeemed] = world.worker.received;
      const [authorization = ""] = redeemed?.header("authorization") ?? [];
      const cap = parseCap(authorization.slice("AgentKeys ".length));
      expect(cap.ok && cap.value.claims.request.op).to.equal(name);
      // a proof for the worker never passes through the broker
      expect(world.broker.received[0]?.header("agentkeys-proof")).to.deep.equal([]);
      expect(world.broker.received[0]?.body).not.to.include(Buffer.from(SECRET).toString("base64url"));
    });
  }

  describe("redirects", () => {
    for (const status of [301, 302, 303, 307, 308]) {
      for (const place of ["broker", "worker"] as const) {
        it(`${String(status)} of the ${place} is not followed`, async () => {
          const other = await testServer();
          try {
            world[place].use((request, response) => {
              request.resume();
              response.writeHead(status, { location: `${other.url}/v1/cred/fetch` }).end();
            });
            expect(await code("fetch")).to.equal("internal_error");
            expect(await code("store")).to.equal("internal_error");
            expect(other.connections()).to.equal(0);
          } finally {
            await other.stop();
          }
        });
      }
    }
  });

  it("an answer that asks for other authentication, or names other services, changes nothing", async () => {
    const other = await testServer();
    try {
      world.worker.use((_request, response) => {
        response.writeHead(401, {
          "www-authenticate": `Basic realm="${other.url}"`,
          "alt-svc": `http/1.1="127.0.0.1:${String(other.port)}"`,
          link: `<${other.url}>; rel="service"`,
        });
        response.end(JSON.stringify({ code: "proof_invalid", reason: "stale", detail: "", broker: other.url }));
      });
      const client = await open();
      const refused = await client.fetch(world.wish);
      expect(refused.ok ? undefined : refused.failure).to.include({ code: "proof_invalid", reason: "stale" });
      expect(asked().worker).to.equal(1);
      world.honest();
      expect(codeOf(await client.fetch(world.wish))).to.equal("ok");
      expect(other.connections()).to.equal(0);
    } finally {
      await other.stop();
    }
  });

  describe("the broker's answer", () => {
    const GARBAGE: Readonly<Record<string, unknown>> = {
      "no JSON": "<html>",
      "no cap": {},
      "a cap that is no text": { cap: 1 },
      "a cap that is no JWS": { cap: "a.b.c" },
      "a cap that would end its header": { cap: "a.b.c\r\nX-Evil: 1" },
      "an empty cap": { cap: "" },
    };
    for (const [name, body] of Object.entries(GARBAGE)) {
      it(`${name} is none; the worker hears nothing`, async () => {
        world.broker.use((_request, response) =>
          response.writeHead(200).end(typeof body === "string" ? body : JSON.stringify(body)),
        );
        expect(await code("fetch")).to.equal("internal_error");
        expect(await code("store")).to.equal("internal_error");
        expect(asked().worker).to.equal(0);
      });
    }

    it("an older cap of the same device, or one with a field changed, is not redeemed", async () => {
      const good = capRequest(world.agent, { operatorOmni: world.operator, op: "teardown", ...world.wish });
      const others = [good, { ...good, service: "github" }, { ...good, expiresAt: good.expiresAt - 1 }];
      for (const other of others) {
        world.broker.use((request, response) => {
          const cap = world.countersign(other, signCap(world.separator, world.agent, other));
          request.on("end", () => response.writeHead(200).end(JSON.stringify({ cap })));
        });
        expect(await code("teardown")).to.equal("internal_error");
      }
      expect(asked().worker).to.equal(0);
    });

    it("a refusal comes through with its code and reason; a reason or code that nobody knows does not", async () => {
      const cases = [
        [403, { code: "device_revoked" }, "device_revoked", undefined],
        [401, { code: "proof_invalid", reason: "replayed" }, "proof_invalid", "replayed"],
        [401, { code: "proof_invalid", reason: "\u001b[31mevil" }, "proof_invalid", undefined],
        [401, { code: "proof_invalid", reason: 7 }, "proof_invalid", undefined],
        [403, { code: "constructor" }, "internal_error", undefined],
        [403, { code: ["device_revoked"] }, "internal_error", undefined],
        [404, "<html>no such page</html>", "internal_error", undefined],
        [500, "", "internal_error", undefined],
        [502, "<html>bad gateway</html>", "upstream_unavailable", undefined],
        [503, "", "upstream_unavailable", undefined],
        [504, "{}", "upstream_unavailable", undefined],
      ] as const;
      for (const [status, body, expected, reason] of cases) {
        const reply = problem(status, body);
        world.broker.use((request, response, received) => {
          request.on("end", () => {
            reply(response, received);
          });
        });
        const refused = await CALLS.fetch(await open(), world);
        expect(refused.ok ? undefined : [refused.failure.code, refused.failure.reason]).to.deep.equal([
          expected,
          reason,
        ]);
      }
    });
  });

  describe("trying again", () => {
    const cut: Serve = (request, response) => {
      request.on("end", () => response.destroy());
    };

    it("a fetch that was cut is tried once more: the same cap, a proof of its own", async () => {
      world.worker.use((request, response, received) => {
        request.on("end", () => {
          if (world.worker.received.length === 1) response.destroy();
          else world.reply(response, received);
        });
      });
      expect(await code("fetch")).to.equal("ok");
      expect(asked()).to.deep.equal({ broker: 1, worker: 2 });
      const [one, two] = world.worker.received;
      expect(one?.header("authorization")).to.deep.equal(two?.header("authorization"));
      const nonces = [one, two].map((received) => {
        const proof = parseProofHeader(received?.header("agentkeys-proof")[0] ?? "");
        return proof.ok ? proof.value.nonce : undefined;
      });
      expect(nonces[0]).not.to.equal(undefined);
      expect(nonces[0]).not.to.equal(nonces[1]);
    });

    it("a fetch that is always cut ends after the second", async () => {
      world.worker.use(cut);
      expect(await code("fetch")).to.equal("upstream_unavailable");
      expect(asked()).to.deep.equal({ broker: 1, worker: 2 });
    });

    it("a fetch that was refused is not tried again", async () => {
      for (const [status, refusal] of [
        [503, "signer_unavailable"],
        [401, "proof_invalid"],
        [500, "internal_error"],
      ] as const) {
        world.honest();
        world.reply = problem(status, { code: refusal });
        expect(await code("fetch")).to.equal(refusal);
        expect(asked()).to.deep.equal({ broker: 1, worker: 1 });
      }
    });

    for (const name of WRITES) {
      it(`a ${name} that was cut may have happened: never sent twice`, async () => {
        world.worker.use(cut);
        expect(await code(name)).to.equal("upstream_unavailable");
        expect(asked()).to.deep.equal({ broker: 1, worker: 1 });
      });

      it(`a ${name} that was refused is not sent again, whatever the refusal`, async () => {
        for (const [status, refusal] of [
          [503, "storage_unavailable"],
          [503, "audit_unavailable"],
          [409, "cap_already_used"],
          [409, "version_conflict"],
          [429, "rate_limited"],
        ] as const) {
          world.honest();
          world.reply = problem(status, { code: refusal }, { "retry-after": "0" });
          expect(await code(name)).to.equal(refusal);
          expect(asked()).to.deep.equal({ broker: 1, worker: 1 });
        }
      });
    }

    it("a store that the caller tries again is another store: another cap, another salt", async () => {
      const client = await open();
      world.worker.use(cut);
      for (let i = 0; i < 2; i += 1) {
        expect(codeOf(await client.store(world.wish, Buffer.from(SECRET)))).to.equal("upstream_unavailable");
      }
      const [one, two] = world.worker.received.map((received) => {
        const cap = parseCap((received.header("authorization")[0] ?? "").slice("AgentKeys ".length));
        if (!cap.ok) throw new Error(cap.failure.detail);
        return cap.value.claims.request;
      });
      expect(one?.nonce).not.to.equal(two?.nonce);
      expect(one?.contentHash).not.to.equal(two?.contentHash);
    });

    it("a mint that was cut is not sent twice either", async () => {
      world.broker.use(cut);
      expect(await code("fetch")).to.equal("upstream_unavailable");
      expect(asked()).to.deep.equal({ broker: 1, worker: 0 });
    });
  });

  describe("no answer", () => {
    for (const name of ALL) {
      it(`${name}: a broker, then a worker, that says nothing ends with the client's own limit`, async () => {
        const silent: Serve = (request) => request.resume();
        world.broker.use(silent);
        expect(await code(name, { timeoutMs: 100 })).to.equal("upstream_unavailable");
        world.honest();
        world.worker.use(silent);
        expect(await code(name, { timeoutMs: 1_000 })).to.equal("upstream_unavailable");
        expect(asked()).to.deep.equal({ broker: 1, worker: name === "fetch" ? 2 : 1 });
      });
    }

    it("an answer that drips is none either", async () => {
      const drip = await tcpServer((socket) => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n");
        const timer = setInterval(() => socket.write(" "), 10);
        socket.on("close", () => {
          clearInterval(timer);
        });
      });
      try {
        const urls = { broker: drip.url, worker: { credentials: world.worker.url } };
        expect(await code("store", { urls, timeoutMs: 200 })).to.equal("upstream_unavailable");
      } finally {
        await drip.stop();
      }
    });

    it("an answer above 4 MiB is not read to its end", async () => {
      let written = 0;
      const endless: Reply = (response) => {
        response.writeHead(200);
        const go = (): void => {
          written += 65_536;
          if (!response.destroyed) response.write(Buffer.alloc(65_536, " "), () => setImmediate(go));
        };
        go();
      };
      world.reply = endless;
      expect(await code("store")).to.equal("upstream_unavailable");
      expect(written).to.be.below(256 * 1024 * 1024);
    });

    it("a chain that does not answer is chain_unavailable; nobody else is asked", async () => {
      const [port = 0] = await freePorts(1);
      const chain = chainReader({
        rpcUrls: [`http://127.0.0.1:${String(port)}`],
        quorum: 1,
        chainId: 31337,
        contracts: world.registries.addresses,
        profile: "local",
        now: nowSeconds,
      });
      try {
        for (const name of ALL) expect(await code(name, { chain })).to.equal("chain_unavailable");
        expect(asked()).to.deep.equal({ broker: 0, worker: 0 });
      } finally {
        await chain.close();
      }
    });
  });

  describe("the worker's answer to a write", () => {
    const GARBAGE: Readonly<Record<string, unknown>> = {
      "no JSON": "{",
      "no version": { digest: DIGEST },
      "version 0": { version: 0, digest: DIGEST },
      "a version as text": { version: "1", digest: DIGEST },
      "no digest": { version: 1 },
      "a digest in upper case": { version: 1, digest: DIGEST.toUpperCase() },
      "a digest cut": { version: 1, digest: DIGEST.slice(0, -1) },
    };
    for (const [name, body] of Object.entries(GARBAGE)) {
      it(`${name} is none`, async () => {
        world.reply = problem(200, body);
        for (const write of WRITES) expect(await code(write)).to.equal("internal_error");
      });
    }
  });

  describe("a store", () => {
    let pair: SealKeyPair;
    before(async () => {
      pair = await generateSealKeyPair();
    });

    it("is sealed to the worker's pinned key: what passes a terminator opens for the worker alone", async () => {
      expect(await code("store", { workerSealKeys: { credentials: pair.publicKey } })).to.equal("ok");
      const [received] = world.worker.received;
      const body = JSON.parse(received?.body ?? "") as Record<string, unknown>;
      expect(Object.keys(body)).to.deep.equal(["sealed"]);
      const cap = parseCap((received?.header("authorization")[0] ?? "").slice("AgentKeys ".length));
      const sealed = fromBase64url(body["sealed"]);
      if (!cap.ok || sealed === undefined) throw new Error("no cap or nothing sealed");
      const { request } = cap.value.claims;
      const info = Buffer.concat([Buffer.from(STORE_INFO), capRequestDigest(world.separator, request)]);
      const opened = await hpkeOpen(pair, info, sealed);
      const payload = parseSealedPayload(opened ?? Buffer.alloc(0));
      if (!payload.ok) throw new Error(payload.failure.detail);
      expect(payload.value.plaintext.toString()).to.equal(SECRET);
      expect(contentHash(payload.value.contentSalt, payload.value.plaintext)).to.equal(request.contentHash);
    });

    it("names the version that it must replace, when it is told one", async () => {
      const client = await open();
      await client.store(world.wish, Buffer.from(SECRET), 0);
      await client.store(world.wish, Buffer.from(SECRET), 7);
      await client.store(world.wish, Buffer.from(SECRET));
      const versions = world.worker.received.map((received) => {
        const body = parseStoreBody(Buffer.from(received.body, "latin1"));
        return body.ok ? body.value.ifVersion : body.failure.code;
      });
      expect(versions).to.deep.equal([0, 7, undefined]);
    });

    it("of a class that has no worker is refused before anybody is asked for it", async () => {
      const client = await open();
      const wish = { ...world.wish, dataClass: "memory" as const };
      expect(codeOf(await client.store(wish, Buffer.from(SECRET)))).to.equal("request_malformed");
      expect(asked()).to.deep.equal({ broker: 0, worker: 0 });
    });
  });

  for (const [name, url] of Object.entries({
    "http beyond loopback": "http://broker.example",
    "a trailing slash": "https://broker.example/",
    "a user": "https://user@broker.example",
    "no URL": "broker.example",
  })) {
    it(`is not made with an origin that is none: ${name}`, async () => {
      const refusal = (urls: { broker: string; worker: { credentials: string } }) =>
        world.client({ urls }).then(
          () => undefined,
          (error: unknown) => error,
        );
      expect(await refusal({ broker: url, worker: { credentials: world.worker.url } })).to.be.instanceOf(RangeError);
      expect(await refusal({ broker: world.broker.url, worker: { credentials: url } })).to.be.instanceOf(RangeError);
    });
  }
});

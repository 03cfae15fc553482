import { randomBytes } from "node:crypto";
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";
import { Agent, request } from "undici";

import { type Hex, ZERO32, fromBase64url, toBase64url, toHex } from "../../../offchain/wire/bytes";
import type { CapRequest } from "../../../offchain/wire/cap-request";
import { DATA_KEYS_PATH } from "../../../offchain/wire/data-keys";
import {
  type ObjectHeader,
  decryptObject,
  encodeObjectHeader,
  parseObject,
  parseObjectHeader,
} from "../../../offchain/wire/object";
import { PROBLEMS, type ProblemCode } from "../../../offchain/wire/problem";
import { type Stack, startStack } from "../../../scripts/lib/stack";
import { K3EpochCounter__factory } from "../../../typechain-types";
import { World } from "../../drills/world";
import { TestCa, type TlsIdentity, serverAuth } from "../../helpers/certificates";
import { type Answer, post } from "../../helpers/http";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { dataKeysWords } from "../../helpers/vault";
import { countersign, nonce, nowSeconds, signCap, testDevice } from "../../helpers/words";

type Op = "fetch" | "store" | "rotate" | "teardown";
type Words = Record<string, unknown>;
/** What is changed of the honest words. */
type Change = (words: Words) => Words;
type Row = readonly [name: string, op: Op, change: Change, expected: string];

describe("signer: POST /v1/data-keys through the front (protocol 3.7)", function () {
  this.timeout(180_000);
  const folders = temporaryFolders();
  const agents: Agent[] = [];
  let stack: Stack;
  let world: World;
  let ca: TestCa;
  let worker: Agent;

  before(async () => {
    stack = await startStack({ dir: folders.make(), logLevel: "warn" });
    world = await World.over(stack);
    ca = await TestCa.of(join(stack.dir, "certs"));
    worker = agentOf(stackIdentity("worker-credentials"));
  });

  after(async () => {
    await Promise.all(agents.map((one) => one.destroy()));
    await world.close();
    await stack.stop();
    folders.removeAll();
  });

  function stackIdentity(name: string): TlsIdentity {
    const read = (file: string): string => readFileSync(join(stack.dir, "certs", file), "utf8");
    return { ca: read("ca.pem"), cert: read(`${name}.pem`), key: read(`${name}.key`) };
  }

  function agentOf(identity: Partial<TlsIdentity> & { readonly ca: string }): Agent {
    const agent = new Agent({ connect: { ...identity, checkServerIdentity: () => undefined } });
    agents.push(agent);
    return agent;
  }

  /** Honest words for an operation, each with a cap and a proof of its own. */
  async function wordsFor(op: Op, wish: Partial<CapRequest> = {}): Promise<Words> {
    const { cap } = await world.mint(op, wish);
    return dataKeysWords(world, world.agentDevice, op, cap);
  }

  const send = (words: Words | string, agent = worker): Promise<Answer> =>
    post(stack.urls.signer + DATA_KEYS_PATH, typeof words === "string" ? words : JSON.stringify(words), {}, agent);

  /** `ok`, the code, or the code and its reason; the status is the code's own. */
  async function outcome(answer: Promise<Answer> | Answer): Promise<string> {
    const { status, code, reason, json, headers } = await answer;
    if (status === 200) {
      expect(headers["cache-control"]).to.equal("no-store");
      return "ok";
    }
    expect(status).to.equal(PROBLEMS[code as ProblemCode].status);
    expect(json).to.not.have.any.keys("content_key", "encrypted_key", "previous_content_key");
    return reason === undefined ? (code ?? "") : `${code ?? ""} ${reason}`;
  }

  const table = (rows: readonly Row[]): void => {
    for (const [name, op, change, expected] of rows) {
      it(`${op}, ${name}: ${expected}`, async () => {
        expect(await outcome(send(change(await wordsFor(op))))).to.equal(expected);
        // its twin, with nothing changed
        expect(await outcome(send(await wordsFor(op)))).to.equal(op === "teardown" ? "cap_op_mismatch" : "ok");
      });
    }
  };

  /** The header with something changed, written anew. */
  const header =
    (change: (header: ObjectHeader) => ObjectHeader, member = "header"): Change =>
    (words) => {
      const parsed = parseObjectHeader(String(words[member]));
      if (parsed === undefined) throw new Error(`no ${member}`);
      return { ...words, [member]: encodeObjectHeader(change(parsed)) };
    };
  const named =
    (change: Partial<ObjectHeader["name"]>, member?: string): Change =>
    (words) =>
      header((one) => ({ ...one, name: { ...one.name, ...change } }), member)(words);
  const set =
    (change: Words): Change =>
    (words) => ({ ...words, ...change });

  describe("who calls", () => {
    const allowed = "URI:spiffe://agentkeys/worker/credentials";
    const names: Readonly<Record<string, readonly { type: "url" | "dns" | "email" | "ip"; value: string }[]>> = {
      "two URIs": [
        { type: "url", value: "spiffe://agentkeys/worker/credentials" },
        { type: "url", value: "spiffe://agentkeys/worker/memory" },
      ],
      "the same URI twice": [
        { type: "url", value: "spiffe://agentkeys/worker/credentials" },
        { type: "url", value: "spiffe://agentkeys/worker/credentials" },
      ],
      "a DNS name beside": [
        { type: "url", value: "spiffe://agentkeys/worker/credentials" },
        { type: "dns", value: "worker.example.org" },
      ],
      "a DNS name before": [
        { type: "dns", value: "worker.example.org" },
        { type: "url", value: "spiffe://agentkeys/worker/credentials" },
      ],
      "the words as a DNS name": [{ type: "dns", value: allowed }],
      "the words inside a DNS name": [{ type: "dns", value: `x, ${allowed}` }],
      "another trust domain": [{ type: "url", value: "spiffe://agentkeys.example/worker/credentials" }],
      "a path below": [{ type: "url", value: "spiffe://agentkeys/worker/credentials/x" }],
      "a slash at the end": [{ type: "url", value: "spiffe://agentkeys/worker/credentials/" }],
      "upper case": [{ type: "url", value: "spiffe://agentkeys/worker/Credentials" }],
      "a query": [{ type: "url", value: "spiffe://agentkeys/worker/credentials?x" }],
      "no name at all": [],
    };
    for (const [name, sans] of Object.entries(names)) {
      it(`a certificate with ${name}: caller_not_allowed`, async () => {
        const words = await wordsFor("fetch");
        expect(await outcome(send(words, agentOf(await ca.issue({ names: sans }))))).to.equal("caller_not_allowed");
        expect(await outcome(send(words)), "and nothing was burned").to.equal("ok");
      });
    }

    it("a certificate of this CA for exactly this name: ok", async () => {
      expect(await outcome(send(await wordsFor("fetch"), agentOf(await ca.issue())))).to.equal("ok");
    });

    it("the broker, and the worker of another class with this class's cap: caller_not_allowed", async () => {
      const words = await wordsFor("fetch");
      for (const name of ["broker", "worker-memory", "worker-config"]) {
        const answer = await send(words, agentOf(stackIdentity(name)));
        expect(await outcome(answer), name).to.equal("caller_not_allowed");
      }
      expect(await outcome(send(words))).to.equal("ok");
    });

    it("nobody whose certificate this CA did not make, or that has ended, gets an HTTP answer", async () => {
      const stranger = await TestCa.fresh();
      const hour = 3_600_000;
      const callers: Readonly<Record<string, Partial<TlsIdentity>>> = {
        "no certificate": {},
        "another CA of the same name": await stranger.issue(),
        "another CA, sent along": withItsCa(await stranger.issue()),
        expired: await ca.issue({ notBefore: new Date(Date.now() - 2 * hour), notAfter: new Date(Date.now() - hour) }),
        "not yet valid": await ca.issue({ notBefore: new Date(Date.now() + hour) }),
        "for servers": await ca.issue({ usages: [serverAuth] }),
        "the signer's own": stackIdentity("signer"),
      };
      const words = await wordsFor("fetch");
      for (const [name, identity] of Object.entries(callers)) {
        const caller = agentOf({ ...identity, ca: ca.pem });
        const answer = await send(words, caller).then(
          ({ status }) => `answered ${String(status)}`,
          (error: unknown) => (error as { code?: string }).code ?? "?",
        );
        expect(answer, name).to.match(/^(ECONNRESET|EPIPE|UND_ERR_SOCKET|ERR_SSL_\w+)$/);
      }
      expect(await outcome(send(words)), "and nothing was burned").to.equal("ok");
    });

    it("TLS 1.2 is not spoken", async () => {
      const old = new Agent({
        connect: {
          ...stackIdentity("worker-credentials"),
          maxVersion: "TLSv1.2",
          checkServerIdentity: () => undefined,
        },
      });
      agents.push(old);
      const error = await send(await wordsFor("fetch"), old).then(
        () => undefined,
        (refused: unknown) => refused,
      );
      expect((error as { code?: string }).code).to.match(/^ERR_SSL_/);
    });
  });

  describe("the request as HTTP", () => {
    it("another method, path, query or media type", async () => {
      const url = stack.urls.signer + DATA_KEYS_PATH;
      const body = JSON.stringify(await wordsFor("fetch"));
      for (const method of ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"] as const) {
        const answer = await request(url, { method, dispatcher: worker });
        await answer.body.dump();
        expect(answer.statusCode, method).to.equal(404);
      }
      for (const path of ["?x", "/", "//", "/..", "%20"]) {
        expect(await outcome(post(url + path, body, {}, worker)), path).to.equal("route_not_found");
      }
      const type = { "content-type": "text/plain" };
      expect(await outcome(post(url, body, type, worker))).to.equal("media_type_unsupported");
      expect(await outcome(send(body))).to.equal("ok");
    });

    it("more than 64 KiB: request_too_large; no JSON: request_malformed", async () => {
      const words = await wordsFor("fetch");
      expect(await outcome(send({ ...words, more: "x".repeat(64 * 1024) }))).to.equal("request_too_large");
      for (const text of ["", "{", "[]", "null", `${JSON.stringify(words)} x`, '{"cap":"a","cap":"b"}']) {
        expect(await outcome(send(text)), text.slice(0, 20)).to.equal("request_malformed");
      }
      expect(await outcome(send({ ...words, more: "x".repeat(32 * 1024) }))).to.equal("ok");
    });

    it("any member missing or of another form: request_malformed", async () => {
      const words = await wordsFor("fetch");
      for (const member of Object.keys(words)) {
        for (const value of [undefined, null, 1, [], {}]) {
          expect(await outcome(send({ ...words, [member]: value })), member).to.equal("request_malformed");
        }
      }
    });
  });

  describe("what the device did not sign", () => {
    const at = (path: string): string => `${stack.urls.worker.credentials}${path}`;
    table([
      ["method GET", "fetch", set({ method: "GET" }), "proof_invalid mismatch"],
      ["method post", "fetch", set({ method: "post" }), "proof_invalid mismatch"],
      ["another origin", "fetch", set({ target: "https://thief.example/v1/cred/fetch" }), "proof_invalid mismatch"],
      ["another path", "fetch", (one) => ({ ...one, target: at("/v1/cred/store") }), "cap_op_mismatch"],
      [
        "a path of another class",
        "fetch",
        (one) => ({ ...one, target: at("/v1/memory/get") }),
        "proof_invalid mismatch",
      ],
      ["a path of classify", "fetch", (one) => ({ ...one, target: at("/v1/classify/tag") }), "proof_invalid mismatch"],
      ["a path with a query", "fetch", (one) => ({ ...one, target: at("/v1/cred/fetch?") }), "proof_invalid mismatch"],
      [
        "the front's own path",
        "fetch",
        (one) => ({ ...one, target: stack.urls.signer + DATA_KEYS_PATH }),
        "proof_invalid mismatch",
      ],
      ["another body_hash", "fetch", set({ body_hash: ZERO32 }), "proof_invalid forged"],
      ["a proof that is none", "fetch", set({ proof: "e30" }), "proof_invalid malformed"],
      ["no proof", "fetch", set({ proof: "" }), "proof_invalid malformed"],
      ["no cap", "fetch", set({ cap: "" }), "broker_sig_invalid"],
      [
        "a cap that is cut off",
        "fetch",
        (one) => ({ ...one, cap: String(one["cap"]).slice(0, -2) }),
        "broker_sig_invalid",
      ],
    ]);

    it("a proof that was seen before: replayed; a store's cap again: cap_already_used", async () => {
      const words = await wordsFor("store");
      expect(await outcome(send(words))).to.equal("ok");
      expect(await outcome(send(words))).to.equal("proof_invalid replayed");
      const again = dataKeysWords(world, world.agentDevice, "store", String(words["cap"]));
      expect(await outcome(send(again))).to.equal("cap_already_used");
      const { cap } = await world.mint("fetch");
      for (let n = 0; n < 2; n += 1) {
        expect(await outcome(send(dataKeysWords(world, world.agentDevice, "fetch", cap)))).to.equal("ok");
      }
    });

    it("a proof by another device: mismatch, or forged where it claims to be the cap's; stale; dated ahead", async () => {
      const { cap } = await world.mint("fetch");
      const thief = testDevice();
      const ask = (device: typeof thief, wish = {}): Promise<string> =>
        outcome(send(dataKeysWords(world, device, "fetch", cap, wish)));
      expect(await ask(thief)).to.equal("proof_invalid mismatch");
      expect(await ask(world.party.masterDevice)).to.equal("proof_invalid mismatch");
      expect(await ask(thief, { claims: world.agentDevice.hash })).to.equal("proof_invalid forged");
      expect(await ask(world.agentDevice, { issuedAt: nowSeconds() - 70 })).to.equal("proof_invalid stale");
      expect(await ask(world.agentDevice, { issuedAt: nowSeconds() + 30 })).to.equal("proof_invalid stale");
      expect(await ask(world.agentDevice, { credential: "other" })).to.equal("proof_invalid forged");
      expect(await ask(world.agentDevice)).to.equal("ok");
    });
  });

  describe("caps that a thief of the broker's key can make", () => {
    async function stolen(change: Partial<CapRequest>, signer = world.agentDevice, aud?: string): Promise<string> {
      const cap = { ...world.cap({ op: "fetch" }), ...change };
      const text = countersign(await world.stolenBroker(), cap, signCap(world.separator, signer, cap), aud);
      return outcome(send(dataKeysWords(world, world.agentDevice, "fetch", text)));
    }

    it("the device's own words, countersigned by the thief: as good as the broker's", async () => {
      expect(await stolen({})).to.equal("ok");
    });

    it("each with one thing wrong", async () => {
      const now = nowSeconds();
      expect(await stolen({}, testDevice())).to.equal("cap_pop_invalid");
      expect(await stolen({ issuedAt: now - 300, expiresAt: now - 1 })).to.equal("cap_expired");
      expect(await stolen({ issuedAt: now - 10, expiresAt: now + 291 })).to.equal("cap_lifetime_exceeded");
      expect(await stolen({ issuedAt: now + 60, expiresAt: now + 300 })).to.equal("cap_pop_invalid");
      expect(await stolen({ op: "store" })).to.equal("cap_op_mismatch");
      expect(await stolen({ dataClass: "memory" })).to.equal("cap_data_class_mismatch");
      expect(await stolen({ dataClass: "memory" }, world.agentDevice, "agentkeys:worker:credentials")).to.equal(
        "cap_data_class_mismatch",
      );
      expect(await stolen({ op: "classify" })).to.equal("cap_data_class_mismatch");
      expect(await stolen({ op: "classify" }, world.agentDevice, "agentkeys:worker:credentials")).to.equal(
        "cap_op_mismatch",
      );
      expect(await stolen({}, world.agentDevice, "https://other.example")).to.equal("broker_sig_invalid");
      expect(await stolen({ service: "anthropic" })).to.equal("service_not_in_scope");
      expect(await stolen({ actorOmni: nonce() })).to.equal("device_binding_mismatch");
      expect(await stolen({ operatorOmni: nonce() })).to.equal("device_binding_mismatch");
      expect(await stolen({ k3Epoch: 2 })).to.equal("k3_epoch_mismatch");
    });

    it("by a key that the broker has withdrawn: broker_sig_invalid, and the rest of the set goes on", async () => {
      const file = join(stack.dir, "broker", "jwks.json");
      const pinned = readFileSync(file, "utf8");
      const { kid } = await world.stolenBroker();
      const { keys } = JSON.parse(pinned) as { keys: readonly { kid: string }[] };
      const put = (text: string): void => {
        writeFileSync(`${file}.new`, text);
        renameSync(`${file}.new`, file);
      };
      // put again each time: the broker publishes its own set every few seconds
      const until = async (expected: string, text: string): Promise<void> => {
        for (;;) {
          put(text);
          const got = await outcome(send(await wordsFor("fetch")));
          if (got === expected) return;
          expect(got).to.be.oneOf(["ok", "broker_sig_invalid"]);
          await new Promise((done) => setTimeout(done, 100));
        }
      };
      const words = await wordsFor("fetch");
      expect(await outcome(send(words)), "the cap is in the cache").to.equal("ok");
      const without = JSON.stringify({ keys: keys.filter((one) => one.kid !== kid) });
      await until("broker_sig_invalid", without);
      const again = dataKeysWords(world, world.agentDevice, "fetch", String(words["cap"]));
      put(without);
      expect(await outcome(send(again)), "from the cache").to.equal("broker_sig_invalid");
      await until("ok", pinned);
    });
  });

  describe("the object's header", () => {
    table([
      ["of another actor", "fetch", named({ actorOmni: toHex(randomBytes(32)) }), "object_corrupt"],
      ["of another operator", "fetch", named({ operatorOmni: toHex(randomBytes(32)) }), "object_corrupt"],
      ["of another service", "fetch", named({ service: "anthropic" }), "object_corrupt"],
      ["of another class", "fetch", named({ dataClass: "memory" }), "object_corrupt"],
      ["of another service", "store", named({ service: "anthropic" }), "object_corrupt"],
      ["of another service before", "rotate", named({ service: "anthropic" }), "object_corrupt"],
      ["of another service after", "rotate", named({ service: "anthropic" }, "next_header"), "object_corrupt"],
      ["of an epoch that is not yet", "fetch", header((one) => ({ ...one, epoch: 2 })), "object_corrupt"],
      ["of an epoch that is not yet", "store", header((one) => ({ ...one, epoch: 2 })), "object_corrupt"],
      [
        "of an epoch that is not yet",
        "rotate",
        header((one) => ({ ...one, epoch: 2 }), "next_header"),
        "object_corrupt",
      ],
      ["that is none", "fetch", set({ header: "e30" }), "object_corrupt"],
      ["of another algorithm", "fetch", relabelled({ alg: "dir" }), "object_corrupt"],
      ["of another encryption", "fetch", relabelled({ enc: "A256GCM" }), "object_corrupt"],
      ["of a tombstone", "fetch", relabelled({ typ: "agentkeys-tombstone" }), "object_corrupt"],
      ["without the cap that stores it", "store", storedByOther(), "request_malformed"],
      [
        "two versions on",
        "rotate",
        header((one) => ({ ...one, version: one.version + 1 }), "next_header"),
        "request_malformed",
      ],
      [
        "the same version",
        "rotate",
        header((one) => ({ ...one, version: one.version - 1 || 1 }), "next_header"),
        "request_malformed",
      ],
      [
        "another salt",
        "rotate",
        header((one) => ({ ...one, contentSalt: ZERO32 }), "next_header"),
        "request_malformed",
      ],
      ["another storer", "rotate", storedByOther("next_header"), "request_malformed"],
      ["missing, of the next version", "rotate", set({ next_header: undefined }), "request_malformed"],
    ]);

    function relabelled(change: Words): Change {
      return (words) => {
        const read = JSON.parse(fromBase64url(words["header"])?.toString() ?? "") as object;
        return { ...words, header: toBase64url(JSON.stringify({ ...read, ...change })) };
      };
    }

    function storedByOther(member?: string): Change {
      return (words) =>
        header((one) => ({ ...one, storedBy: { ...one.storedBy, nonce: toHex(randomBytes(32)) } }), member)(words);
    }
  });

  describe("the wrapped key", () => {
    const altered =
      (change: (wrapped: Buffer) => Uint8Array): Change =>
      (words) => ({
        ...words,
        encrypted_key: toBase64url(change(fromBase64url(words["encrypted_key"]) ?? Buffer.of())),
      });
    table([
      [
        "one bit changed",
        "fetch",
        altered((one) => Buffer.from(one.map((byte, i) => (i === 40 ? byte ^ 1 : byte)))),
        "object_corrupt",
      ],
      ["cut off", "fetch", altered((one) => one.subarray(8)), "object_corrupt"],
      ["empty", "fetch", altered(() => Buffer.of()), "object_corrupt"],
      ["random", "fetch", altered(() => randomBytes(72)), "object_corrupt"],
      ["no base64url", "fetch", set({ encrypted_key: "e30=" }), "request_malformed"],
      ["missing", "fetch", set({ encrypted_key: undefined }), "request_malformed"],
      ["missing", "rotate", set({ encrypted_key: undefined }), "request_malformed"],
      [
        "one bit changed",
        "rotate",
        altered((one) => Buffer.from(one.map((byte, i) => (i === 40 ? byte ^ 1 : byte)))),
        "object_corrupt",
      ],
    ]);
  });

  describe("operations", () => {
    it("fetch opens the version that was asked for; store and rotate draw keys that nobody had", async () => {
      const object = parseObject(readFileSync(world.objectFile()));
      if (object === undefined) throw new Error("no object");
      const keyIn = (answer: Answer, member = "content_key"): string => {
        expect(answer.status).to.equal(200);
        return String(answer.json?.[member]);
      };
      const fetched = await send(await wordsFor("fetch"));
      const read = fromBase64url(keyIn(fetched)) ?? Buffer.of();
      expect(decryptObject(object, read)?.toString()).to.equal("sk-real-0");
      expect(Object.keys(fetched.json ?? {})).to.have.members(["content_key", "encrypted_key"]);
      const stored = [await send(await wordsFor("store")), await send(await wordsFor("store"))];
      const rotated = await send(await wordsFor("rotate"));
      const keys = [fetched, ...stored, rotated].map((one) => keyIn(one));
      expect(new Set(keys).size).to.equal(keys.length);
      expect(keyIn(rotated, "previous_content_key")).to.equal(keys[0]);
      for (const one of stored) expect(one.json).to.not.have.any.keys("previous_content_key");
    });

    it("teardown needs no key: cap_op_mismatch, whatever is sent with it", async () => {
      expect(await outcome(send(await wordsFor("teardown")))).to.equal("cap_op_mismatch");
      const { cap } = await world.mint("teardown");
      const target = { target: world.target("fetch") };
      const asFetch = dataKeysWords(world, world.agentDevice, "teardown", cap, target);
      expect(await outcome(send(asFetch))).to.equal("cap_op_mismatch");
    });
  });

  // these change the chain for good, so they come last
  describe("epochs", () => {
    const counter = () => K3EpochCounter__factory.connect(stack.contracts.K3EpochCounter, world.developer);
    const epochOf = async (): Promise<Answer> => {
      const answer = await request(`${stack.urls.signer}/v1/epoch`, { dispatcher: worker });
      const body = Buffer.from(await answer.body.arrayBuffer());
      const json = JSON.parse(body.toString()) as Record<string, unknown>;
      const code = json["code"] as string | undefined;
      return { status: answer.statusCode, headers: answer.headers, body, json, code, reason: undefined };
    };
    async function advance(commitment: Hex): Promise<void> {
      await world.passTime(3_601);
      await (await counter().advanceEpoch(commitment)).wait();
      await world.nextBlock();
    }

    it("GET /v1/epoch: the current one and its commitment, also to the broker", async () => {
      const answer = await epochOf();
      expect(answer.json).to.deep.equal({ epoch: 1, commitment: await counter().commitmentOf(1) });
      const broker = await request(`${stack.urls.signer}/v1/epoch`, { dispatcher: agentOf(stackIdentity("broker")) });
      expect(broker.statusCode).to.equal(200);
      await broker.body.dump();
    });

    it("after a rotation: what was stored before is read, a write under the old epoch is refused", async () => {
      await advance(await stack.prepareEpoch());
      expect(await outcome(send(dataKeysWords(world, world.agentDevice, "fetch", await stolenEpoch(1))))).to.equal(
        "k3_epoch_mismatch",
      );
      world.epoch = 2;
      expect((await epochOf()).json?.["epoch"]).to.equal(2);
      expect(await outcome(send(await wordsFor("fetch")))).to.equal("ok");
      const old = header((one) => ({ ...one, epoch: 1 }));
      expect(await outcome(send(old(await wordsFor("store"))))).to.equal("k3_epoch_mismatch");
      const oldNext = header((one) => ({ ...one, epoch: 1 }), "next_header");
      expect(await outcome(send(oldNext(await wordsFor("rotate"))))).to.equal("k3_epoch_mismatch");
      const claimed = header((one) => ({ ...one, epoch: 2 }));
      expect(await outcome(send(claimed(await wordsFor("fetch")))), "wrapped under epoch 1").to.equal("object_corrupt");
      for (const op of ["store", "rotate"] as const) {
        expect(await outcome(send(await wordsFor(op))), op).to.equal("ok");
      }
    });

    it("an epoch whose K3 this vault does not hold: signer_unavailable, never a fresh key", async () => {
      await advance(toHex(randomBytes(32)));
      world.epoch = 3;
      for (const op of ["store", "rotate"] as const) {
        expect(await outcome(send(await wordsFor(op))), op).to.equal("signer_unavailable");
      }
      expect(await outcome(send(await wordsFor("fetch"))), "an object of epoch 1 is still read").to.equal("ok");
      const answer = await epochOf();
      expect([answer.status, answer.code]).to.deep.equal([503, "signer_unavailable"]);
    });

    /** A cap of an epoch that the broker would not mint any more. */
    async function stolenEpoch(k3Epoch: number): Promise<string> {
      const cap = world.cap({ op: "fetch", k3Epoch });
      return countersign(await world.stolenBroker(), cap, signCap(world.separator, world.agentDevice, cap));
    }
  });
});

/** With its CA behind it: what a client can always send along. */
function withItsCa(identity: TlsIdentity): TlsIdentity {
  return { ...identity, cert: `${identity.cert}\n${identity.ca}` };
}

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";
import { type CompactJWSHeaderParameters, type JSONWebKeySet, compactVerify, createLocalJWKSet } from "jose";

import { signerClient } from "../../../../offchain/http/signer-client";
import { ZERO32 } from "../../../../offchain/wire/bytes";
import { AUDIT_KEYS_PATH, AUDIT_ROW_PATH } from "../../../../offchain/wire/audit-row";
import { type CapClaims, parseCap } from "../../../../offchain/wire/cap";
import type { CapRequest } from "../../../../offchain/wire/cap-request";
import { sha256Hex } from "../../../../offchain/wire/content-hash";
import { DATA_KEYS_PATH } from "../../../../offchain/wire/data-keys";
import type { Op } from "../../../../offchain/wire/names";
import { parseProofHeader } from "../../../../offchain/wire/request-proof";
import { type Result, refuse } from "../../../../offchain/wire/result";
import { verifyAuditFile } from "../../../../offchain/store/file-audit";
import type { World } from "../../../drills/world";
import { authorities } from "../../../helpers/authorities";
import { fixedTls } from "../../../helpers/fixed-tls";
import type { Answer } from "../../../helpers/http";
import { workerReplica } from "../../../helpers/replicas";
import { type ServiceDoor, outcomeOf, serviceDoor } from "../../../helpers/service-door";
import { grantAll, sharedWorld } from "../../../helpers/shared-world";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { dataKeysWords } from "../../../helpers/vault";
import { type ProofWish, countersign, makeProof, nonce, nowSeconds, signCap, testDevice } from "../../../helpers/words";
import { askFor, sendRedeem, storeOf } from "../../worker/redeem-world";

type Words = Readonly<Record<string, unknown>>;
type Change = (words: Words) => Words;
type Claims = Readonly<Record<string, unknown>>;

const READ = { result: "read", version: 7 };
const CLAIMS = [
  "iss",
  "iat",
  "op",
  "data_class",
  "operator_omni",
  "actor_omni",
  "device_key_hash",
  "service",
  "cap_nonce",
  "proof_nonce",
  "block_number",
  "block_hash",
  "outcome",
];

describe("signer: POST /v1/sign/audit-row (protocol 3.7)", function () {
  this.timeout(180_000);
  let world: World;
  let door: ServiceDoor;
  let keys: JSONWebKeySet;
  const folders = temporaryFolders();

  before(async () => {
    world = await sharedWorld();
    door = serviceDoor(world.stack);
    keys = (await door.get("worker-credentials", AUDIT_KEYS_PATH)).json as unknown as JSONWebKeySet;
  });

  after(async () => {
    await door.close();
    folders.removeAll();
  });

  /** What a worker hands on of a request that the device made for it. */
  function wordsFor(cap: string, op: Op, outcome: object = READ, wish: Partial<ProofWish> = {}): Words {
    const [target, body] = [wish.target ?? world.target(op), wish.body ?? "{}"];
    const proof = makeProof(world.separator, world.agentDevice, { credential: cap, ...wish, target, body });
    return { cap, proof: proof.header, method: "POST", target, body_hash: sha256Hex(Buffer.from(body)), outcome };
  }

  const honest = async (op: Op = "fetch", outcome: object = READ): Promise<Words> =>
    wordsFor((await world.mint(op)).cap, op, outcome);

  const send = (words: Words | string, as: Parameters<ServiceDoor["post"]>[0] = "worker-credentials") =>
    door.post(as, AUDIT_ROW_PATH, words);

  /** As an auditor does: by the published key, which signs nothing but rows. */
  async function read(row: unknown): Promise<{ readonly header: CompactJWSHeaderParameters; readonly claims: Claims }> {
    const { payload, protectedHeader } = await compactVerify(String(row), createLocalJWKSet(keys), {
      algorithms: ["ES256"],
    });
    return { header: protectedHeader, claims: JSON.parse(Buffer.from(payload).toString()) as Claims };
  }

  function capOf(words: Words): CapClaims {
    const parsed = parseCap(String(words["cap"]));
    if (!parsed.ok) throw new Error(parsed.failure.detail);
    return parsed.value.claims;
  }

  describe("the honest path", () => {
    for (const op of ["fetch", "store", "rotate", "teardown"] as const) {
      it(`${op}: a row of what the vault verified, the outcome marked as the worker's word`, async () => {
        const before = nowSeconds();
        const outcome = { result: "written", version: 3, digest: nonce() };
        const words = await honest(op, outcome);
        const answer = await send(words);
        expect(outcomeOf(answer)).to.equal("ok");
        expect(Object.keys(answer.json ?? {})).to.deep.equal(["row"]);
        const { header, claims } = await read(answer.json?.["row"]);
        expect(header).to.deep.equal({ alg: "ES256", typ: "agentkeys-audit+jwt", kid: keys.keys[0]?.kid });
        const { request } = capOf(words);
        const proof = parseProofHeader(String(words["proof"]));
        const { iat, block_number, block_hash, ...rest } = claims;
        expect(iat).to.be.within(before, nowSeconds());
        const block = await world.provider.getBlock(Number(block_number));
        expect(block_hash).to.equal(block?.hash);
        expect(rest).to.deep.equal({
          iss: world.stack.urls.signerPublic,
          op,
          data_class: "credentials",
          operator_omni: world.party.omni,
          actor_omni: world.party.actor,
          device_key_hash: world.agentDevice.hash,
          service: world.service,
          cap_nonce: request.nonce,
          proof_nonce: proof.ok ? proof.value.nonce : undefined,
          outcome: { claimed_by: "spiffe://agentkeys/worker/credentials", ...outcome },
        });
      });
    }

    it("the row and the content key of one request do not stand in each other's way, in either order", async () => {
      for (const first of ["row", "key"] as const) {
        const { cap } = await world.mint("fetch");
        const forKeys = dataKeysWords(world, world.agentDevice, "fetch", cap);
        const { proof, method, target, body_hash } = forKeys;
        const forRow = { cap, proof, method, target, body_hash, outcome: READ };
        const steps = [() => send(forRow), () => door.post("worker-credentials", DATA_KEYS_PATH, forKeys)];
        for (const step of first === "row" ? steps : steps.reverse()) expect(outcomeOf(await step())).to.equal("ok");
      }
    });

    it("the worker's own log holds it, and an auditor verifies file and row", async () => {
      const file = join(world.stack.dir, "worker", "audit", "rows");
      const before = verifyAuditFile(file).rows;
      const written = await world.store("sk-audited");
      expect((await world.fetch()).secret).to.equal("sk-audited");
      expect(verifyAuditFile(file).rows).to.equal(before + 4);
      const rows = readFileSync(file, "utf8").trim().split("\n").slice(before);
      const [, stored, , fetched] = rows.map((row) => JSON.parse(row) as Record<string, unknown>);
      expect([stored?.["event"], fetched?.["event"]]).to.deep.equal(["written", "read"]);
      for (const [row, result] of [
        [stored, { result: "written", version: written.version, digest: written.digest }],
        [fetched, { result: "read", version: written.version }],
      ] as const) {
        const { claims } = await read(row?.["signed"]);
        expect(claims["outcome"]).to.deep.equal({ claimed_by: "spiffe://agentkeys/worker/credentials", ...result });
        expect(claims["cap_nonce"]).to.equal(row?.["cap"]);
        expect(claims["op"]).to.equal(row?.["op"]);
        expect(row?.["unsigned"]).to.equal(undefined);
      }
    });
  });

  it("a row that the vault does not sign fails nothing, and says why it is not signed", async () => {
    const dir = folders.make();
    const service = "audit-unsigned";
    await grantAll(world, world.party.wallet, world.party.actor, [service]);
    await world.nextBlock();
    const tls = fixedTls(world.stack.workerTls("credentials"));
    const signer = signerClient({ origin: world.stack.urls.signer, tls });
    const auditRow = (): Promise<Result<never>> => Promise.resolve(refuse("signer_unavailable", "not now"));
    const replica = await workerReplica(world, { dir, parts: { signer: { ...signer, auditRow } } });
    try {
      const store = await storeOf(world, service);
      expect((await sendRedeem({ ...store, at: replica.url })).status).to.equal(200);
      for (const op of ["fetch", "rotate", "teardown"] as const) {
        const answer = await sendRedeem({ ...(await askFor(world, op, service)), at: replica.url });
        expect(answer.status, `${op}: ${answer.body.toString()}`).to.equal(200);
      }
    } finally {
      await replica.stop();
    }
    const rows = readFileSync(join(dir, "audit", "rows"), "utf8")
      .trim()
      .split("\n");
    const outcomes = rows.map((row) => JSON.parse(row) as Claims).filter(({ event }) => event !== "intent");
    expect(outcomes.map(({ event }) => event)).to.deep.equal(["written", "read", "written", "written"]);
    for (const row of outcomes) {
      expect(row["unsigned"]).to.equal("signer_unavailable");
      expect(row).to.not.have.any.keys("signed");
    }
  });

  describe("the key of rows", () => {
    it("is published to services, signs nothing else, and is in no other set", async () => {
      expect(keys.keys).to.have.length(1);
      expect(Object.keys(keys.keys[0] ?? {})).to.have.members(["kty", "crv", "x", "y", "kid", "use", "alg"]);
      const sts = await fetch(`${world.stack.urls.signerPublic}/.well-known/jwks.json`);
      const others = ((await sts.json()) as JSONWebKeySet).keys.map(({ kid }) => kid);
      expect(others).to.not.include(keys.keys[0]?.kid);
      expect((await door.get("broker", AUDIT_KEYS_PATH)).json).to.deep.equal(keys);
      const publicFace = await fetch(world.stack.urls.signerPublic + AUDIT_KEYS_PATH);
      expect(publicFace.status).to.equal(404);
    });
  });

  describe("nothing in a row is the caller's choice", () => {
    it("members beside the six change nothing, and of an outcome only what is listed is signed", async () => {
      const { agentDevice } = world;
      const wishes = { op: "store", actor_omni: ZERO32, claims: { x: 1 }, iss: "https://thief.example", row: "x" };
      const outcome = { ...READ, claimed_by: "the vault", verified: true, actor_omni: ZERO32 };
      const answer = await send({ ...(await honest("fetch", outcome)), ...wishes });
      const { claims } = await read(answer.json?.["row"]);
      expect(Object.keys(claims)).to.have.members(CLAIMS);
      expect(claims["op"]).to.equal("fetch");
      expect(claims["device_key_hash"]).to.equal(agentDevice.hash);
      expect(claims["outcome"]).to.deep.equal({ claimed_by: "spiffe://agentkeys/worker/credentials", ...READ });
    });

    const outcomes: Readonly<Record<string, unknown>> = {
      missing: undefined,
      "a text": "read",
      "a list": [],
      null: null,
      "without a result": { version: 1 },
      "of a result that is not listed": { result: "Read" },
      "of a result that every object has": { result: "toString" },
      "of a result as a list": { result: ["read"] },
      "of a version that is no number": { result: "read", version: "1" },
      "of a version below zero": { result: "read", version: -1 },
      "of a version and a half": { result: "read", version: 1.5 },
      "of a digest of 31 bytes": { result: "written", digest: `0x${"00".repeat(31)}` },
      "of a digest of 33 bytes": { result: "written", digest: `0x${"00".repeat(33)}` },
      "of a digest in upper case": { result: "written", digest: `0x${"AA".repeat(32)}` },
    };
    for (const [name, outcome] of Object.entries(outcomes)) {
      it(`an outcome ${name}: request_malformed`, async () => {
        const words = await honest();
        expect(outcomeOf(await send({ ...words, outcome }))).to.equal("request_malformed");
        expect(outcomeOf(await send(words)), "and nothing was burned").to.equal("ok");
      });
    }

    it("any member missing or of another form: request_malformed", async () => {
      const words = await honest();
      for (const member of Object.keys(words)) {
        for (const value of [undefined, null, 1, []]) {
          expect(outcomeOf(await send({ ...words, [member]: value })), member).to.equal("request_malformed");
        }
      }
      expect(outcomeOf(await send("{}"))).to.equal("request_malformed");
      expect(outcomeOf(await send(words))).to.equal("ok");
    });
  });

  describe("what the device did not ask of this worker", () => {
    const set =
      (change: Words): Change =>
      (words) => ({ ...words, ...change });
    const at =
      (path: string): Change =>
      (words) => ({ ...words, target: world.stack.urls.worker.credentials + path });
    const rows: readonly (readonly [name: string, change: Change, expected: string])[] = [
      ["another method", set({ method: "GET" }), "proof_invalid mismatch"],
      ["another origin", set({ target: "https://thief.example/v1/cred/fetch" }), "proof_invalid mismatch"],
      ["the path of another operation", at("/v1/cred/store"), "cap_op_mismatch"],
      ["the path of another class", at("/v1/memory/get"), "proof_invalid mismatch"],
      ["another body", set({ body_hash: ZERO32 }), "proof_invalid forged"],
      ["a proof that is none", set({ proof: "e30" }), "proof_invalid malformed"],
      ["no cap", set({ cap: "" }), "broker_sig_invalid"],
    ];
    for (const [name, change, expected] of rows) {
      it(`${name}: ${expected}`, async () => {
        const words = await honest();
        expect(outcomeOf(await send(change(words)))).to.equal(expected);
        expect(outcomeOf(await send(words)), "and nothing was burned").to.equal("ok");
      });
    }

    it("a proof by another device, for another cap, stale, or dated ahead", async () => {
      const { cap } = await world.mint("fetch");
      const other = await world.mint("fetch");
      const by = (wish: Partial<ProofWish>): Promise<Answer> => send(wordsFor(cap, "fetch", READ, wish));
      expect(outcomeOf(await by({ credential: other.cap }))).to.equal("proof_invalid forged");
      expect(outcomeOf(await by({ claims: testDevice().hash }))).to.equal("proof_invalid mismatch");
      expect(outcomeOf(await by({ issuedAt: nowSeconds() - 70 }))).to.equal("proof_invalid stale");
      expect(outcomeOf(await by({ issuedAt: nowSeconds() + 30 }))).to.equal("proof_invalid stale");
      expect(outcomeOf(await by({}))).to.equal("ok");
    });

    it("one row a proof: another outcome, the same one, and twenty at once", async () => {
      const words = await honest();
      expect(outcomeOf(await send(words))).to.equal("ok");
      expect(outcomeOf(await send({ ...words, outcome: { result: "corrupt" } }))).to.equal("proof_invalid replayed");
      expect(outcomeOf(await send(words))).to.equal("proof_invalid replayed");
      const fresh = await honest();
      const many = await Promise.all(Array.from({ length: 20 }, () => send(fresh)));
      expect(many.map(outcomeOf).filter((one) => one === "ok")).to.have.length(1);
    });

    it("caps that a thief of the broker's key can make", async () => {
      const stolen = async (change: Partial<CapRequest>, signer = world.agentDevice): Promise<string> => {
        const cap = { ...world.cap({ op: "fetch" }), ...change };
        const text = countersign(await world.stolenBroker(), cap, signCap(world.separator, signer, cap));
        return outcomeOf(await send(wordsFor(text, "fetch")));
      };
      const now = nowSeconds();
      expect(await stolen({}, testDevice())).to.equal("cap_pop_invalid");
      expect(await stolen({ issuedAt: now - 300, expiresAt: now - 1 })).to.equal("cap_expired");
      expect(await stolen({ op: "store" })).to.equal("cap_op_mismatch");
      expect(await stolen({ dataClass: "memory" })).to.equal("cap_data_class_mismatch");
      expect(await stolen({ service: "anthropic" })).to.equal("service_not_in_scope");
      expect(await stolen({ actorOmni: nonce() })).to.equal("device_binding_mismatch");
      expect(await stolen({})).to.equal("ok");
    });

    it("what the chain says no to", async () => {
      const broker = await world.stolenBroker();
      const rows = (await authorities(world)).filter(
        ({ ops, classes }) =>
          (ops ?? ["fetch"]).includes("fetch") && (classes ?? ["credentials"]).includes("credentials"),
      );
      expect(rows.length).to.be.greaterThan(8);
      for (const { name, code, device, says } of rows) {
        const cap = { ...world.cap({ op: "fetch" }), ...says };
        const text = countersign(broker, cap, signCap(world.separator, device, cap));
        const [target, body] = [world.target("fetch"), "{}"];
        const { header } = makeProof(world.separator, device, { target, body, credential: text });
        const words = { ...wordsFor(text, "fetch"), proof: header };
        expect(outcomeOf(await send(words)), name).to.equal(code);
      }
    });

    it("the broker, and the worker of another class: caller_not_allowed", async () => {
      const words = await honest();
      for (const name of ["broker", "worker-memory", "worker-config"] as const) {
        expect(outcomeOf(await send(words, name)), name).to.equal("caller_not_allowed");
      }
      expect(outcomeOf(await send(words))).to.equal("ok");
    });
  });
});

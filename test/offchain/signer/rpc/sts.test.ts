import { expect } from "chai";
import { type JWTVerifyGetKey, createRemoteJWKSet, decodeProtectedHeader, jwtVerify } from "jose";
import { request } from "undici";

import { ZERO32 } from "../../../../offchain/wire/bytes";
import type { ProblemCode } from "../../../../offchain/wire/problem";
import { STS_CREDENTIALS_PATH } from "../../../../offchain/wire/sts";
import { SidecarRegistry__factory } from "../../../../typechain-types";
import type { World } from "../../../drills/world";
import { authorities } from "../../../helpers/authorities";
import { type Answer, answerOf, post } from "../../../helpers/http";
import { type ServiceDoor, outcomeOf, serviceDoor } from "../../../helpers/service-door";
import { sharedWorld } from "../../../helpers/shared-world";
import { type ProofWish, type TestDevice, makeProof, nonce, nowSeconds, testDevice } from "../../../helpers/words";

const CLASSES = ["credentials", "memory", "config"] as const;
const AWS_TAGS = "https://aws.amazon.com/tags";

/** What the broker hands on, as JSON. */
type Words = Readonly<Record<string, unknown>>;
type Change = (words: Words) => Words;

describe("signer: tokens for object stores, from the device to the cloud (protocol 3.7)", function () {
  this.timeout(180_000);
  let world: World;
  let door: ServiceDoor;
  let discovery: Record<string, unknown>;
  let keys: JWTVerifyGetKey;

  before(async () => {
    world = await sharedWorld();
    door = serviceDoor(world.stack);
    const answer = await request(`${world.stack.urls.signerPublic}/.well-known/openid-configuration`);
    discovery = (await answer.body.json()) as Record<string, unknown>;
    keys = createRemoteJWKSet(new URL(String(discovery["jwks_uri"])));
  });

  after(() => door.close());

  const targetOf = (dataClass: string): string => `${world.stack.urls.broker}/v1/sts/${dataClass}`;

  /** Asks the broker as a device does. */
  function ask(device: TestDevice, dataClass: string, wish: Partial<ProofWish> = {}, body = "{}"): Promise<Answer> {
    const target = targetOf(dataClass);
    const { header } = makeProof(world.separator, device, { target, body, ...wish });
    return post(target, body, { "agentkeys-proof": header });
  }

  /** What an honest broker hands on for a device. */
  function wordsOf(device: TestDevice, wish: Partial<ProofWish> = {}): Words {
    const [target, body] = [wish.target ?? targetOf("credentials"), wish.body ?? "{}"];
    const { header } = makeProof(world.separator, device, { ...wish, target, body });
    return { proof: header, method: "POST", target, body };
  }

  const handOn = (words: Words | string, as: Parameters<ServiceDoor["post"]>[0] = "broker"): Promise<Answer> =>
    door.post(as, STS_CREDENTIALS_PATH, words);

  /** As a cloud's STS does: issuer and keys from the discovery document, audience as the role pins it. */
  const verify = (token: unknown, dataClass: string, now = new Date()) =>
    jwtVerify(String(token), keys, {
      issuer: world.stack.urls.signerPublic,
      audience: `agentkeys:sts:${dataClass}`,
      algorithms: ["ES256"],
      currentDate: now,
    });

  describe("the honest path", () => {
    for (const dataClass of CLASSES) {
      it(`${dataClass}: 300 s for the device's own actor, verified through the discovery document`, async () => {
        const before = nowSeconds();
        const answer = await ask(world.agentDevice, dataClass);
        expect(outcomeOf(answer)).to.equal("ok");
        expect(answer.headers["cache-control"]).to.equal("no-store");
        expect(Object.keys(answer.json ?? {})).to.have.members(["token", "expires_at"]);
        const { payload, protectedHeader } = await verify(answer.json?.["token"], dataClass);
        const { iat = 0, jti, ...claims } = payload;
        expect(iat).to.be.within(before, nowSeconds());
        expect(jti).to.be.a("string").with.length.greaterThan(20);
        expect(claims).to.deep.equal({
          iss: world.stack.urls.signerPublic,
          sub: world.party.actor,
          aud: `agentkeys:sts:${dataClass}`,
          exp: iat + 300,
          [AWS_TAGS]: {
            principal_tags: { agentkeys_actor_omni: [world.party.actor] },
            transitive_tag_keys: ["agentkeys_actor_omni"],
          },
        });
        expect(answer.json?.["expires_at"]).to.equal(payload.exp);
        expect(Object.keys(protectedHeader)).to.have.members(["alg", "typ", "kid"]);
      });
    }

    it("no two tokens bear the same id", async () => {
      const ids = await Promise.all(
        [1, 2, 3].map(async () => {
          const answer = await ask(world.agentDevice, "credentials");
          return (await verify(answer.json?.["token"], "credentials")).payload.jti;
        }),
      );
      expect(new Set(ids).size).to.equal(3);
    });

    it("an empty body as well; a master device gets one for its operator's own actor", async () => {
      expect(outcomeOf(await ask(world.agentDevice, "memory", {}, ""))).to.equal("ok");
      const answer = await ask(world.party.masterDevice, "config");
      expect((await verify(answer.json?.["token"], "config")).payload.sub).to.equal(world.party.omni);
    });

    it("is nothing to the role of another class, after its time, or under another issuer", async () => {
      const { json } = await ask(world.agentDevice, "credentials");
      const refusedBy = (check: Promise<unknown>): Promise<string> =>
        check.then(
          () => "accepted",
          (error: unknown) => (error as { code: string }).code,
        );
      expect(await refusedBy(verify(json?.["token"], "credentials"))).to.equal("accepted");
      expect(await refusedBy(verify(json?.["token"], "memory"))).to.equal("ERR_JWT_CLAIM_VALIDATION_FAILED");
      const later = new Date(Date.now() + 301_000);
      expect(await refusedBy(verify(json?.["token"], "credentials", later))).to.equal("ERR_JWT_EXPIRED");
      const other = jwtVerify(String(json?.["token"]), keys, { issuer: world.stack.urls.broker });
      expect(await refusedBy(other)).to.equal("ERR_JWT_CLAIM_VALIDATION_FAILED");
      const [head, claims, signature = ""] = String(json?.["token"]).split(".");
      const flipped = `${head ?? ""}.${claims ?? ""}.${signature.startsWith("A") ? "B" : "A"}${signature.slice(1)}`;
      expect(await refusedBy(verify(flipped, "credentials"))).to.equal("ERR_JWS_SIGNATURE_VERIFICATION_FAILED");
    });
  });

  describe("discovery", () => {
    it("names the public origin, and what a token may be checked by", () => {
      const origin = world.stack.urls.signerPublic;
      expect(discovery["issuer"]).to.equal(origin);
      expect(discovery["jwks_uri"]).to.equal(`${origin}/.well-known/jwks.json`);
      expect(discovery["id_token_signing_alg_values_supported"]).to.deep.equal(["ES256"]);
      expect(discovery["response_types_supported"]).to.deep.equal(["id_token"]);
      expect(discovery["subject_types_supported"]).to.deep.equal(["public"]);
    });

    it("K2 alone, its public half alone, for a minute; neither the broker's keys nor that of audit rows", async () => {
      const answer = await answerOf(await request(String(discovery["jwks_uri"])));
      expect(answer.headers["cache-control"]).to.equal("max-age=60");
      const published = answer.json?.["keys"] as readonly Record<string, unknown>[];
      expect(published).to.have.length(1);
      expect(Object.keys(published[0] ?? {})).to.have.members(["kty", "crv", "x", "y", "kid", "use", "alg"]);
      expect(published[0]).to.include({ kty: "EC", crv: "P-256", use: "sig", alg: "ES256" });
      const { json } = await ask(world.agentDevice, "credentials");
      expect(decodeProtectedHeader(String(json?.["token"])).kid).to.equal(published[0]?.["kid"]);
      const broker = await answerOf(await request(`${world.stack.urls.broker}/.well-known/jwks.json`));
      const others = (broker.json?.["keys"] as readonly { kid: string }[]).map(({ kid }) => kid);
      expect(others).to.not.include(published[0]?.["kid"]);
    });
  });

  describe("a device asks the broker", () => {
    it("each with one thing wrong", async () => {
      const { agentDevice } = world;
      const thief = testDevice();
      expect(outcomeOf(await ask(agentDevice, "credentials", { issuedAt: nowSeconds() - 70 }))).to.equal(
        "proof_invalid stale",
      );
      expect(outcomeOf(await ask(agentDevice, "credentials", { issuedAt: nowSeconds() + 30 }))).to.equal(
        "proof_invalid stale",
      );
      expect(outcomeOf(await ask(agentDevice, "credentials", { target: targetOf("memory") }))).to.equal(
        "proof_invalid forged",
      );
      expect(outcomeOf(await ask(agentDevice, "credentials", { body: "" }))).to.equal("proof_invalid forged");
      expect(outcomeOf(await ask(agentDevice, "credentials", { method: "GET" }))).to.equal("proof_invalid forged");
      expect(outcomeOf(await ask(agentDevice, "credentials", { credential: "a.b.c" }))).to.equal(
        "proof_invalid forged",
      );
      expect(outcomeOf(await ask(thief, "credentials", { claims: agentDevice.hash }))).to.equal("proof_invalid forged");
      expect(outcomeOf(await ask(thief, "credentials"))).to.equal("device_not_active");
      expect(outcomeOf(await ask(agentDevice, "classify"))).to.equal("route_not_found");
      expect(outcomeOf(await ask(agentDevice, "credentials"))).to.equal("ok");
    });

    it("no proof, two, a cap beside it, or a body that says something", async () => {
      const target = targetOf("credentials");
      const proof = (): string => makeProof(world.separator, world.agentDevice, { target, body: "{}" }).header;
      expect(outcomeOf(await post(target, "{}"))).to.equal("proof_invalid missing");
      const two = await request(target, {
        method: "POST",
        headers: ["content-type", "application/json", "agentkeys-proof", proof(), "agentkeys-proof", proof()],
        body: "{}",
      });
      expect(outcomeOf(await answerOf(two))).to.equal("proof_invalid malformed");
      expect(outcomeOf(await ask(world.agentDevice, "credentials", {}, "[]"))).to.equal("request_malformed");
      expect(outcomeOf(await ask(world.agentDevice, "credentials", {}, '{"a":1,"a":1}'))).to.equal("request_malformed");
      expect(outcomeOf(await post(target, "{}", { "agentkeys-proof": proof() }))).to.equal("ok");
    });

    it("what the chain says no to", async () => {
      const refused = new Set<ProblemCode>([
        "device_not_active",
        "device_revoked",
        "operator_frozen",
        "device_role_missing",
      ]);
      const rows = (await authorities(world)).filter(({ code }) => refused.has(code));
      expect(rows.map(({ code }) => code)).to.have.members([...refused]);
      for (const { name, code, device } of rows) {
        for (const dataClass of CLASSES) {
          expect(outcomeOf(await ask(device, dataClass)), `${name}, ${dataClass}`).to.equal(code);
        }
      }
      expect(outcomeOf(await ask(world.agentDevice, "credentials"))).to.equal("ok");
    });

    it("a device whose whole agent was revoked", async () => {
      const party = await world.newParty();
      expect(outcomeOf(await ask(party.agentDevice, "credentials"))).to.equal("ok");
      const registry = SidecarRegistry__factory.connect(world.stack.contracts.SidecarRegistry, party.wallet);
      await (await registry.revokeActor(party.actor)).wait();
      await world.nextBlock();
      expect(outcomeOf(await ask(party.agentDevice, "credentials"))).to.equal("device_revoked");
      expect(outcomeOf(await ask(party.masterDevice, "credentials"))).to.equal("ok");
    });

    it("the same request again: replayed, and a hundred at once are one token", async () => {
      const target = targetOf("credentials");
      const { header } = makeProof(world.separator, world.agentDevice, { target, body: "{}" });
      const send = (): Promise<Answer> => post(target, "{}", { "agentkeys-proof": header });
      const outcomes = (await Promise.all(Array.from({ length: 100 }, send))).map(outcomeOf);
      expect(outcomes.filter((one) => one === "ok")).to.have.length(1);
      expect(new Set(outcomes)).to.deep.equal(new Set(["ok", "proof_invalid replayed"]));
    });
  });

  describe("whoever holds the broker asks the vault", () => {
    const set =
      (change: Words): Change =>
      (words) => ({ ...words, ...change });
    const rows: readonly (readonly [name: string, change: Change, expected: string])[] = [
      ["another class than the device signed", (one) => retarget(one, "memory"), "proof_invalid forged"],
      ["a class that is none", (one) => retarget(one, "classify"), "proof_invalid mismatch"],
      ["another origin", set({ target: "https://thief.example/v1/sts/credentials" }), "proof_invalid mismatch"],
      ["a path below", (one) => retarget(one, "credentials/"), "proof_invalid mismatch"],
      ["a query", (one) => retarget(one, "credentials?"), "proof_invalid mismatch"],
      ["another method", set({ method: "GET" }), "proof_invalid mismatch"],
      ["a method in lower case", set({ method: "post" }), "proof_invalid mismatch"],
      ["another body", set({ body: "" }), "proof_invalid forged"],
      ["a body with one blank more", set({ body: "{ }" }), "proof_invalid forged"],
      ["a body that is none", set({ body: "[]" }), "request_malformed"],
      ["no proof", set({ proof: "" }), "proof_invalid malformed"],
      ["a proof that is none", set({ proof: "e30" }), "proof_invalid malformed"],
      ["no method", set({ method: undefined }), "request_malformed"],
      ["a target that is no text", set({ target: 1 }), "request_malformed"],
      ["a body as JSON instead of its text", set({ body: {} }), "request_malformed"],
    ];
    for (const [name, change, expected] of rows) {
      it(`${name}: ${expected}`, async () => {
        const words = wordsOf(world.agentDevice);
        expect(outcomeOf(await handOn(change(words)))).to.equal(expected);
        expect(outcomeOf(await handOn(words)), "and nothing was burned").to.equal("ok");
      });
    }

    it("cannot add a word to the token: members beside the four change nothing", async () => {
      const party = await world.newParty("agent-b");
      const wishes = {
        sub: party.actor,
        actor_omni: party.actor,
        aud: "sts.amazonaws.com",
        iss: "https://thief.example",
        exp: 2 ** 40,
        claims: { admin: true },
        class: "memory",
        principal_tags: { agentkeys_actor_omni: [party.actor] },
      };
      const answer = await handOn({ ...wordsOf(world.agentDevice), ...wishes });
      const { payload } = await verify(answer.json?.["token"], "credentials");
      expect(Object.keys(payload)).to.have.members(["iss", "sub", "aud", "iat", "exp", "jti", AWS_TAGS]);
      expect(payload.sub).to.equal(world.party.actor);
      expect(payload.aud).to.equal("agentkeys:sts:credentials");
      expect(JSON.stringify(payload)).to.not.include(party.actor);
    });

    it("a proof that the device made for a worker, a cap or the signer is no request for a token", async () => {
      const { mintProofs } = await world.mint("fetch");
      const forWorker = makeProof(world.separator, world.agentDevice, { target: world.target("fetch"), body: "{}" });
      for (const proof of [...mintProofs, forWorker.header]) {
        expect(outcomeOf(await handOn({ ...wordsOf(world.agentDevice), proof }))).to.equal("proof_invalid forged");
      }
    });

    it("one proof is one token for all classes together, also through the broker", async () => {
      const words = wordsOf(world.agentDevice);
      expect(outcomeOf(await handOn(words))).to.equal("ok");
      expect(outcomeOf(await handOn(words))).to.equal("proof_invalid replayed");
      const again = await post(String(words["target"]), "{}", { "agentkeys-proof": String(words["proof"]) });
      expect(outcomeOf(again)).to.equal("proof_invalid replayed");
    });

    it("what was refused by the chain burned nothing, and what is refused for its form says nothing of the device", async () => {
      const device = testDevice();
      const words = wordsOf(device, { nonce: nonce() });
      expect(outcomeOf(await handOn(words))).to.equal("device_not_active");
      expect(outcomeOf(await handOn(words))).to.equal("device_not_active");
      const forged = makeProof(world.separator, testDevice(), {
        target: targetOf("credentials"),
        body: "{}",
        claims: device.hash,
      });
      expect(outcomeOf(await handOn({ ...words, proof: forged.header }))).to.equal("proof_invalid forged");
      expect(outcomeOf(await handOn({ ...words, proof: makeProofOf(ZERO32) }))).to.equal("proof_invalid forged");
    });

    it("no worker may ask, with the device's own request", async () => {
      const words = wordsOf(world.agentDevice);
      for (const name of ["worker-credentials", "worker-memory", "worker-config"] as const) {
        expect(outcomeOf(await handOn(words, name)), name).to.equal("caller_not_allowed");
      }
      expect(outcomeOf(await handOn(words))).to.equal("ok");
    });

    function retarget(words: Words, dataClass: string): Words {
      return { ...words, target: targetOf(dataClass) };
    }

    function makeProofOf(hash: `0x${string}`): string {
      const target = targetOf("credentials");
      return makeProof(world.separator, testDevice(), { target, body: "{}", claims: hash }).header;
    }
  });
});

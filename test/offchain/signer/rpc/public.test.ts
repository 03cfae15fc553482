import { expect } from "chai";
import { Agent, request } from "undici";

import { serviceMetrics } from "../../../../offchain/http/metrics";
import { type Listening, listen } from "../../../../offchain/http/server";
import { publicApp } from "../../../../offchain/signer/front/public-app";
import { sourceLimits } from "../../../../offchain/signer/front/source-limits";
import type { VaultClient } from "../../../../offchain/signer/front/vault-client";
import { AUDIT_KEYS_PATH, AUDIT_ROW_PATH } from "../../../../offchain/wire/audit-row";
import { DATA_KEYS_PATH } from "../../../../offchain/wire/data-keys";
import { KMS_PATHS } from "../../../../offchain/wire/kms";
import type { ProblemCode } from "../../../../offchain/wire/problem";
import { type FailureReason, type Result, ok, refuse } from "../../../../offchain/wire/result";
import { STS_CREDENTIALS_PATH } from "../../../../offchain/wire/sts";
import { VERIFY_K10_PATH, VERIFY_K11_PATH } from "../../../../offchain/wire/verify-routes";
import type { World } from "../../../drills/world";
import { type Answer, answerOf, post } from "../../../helpers/http";
import { logLines } from "../../../helpers/log-lines";
import { type RawRequest, exchange } from "../../../helpers/raw-http";
import { type ServiceDoor, outcomeOf, serviceDoor } from "../../../helpers/service-door";
import { sharedWorld } from "../../../helpers/shared-world";
import { makeProof } from "../../../helpers/words";

const LIMIT = 262_144;
const PATHS = Object.values(KMS_PATHS);
const SIGN = KMS_PATHS.signAgent;
const DOCUMENTS = ["/.well-known/openid-configuration", "/.well-known/jwks.json"];

/** A JSON object of exactly so many bytes. */
const bodyOf = (bytes: number): string => `{"x":"${"a".repeat(bytes - 8)}"}`;

const json = (target: string, change: Partial<RawRequest> = {}): RawRequest => ({
  method: "POST",
  target,
  body: "{}",
  ...change,
  headers: [["Content-Type", "application/json"], ...(change.headers ?? [])],
});

describe("signer: the listener for agents and clouds (protocol 3.7, 3.8)", function () {
  this.timeout(180_000);

  describe("by itself", () => {
    /** What the vault was asked, as it came. */
    let asked: Parameters<VaultClient["ask"]>[] = [];
    let answers: Result<unknown> = ok({});
    let clock = 0;
    let face: Listening;

    // the vault's decisions are the test's; what is tested is what reaches it and what never does
    const vault: VaultClient = {
      ask(...question) {
        asked.push(question);
        return Promise.resolve(answers);
      },
    };

    beforeEach(async () => {
      [asked, answers, clock] = [[], ok({ answered: true }), 1_000];
      const limits = sourceLimits({ now: () => clock });
      const app = publicApp({ vault, limits, log: logLines().log, metrics: serviceMetrics("signer:front") });
      face = await listen(app, { host: "127.0.0.1", port: 0 });
    });
    afterEach(() => face.close());

    const ask = (path: string = SIGN, headers: Readonly<Record<string, string>> = {}): Promise<Answer> =>
      post(face.url + path, "{}", headers);

    async function times(count: number, dispatcher?: Agent): Promise<string[]> {
      const outcomes: string[] = [];
      for (let n = 0; n < count; n += 1) outcomes.push(outcomeOf(await post(face.url + SIGN, "{}", {}, dispatcher)));
      return outcomes;
    }

    for (const path of PATHS) {
      it(`${path}: body and both headers reach the vault as they came, and its answer is nobody's to store`, async () => {
        const body = '{ "b" : 1, "a":2 }\n';
        const headers = { authorization: "AgentKeys  odd but whole ", "agentkeys-proof": "proof==" };
        const answer = await post(face.url + path, body, headers);
        expect([answer.status, answer.json]).to.deep.equal([200, { answered: true }]);
        expect(answer.headers["cache-control"]).to.equal("no-store");
        const [question] = asked;
        expect(asked).to.have.length(1);
        expect(question?.slice(0, 2)).to.deep.equal([`POST ${path}`, "public"]);
        expect(question?.[2].toString()).to.equal(body);
        expect(question?.[3]).to.deep.equal({ authorization: "AgentKeys  odd but whole", proof: "proof==" });
      });
    }

    it("a header that did not come is not made up", async () => {
      await ask(SIGN, { "agentkeys-proof": "p" });
      await ask(SIGN, { authorization: "Bearer b" });
      await ask();
      expect(asked.map((one) => one[3])).to.deep.equal([{ proof: "p" }, { authorization: "Bearer b" }, {}]);
    });

    it("262,144 bytes are read, one more is request_too_large and never reaches the vault", async () => {
      for (const framing of ["length", "chunked"] as const) {
        asked = [];
        const whole = await exchange(face.url, json(SIGN, { body: bodyOf(LIMIT), framing }));
        expect(outcomeOf(whole), framing).to.equal("ok");
        expect(asked[0]?.[2].length).to.equal(LIMIT);
        const more = await exchange(face.url, json(SIGN, { body: bodyOf(LIMIT + 1), framing }));
        expect([more.status, more.code], framing).to.deep.equal([413, "request_too_large"]);
        expect(asked).to.have.length(1);
      }
    });

    it("a body without an end is refused while it comes", async () => {
      const answer = await exchange(face.url, json(SIGN, { endless: Buffer.alloc(16_384, 0x20) }));
      expect([answer.status, answer.code]).to.deep.equal([413, "request_too_large"]);
      expect(asked).to.have.length(0);
    });

    it("a header that came twice: which of the two counts is nobody's to choose", async () => {
      const twice = async (name: string, values: readonly [string, string]): Promise<string> =>
        outcomeOf(await exchange(face.url, json(SIGN, { headers: values.map((value) => [name, value] as const) })));
      for (const values of [
        ["a", "a"],
        ["a", "b"],
        ["", "b"],
      ] as const) {
        expect(await twice("AgentKeys-Proof", values)).to.equal("proof_invalid malformed");
        expect(await twice("agentkeys-proof", values)).to.equal("proof_invalid malformed");
        expect(await twice("Authorization", values)).to.equal("credential_invalid");
      }
      expect(asked).to.have.length(0);
      expect(outcomeOf(await ask(SIGN, { authorization: "AgentKeys a", "agentkeys-proof": "a" }))).to.equal("ok");
    });

    it("no other method, path or media type", async () => {
      for (const path of PATHS) {
        for (const method of ["GET", "PUT", "DELETE", "OPTIONS", "HEAD"]) {
          const answer = await exchange(face.url, { method, target: path, headers: [] });
          expect(answer.status, `${method} ${path}`).to.equal(404);
        }
        for (const target of [`${path}/`, `${path}?`, `/${path}`, path.toUpperCase(), path.replace("kms", "%6bms")]) {
          expect(outcomeOf(await exchange(face.url, json(target))), target).to.equal("route_not_found");
        }
      }
      for (const target of ["/kms", "/kms/", "/kms/sign", "/kms/create-ceremony", ...DOCUMENTS]) {
        expect(outcomeOf(await exchange(face.url, json(target))), target).to.equal("route_not_found");
      }
      const text = await post(face.url + SIGN, "{}", { "content-type": "text/plain" });
      expect(outcomeOf(text)).to.equal("media_type_unsupported");
      expect(asked).to.have.length(0);
    });

    describe("who proves nothing is limited by source", () => {
      const unproved: readonly (readonly [ProblemCode, FailureReason?])[] = [
        ["request_malformed"],
        ["proof_invalid", "missing"],
        ["proof_invalid", "forged"],
        ["proof_invalid", "stale"],
        ["credential_invalid"],
      ];
      for (const [code, reason] of unproved) {
        it(`${code} ${reason ?? ""}: the 61st of a minute is refused, and the vault hears nothing of it`, async () => {
          answers = refuse(code, "no", reason);
          const outcomes = await times(60);
          expect(new Set(outcomes)).to.deep.equal(new Set([reason === undefined ? code : `${code} ${reason}`]));
          clock += 20_000;
          const answer = await ask();
          expect([answer.status, answer.code]).to.deep.equal([429, "rate_limited"]);
          expect(answer.headers["retry-after"]).to.equal("40");
          expect(asked).to.have.length(60);
        });
      }

      it("it lasts until the oldest of the sixty is a minute old, on every path, whatever the headers say", async () => {
        answers = refuse("proof_invalid", "no", "missing");
        await times(59);
        clock += 30_000;
        await times(1);
        for (const path of PATHS) {
          expect(outcomeOf(await ask(path, { "x-forwarded-for": "192.0.2.1", "agentkeys-proof": "p" }))).to.equal(
            "rate_limited",
          );
        }
        clock += 29_999;
        expect(await times(1)).to.deep.equal(["rate_limited"]);
        clock += 1;
        answers = ok({});
        expect(await times(1)).to.deep.equal(["ok"]);
        answers = refuse("proof_invalid", "no", "missing");
        const outcomes = await times(60);
        expect(outcomes.filter((one) => one === "rate_limited")).to.have.length(1);
        expect(outcomes.at(-1)).to.equal("rate_limited");
      });

      it("it is refused before its body is read", async () => {
        answers = refuse("proof_invalid", "no", "missing");
        await times(60);
        const answer = await exchange(face.url, json(SIGN, { endless: Buffer.alloc(16_384, 0x20) }));
        expect([answer.status, answer.code]).to.deep.equal([429, "rate_limited"]);
        expect(asked).to.have.length(60);
      });

      it("whoever proved a device or a credential is not counted, whatever comes of it", async () => {
        const proved: readonly Result<unknown>[] = [
          ok({}),
          refuse("payload_invalid", "no"),
          refuse("device_revoked", "no"),
          refuse("rate_limited", "no"),
          refuse("chain_unavailable", "no"),
        ];
        for (const answer of proved) {
          answers = answer;
          const outcomes = await times(30);
          expect(new Set(outcomes)).to.deep.equal(new Set([answer.ok ? "ok" : answer.failure.code]));
        }
        expect(asked).to.have.length(150);
      });

      it("another source, and what is no agent's, go on", async () => {
        answers = refuse("proof_invalid", "no", "missing");
        await times(60);
        expect(await times(1)).to.deep.equal(["rate_limited"]);
        const elsewhere = new Agent({ localAddress: "127.0.0.2" });
        expect(await times(1, elsewhere)).to.deep.equal(["proof_invalid missing"]);
        await elsewhere.close();
        answers = ok({});
        for (const path of [...DOCUMENTS, "/healthz", "/readyz"]) {
          expect(outcomeOf(await answerOf(await request(face.url + path))), path).to.equal("ok");
        }
      });
    });
  });

  describe("of a running signer", () => {
    let world: World;
    let door: ServiceDoor;
    let agents: string;

    before(async () => {
      world = await sharedWorld();
      door = serviceDoor(world.stack);
      agents = world.stack.urls.signerPublic;
    });
    after(() => door.close());

    it("262,144 bytes reach the vault through the pipe; one more does not", async () => {
      const send = (body: string): Promise<Answer> => {
        const { header } = makeProof(world.separator, world.agentDevice, { target: agents + SIGN, body });
        return post(agents + SIGN, body, { "agentkeys-proof": header });
      };
      const small = await send("{}");
      expect(small.status).to.be.within(400, 499);
      expect([small.status, small.code]).to.not.deep.equal([413, "request_too_large"]);
      expect(outcomeOf(await send(bodyOf(LIMIT)))).to.equal(outcomeOf(small));
      expect(outcomeOf(await send(bodyOf(LIMIT + 1)))).to.equal("request_too_large");
    });

    it("what services ask for is not to be had here", async () => {
      const kept = [DATA_KEYS_PATH, AUDIT_ROW_PATH, STS_CREDENTIALS_PATH, VERIFY_K10_PATH, VERIFY_K11_PATH];
      for (const path of kept) {
        expect(outcomeOf(await post(agents + path, "{}")), path).to.equal("route_not_found");
        expect(outcomeOf(await door.post("broker", path, "{}")), path).to.not.equal("route_not_found");
      }
      for (const path of ["/v1/epoch", AUDIT_KEYS_PATH]) {
        expect(outcomeOf(await answerOf(await request(agents + path))), path).to.equal("route_not_found");
        expect(outcomeOf(await door.get("broker", path)), path).to.equal("ok");
      }
    });

    it("and what agents and clouds ask for is not to be had at the services' door", async () => {
      for (const name of ["broker", "worker-credentials"] as const) {
        for (const path of PATHS) {
          expect(outcomeOf(await door.post(name, path, "{}")), path).to.equal("route_not_found");
        }
        for (const path of DOCUMENTS) expect(outcomeOf(await door.get(name, path)), path).to.equal("route_not_found");
      }
      for (const path of DOCUMENTS) {
        expect(outcomeOf(await answerOf(await request(agents + path))), path).to.equal("ok");
      }
    });
  });
});

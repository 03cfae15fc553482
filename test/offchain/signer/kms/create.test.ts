import { expect } from "chai";

import { MAX_PASSKEYS } from "../../../../offchain/chain/passkeys";
import { derivationPath, keyIdOf } from "../../../../offchain/signer/vault/kms/agent-key";
import { CEREMONY_SECONDS } from "../../../../offchain/signer/vault/kms/ceremonies";
import { credentialDigest } from "../../../../offchain/signer/vault/kms/credentials";
import { parseAgentCredential } from "../../../../offchain/wire/agent-credential";
import { type Hex, ZERO32, toBase64url, toHex } from "../../../../offchain/wire/bytes";
import type { Ceremony } from "../../../../offchain/wire/ceremony";
import { keccakReady } from "../../../../offchain/wire/keccak";
import { type AgentCredentialAnswer, type BeginCeremonyAnswer, KMS_PATHS } from "../../../../offchain/wire/kms";
import { TIER, actorOmni } from "../../../../offchain/wire/names";
import type { Result } from "../../../../offchain/wire/result";
import { type AssertionWish, FLAG, makeAssertion, malformedDer, testAuthenticator } from "../../../helpers/assertion";
import { type AskWish, KmsBench, type KmsParty, SIGNER, codeOf, worked } from "../../../helpers/kms";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { forEachBackEnd } from "../../../helpers/vault-parts";
import { CHAIN_FAULTS } from "../../../helpers/verify-case";
import { testDevice } from "../../../helpers/words";

describe("vault: creating agent keys", function () {
  this.timeout(60_000);
  forEachBackEnd((open) => {
    const folders = temporaryFolders();
    let bench: KmsBench;
    let party: KmsParty;

    before(async () => {
      await keccakReady();
      bench = await KmsBench.in(folders.make(), {}, open);
    });
    beforeEach(() => {
      party = bench.party();
    });
    after(async () => {
      await bench.close();
      folders.removeAll();
    });

    const keysOf = (one: KmsParty): number => bench.parts.state.agentKeysOf(one.omni).length;

    /** Creates with whatever is different; the party's device, label and account otherwise. */
    async function createWith(
      change: {
        readonly begun?: BeginCeremonyAnswer;
        readonly ceremony?: Partial<Ceremony>;
        readonly assertion?: AssertionWish;
        readonly body?: Readonly<Record<string, unknown>>;
        readonly device?: ReturnType<typeof testDevice>;
        readonly ask?: AskWish;
      } = {},
    ): Promise<Result<unknown>> {
      const begun = change.begun ?? (await bench.begin(party, {}));
      const body = {
        ceremonyId: begun.ceremonyId,
        humanKeyId: party.account,
        label: party.label,
        webAuthnAssertion: bench.tap(party, begun, change.ceremony, change.assertion),
        ...change.body,
      };
      return bench.ask(KMS_PATHS.createAgentKey, body, change.device ?? party.agent, change.ask);
    }

    it("gives the next key of the account, and a credential for the device that asked", async () => {
      for (const index of [0, 1, 2]) {
        const key = await bench.create(party);
        expect(key.keyId).to.equal(keyIdOf(party.omni, party.account, index));
        expect(key.derivationPath).to.equal(derivationPath(index));
        expect(key.expiresAt).to.equal(bench.now + bench.settings.credentialSeconds);
        const parsed = parseAgentCredential(key.agentCredential);
        if (!parsed.ok) throw new Error(parsed.failure.detail);
        const { jti, ...claims } = parsed.value.claims;
        expect(jti).not.to.equal(ZERO32);
        expect(claims).to.deep.equal({
          iss: SIGNER,
          aud: "agentkeys:kms",
          sub: party.actor,
          iat: bench.now,
          exp: key.expiresAt,
          walletId: key.keyId.split(":")[0],
          agentIndex: index,
          agentAddress: key.agentAddress,
          deviceKeyHash: party.agent.hash,
          epoch: 0,
        });
        const record = bench.parts.state.agentKey(key.keyId);
        expect(record?.credentialHash).to.equal(credentialDigest(key.agentCredential));
        expect([record?.label, record?.deviceKeyHash, record?.agentAddress]).to.deep.equal([
          party.label,
          party.agent.hash,
          key.agentAddress,
        ]);
        expect(JSON.stringify(bench.parts.state.all())).not.to.contain(key.agentCredential);
      }
    });

    it("gives 100 parallel requests 100 indices, also after revocations", async () => {
      const devices = Array.from({ length: 100 }, testDevice.bind(undefined, undefined));
      for (const device of devices) bench.register(party, device, TIER.AGENT, party.actor);
      const round = (): Promise<AgentCredentialAnswer[]> =>
        Promise.all(devices.map((agent) => bench.create({ ...party, agent })));
      const first = await round();
      for (const { keyId } of first.slice(0, 10)) worked(await bench.use("revoke", party, keyId, party.master));
      const all = [...first, ...(await round())];
      const indices = new Set(all.map(({ keyId }) => Number(keyId.split(":")[1])));
      expect([...indices].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 200 }, (_, i) => i));
      expect(new Set(all.map(({ agentAddress }) => agentAddress)).size).to.equal(200);
      expect(new Set(all.map(({ agentCredential }) => agentCredential)).size).to.equal(200);
    });

    it("gives two operators keys that have nothing in common", async () => {
      const other = bench.party();
      const [mine, theirs] = [await bench.create(party), await bench.create(other)];
      expect(mine.keyId.split(":")[0]).not.to.equal(theirs.keyId.split(":")[0]);
      expect(mine.agentAddress).not.to.equal(theirs.agentAddress);
    });

    describe("begin-ceremony", () => {
      it("answers a nonce, and no challenge", async () => {
        const begun = await bench.begin(party, {});
        expect(Object.keys(begun).sort()).to.deep.equal(["ceremonyId", "expiresAt", "nonce", "rpId"]);
        expect(begun.expiresAt).to.equal(bench.now + CEREMONY_SECONDS);
        expect(begun.rpId).to.equal("example.org");
        expect((await bench.begin(party, {})).nonce).not.to.equal(begun.nonce);
      });

      it("lets a device have 8 open, and another its own", async () => {
        for (let i = 0; i < 8; i += 1) await bench.begin(party, {});
        const ninth = { operation: "create", humanKeyId: party.account, label: party.label };
        expect(codeOf(await bench.ask(KMS_PATHS.beginCeremony, ninth, party.agent))).to.equal("rate_limited");
        const other = testDevice();
        bench.register(party, other, TIER.AGENT, party.actor);
        await bench.begin(party, {}, other);
        bench.now += CEREMONY_SECONDS;
        await bench.begin(party, {});
      });

      for (const [name, change, code] of [
        ["no operation", { operation: undefined }, "request_malformed"],
        ["an unknown operation", { operation: "sign" }, "request_malformed"],
        ["no account", { humanKeyId: undefined }, "request_malformed"],
        ["a label that is none", { label: "Agent A" }, "request_malformed"],
        ["another account", { humanKeyId: `0x${"22".repeat(20)}` }, "device_binding_mismatch"],
        ["the label of another agent", { label: "agent-b" }, "device_binding_mismatch"],
        ["a refresh without a key", { operation: "refresh" }, "request_malformed"],
        [
          "a refresh of an unknown key",
          { operation: "refresh", keyId: "00000000-0000-8000-8000-000000000000:0" },
          "agent_key_not_found",
        ],
        [
          "a revocation of an unknown key",
          { operation: "revoke", keyId: "00000000-0000-8000-8000-000000000000:0" },
          "agent_key_not_found",
        ],
      ] as const) {
        it(`refuses ${name}: ${code}`, async () => {
          const good = { operation: "create", humanKeyId: party.account, label: party.label };
          expect(codeOf(await bench.ask(KMS_PATHS.beginCeremony, { ...good, ...change }, party.agent))).to.equal(code);
          expect(codeOf(await bench.ask(KMS_PATHS.beginCeremony, good, party.agent))).to.equal("ok");
        });
      }

      it("refuses another operator's key as if it were not there", async () => {
        const key = await bench.create(bench.party());
        for (const operation of ["refresh", "revoke"]) {
          const body = { operation, humanKeyId: party.account, keyId: key.keyId };
          expect(codeOf(await bench.ask(KMS_PATHS.beginCeremony, body, party.agent))).to.equal("agent_key_not_found");
        }
      });
    });

    describe("the device, for begin-ceremony and create-agent-key alike", () => {
      const begin = async (device = party.agent, ask: AskWish = {}): Promise<Result<unknown>> =>
        bench.ask(
          KMS_PATHS.beginCeremony,
          { operation: "create", humanKeyId: party.account, label: party.label },
          device,
          ask,
        );

      // the role for caps, grants of other services and the epoch of objects are nothing to agent keys
      for (const fault of CHAIN_FAULTS.filter(
        ({ facts }) => !("deviceMayMint" in facts || "grantOps" in facts || "k3Epoch" in facts),
      )) {
        it(`is refused when the chain says: ${fault.name} (${fault.code})`, async () => {
          const begun = await bench.begin(party, {});
          bench.facts.set(party.agent.hash, fault.facts);
          expect(codeOf(await begin())).to.equal(fault.code);
          expect(codeOf(await createWith({ begun }))).to.equal(fault.code);
          expect(keysOf(party)).to.equal(0);
          bench.facts.delete(party.agent.hash);
          expect(codeOf(await createWith({ begun })), "the ceremony was left alone").to.equal("ok");
        });
      }

      it("is refused when it was never registered", async () => {
        const begun = await bench.begin(party, {});
        const stranger = testDevice();
        expect(codeOf(await begin(stranger))).to.equal("device_not_active");
        expect(codeOf(await createWith({ begun, device: stranger }))).to.equal("device_not_active");
        expect(codeOf(await createWith({ begun }))).to.equal("ok");
      });

      it("is refused when it is the operator's own, or another agent's", async () => {
        expect(codeOf(await begin(party.master))).to.equal("device_binding_mismatch");
        const other = testDevice();
        bench.register(party, other, TIER.AGENT, actorOmni(party.omni, "agent-b"));
        expect(codeOf(await begin(other))).to.equal("device_binding_mismatch");
        expect(codeOf(await begin())).to.equal("ok");
      });

      it("is refused for the account of before, once the operator was transferred", async () => {
        const begun = await bench.begin(party, {});
        bench.masters.set(party.omni, toHex(Buffer.alloc(20, 9)));
        expect(codeOf(await begin())).to.equal("device_binding_mismatch");
        expect(codeOf(await createWith({ begun }))).to.equal("device_binding_mismatch");
        expect(keysOf(party)).to.equal(0);
        bench.masters.set(party.omni, party.account);
        expect(codeOf(await createWith({ begun }))).to.equal("ok");
      });

      it("is judged by reads of one head: asked again when it moves, refused when it does not rest", async () => {
        const still = bench.headHash;
        let moves = 2;
        let hash = 1;
        bench.headHash = () => toHex(Buffer.alloc(32, moves-- > 0 ? (hash += 1) : 99));
        expect(codeOf(await begin())).to.equal("ok");
        bench.headHash = () => toHex(Buffer.alloc(32, (hash = (hash + 1) % 256)));
        expect(codeOf(await begin())).to.equal("chain_unavailable");
        bench.headHash = still;
        expect(codeOf(await begin())).to.equal("ok");
      });
    });

    describe("the proof, for every method", () => {
      const bodies = (): Readonly<Record<string, object>> => ({
        [KMS_PATHS.beginCeremony]: { operation: "create", humanKeyId: party.account, label: party.label },
      });

      for (const [name, wish, reason] of [
        ["of another method", { method: "GET" }, "forged"],
        ["of another path", { target: SIGNER + KMS_PATHS.createAgentKey }, "forged"],
        ["of another signer", { target: `https://other.example.org${KMS_PATHS.beginCeremony}` }, "forged"],
        ["of another body", { body: "{}" }, "forged"],
        ["of a bearer that did not come", { credential: "a.b.c" }, "forged"],
        ["of the future", { issuedAt: 1_800_000_000 + 10_000 }, "stale"],
        ["of the past", { issuedAt: 1_800_000_000 - 10_000 }, "stale"],
        ["that names another device", { claims: ZERO32 }, "forged"],
      ] as const) {
        it(`is refused when it is ${name}: ${reason}`, async () => {
          const [path = "", body = {}] = Object.entries(bodies())[0] ?? [];
          const refused = await bench.ask(path, body, party.agent, { proof: wish });
          expect(refused.ok ? "ok" : [refused.failure.code, refused.failure.reason]).to.deep.equal([
            "proof_invalid",
            reason,
          ]);
          expect(codeOf(await bench.ask(path, body, party.agent))).to.equal("ok");
        });
      }

      it("is asked for", async () => {
        for (const path of Object.values(KMS_PATHS)) {
          const body =
            path === KMS_PATHS.signAgent
              ? bench.signBody(party, "00000000-0000-8000-8000-000000000000:0")
              : {
                  operation: "create",
                  humanKeyId: party.account,
                  label: party.label,
                  ceremonyId: toBase64url(Buffer.alloc(16)),
                  keyId: "00000000-0000-8000-8000-000000000000:0",
                  webAuthnAssertion: { credentialId: "", authenticatorData: "", clientDataJSON: "", signature: "" },
                };
          const key = await bench.create(party);
          const headers = { authorization: `AgentKeys ${key.agentCredential}` };
          const refused = await bench.ask(path, body, party.agent, { headers });
          expect(refused.ok ? "ok" : [refused.failure.code, refused.failure.reason], path).to.deep.equal([
            "proof_invalid",
            "missing",
          ]);
          const garbage = await bench.ask(path, body, party.agent, { headers: { ...headers, proof: "!" } });
          expect(garbage.ok ? "ok" : garbage.failure.reason, path).to.equal("malformed");
        }
      });

      it("is good once", async () => {
        const nonce = toHex(Buffer.alloc(32, 0x4e));
        const [path = "", body = {}] = Object.entries(bodies())[0] ?? [];
        expect(codeOf(await bench.ask(path, body, party.agent, { proof: { nonce } }))).to.equal("ok");
        const again = await bench.ask(path, body, party.agent, { proof: { nonce } });
        expect(again.ok ? "ok" : [again.failure.code, again.failure.reason]).to.deep.equal([
          "proof_invalid",
          "replayed",
        ]);
      });
    });

    describe("the ceremony", () => {
      it("is used once, whatever comes of it", async () => {
        const begun = await bench.begin(party, {});
        expect(codeOf(await createWith({ begun }))).to.equal("ok");
        expect(codeOf(await createWith({ begun }))).to.equal("payload_invalid");
        const failed = await bench.begin(party, {});
        expect(codeOf(await createWith({ begun: failed, assertion: { flags: FLAG.UP } }))).to.equal("payload_invalid");
        expect(codeOf(await createWith({ begun: failed })), "a second guess").to.equal("payload_invalid");
        expect(keysOf(party)).to.equal(1);
      });

      it("is used by exactly one of twenty requests at once", async () => {
        const begun = await bench.begin(party, {});
        const codes = (await Promise.all(Array.from({ length: 20 }, () => createWith({ begun })))).map(codeOf);
        expect(codes.filter((code) => code === "ok")).to.have.length(1);
        expect(codes.filter((code) => code === "payload_invalid")).to.have.length(19);
        expect(keysOf(party)).to.equal(1);
      });

      it("ends after 300 seconds", async () => {
        const [young, old] = [await bench.begin(party, {}), await bench.begin(party, {})];
        bench.now += CEREMONY_SECONDS - 1;
        expect(codeOf(await createWith({ begun: young }))).to.equal("ok");
        bench.now += 1;
        expect(codeOf(await createWith({ begun: old }))).to.equal("payload_invalid");
      });

      it("is its own device's, and stays so when another brings it", async () => {
        const begun = await bench.begin(party, {});
        const other = testDevice();
        bench.register(party, other, TIER.AGENT, party.actor);
        const ceremony = { deviceKeyHash: other.hash };
        expect(codeOf(await createWith({ begun, device: other, ceremony }))).to.equal("payload_invalid");
        expect(codeOf(await createWith({ begun, device: other }))).to.equal("payload_invalid");
        expect(codeOf(await createWith({ begun }))).to.equal("ok");
      });

      it("is for its own operation", async () => {
        const key = await bench.create(party);
        const refresh = await bench.begin(party, { operation: "refresh", keyId: key.keyId } as never);
        const change = { operation: "refresh", keyId: key.keyId, label: "" } as const;
        expect(codeOf(await createWith({ begun: refresh, ceremony: change }))).to.equal("payload_invalid");
        const create = await bench.begin(party, {});
        const body = { keyId: key.keyId, ceremonyId: create.ceremonyId, webAuthnAssertion: bench.tap(party, create) };
        for (const path of [KMS_PATHS.refreshAgentCredential, KMS_PATHS.revokeAgentCredential]) {
          expect(codeOf(await bench.ask(path, body, party.agent))).to.equal("payload_invalid");
        }
        expect(bench.parts.state.agentKey(key.keyId)?.epoch).to.equal(0);
      });

      it("that nobody began is refused", async () => {
        const ceremonyId = toBase64url(Buffer.alloc(16, 1));
        expect(codeOf(await createWith({ body: { ceremonyId } }))).to.equal("payload_invalid");
      });
    });

    describe("the assertion is refused, before anything changes, when it is", () => {
      const differing: Readonly<Record<string, Partial<Ceremony>>> = {
        "over another operation": { operation: "revoke" },
        "over another operator": { operatorOmni: ZERO32 },
        "over another account": { account: `0x${"22".repeat(20)}` },
        "over a key": { keyId: "00000000-0000-8000-8000-000000000000:0" },
        "over another label": { label: "agent-b" },
        "over another device": { deviceKeyHash: ZERO32 },
        "over another signer": { signerOrigin: "https://other.example.org" },
        "over another time": { expiresAt: 1 },
      };
      for (const [name, ceremony] of Object.entries(differing)) {
        it(name, async () => {
          expect(codeOf(await createWith({ ceremony }))).to.equal("payload_invalid");
          expect(keysOf(party)).to.equal(0);
          expect(codeOf(await createWith())).to.equal("ok");
        });
      }

      const wishes: Readonly<Record<string, AssertionWish>> = {
        "with presence alone": { flags: FLAG.UP },
        "with verification alone": { flags: FLAG.UV },
        "with neither": { flags: 0 },
        "made for another party": { rpId: "evil.example" },
        "made at another origin": { origin: "https://evil.example" },
        "made at the same host's other port": { origin: "https://example.org:8443" },
        "made inside another page": { crossOrigin: true },
        "a registration": { type: "webauthn.create" },
        "by an unknown credential": { credentialId: Buffer.alloc(32, 1) },
      };
      for (const [name, assertion] of Object.entries(wishes)) {
        it(name, async () => {
          expect(codeOf(await createWith({ assertion }))).to.equal("payload_invalid");
          expect(keysOf(party)).to.equal(0);
          expect(codeOf(await createWith())).to.equal("ok");
        });
      }

      it("by the passkey of another operator", async () => {
        const begun = await bench.begin(party, {});
        const thief = { ...party, authenticator: testAuthenticator() };
        const stolen = bench.tap(thief, begun);
        expect(codeOf(await createWith({ begun, body: { webAuthnAssertion: stolen } }))).to.equal("payload_invalid");
        const key = { key: testAuthenticator().key };
        expect(codeOf(await createWith({ assertion: key }))).to.equal("payload_invalid");
        expect(keysOf(party)).to.equal(0);
      });

      it("by a passkey that was removed from the account, or whose key is not on the curve", async () => {
        const { passkey } = party.authenticator;
        bench.passkeys.set(party.account, [testAuthenticator()]);
        expect(codeOf(await createWith())).to.equal("payload_invalid");
        bench.passkeys.set(party.account, [{ ...party.authenticator, passkey: { ...passkey, y: passkey.x } }]);
        expect(codeOf(await createWith())).to.equal("payload_invalid");
        expect(keysOf(party)).to.equal(0);
        const many = Array.from({ length: MAX_PASSKEYS - 1 }, () => testAuthenticator());
        bench.passkeys.set(party.account, [...many, party.authenticator]);
        expect(codeOf(await createWith())).to.equal("ok");
      });

      it("the one of another ceremony of the same device", async () => {
        const [first, second] = [await bench.begin(party, {}), await bench.begin(party, {})];
        const webAuthnAssertion = bench.tap(party, first);
        expect(codeOf(await createWith({ begun: second, body: { webAuthnAssertion } }))).to.equal("payload_invalid");
        expect(codeOf(await createWith({ begun: first }))).to.equal("ok");
      });

      it("over a challenge that somebody chose: the hash of an operation, the nonce, the digest", async () => {
        const begun = await bench.begin(party, {});
        const nonce = Buffer.from(begun.nonce.slice(2), "hex");
        for (const challenge of [Buffer.alloc(32, 1), nonce]) {
          const again = await bench.begin(party, {});
          const webAuthnAssertion = makeAssertion(party.authenticator, challenge);
          expect(codeOf(await createWith({ begun: again, body: { webAuthnAssertion } }))).to.equal("payload_invalid");
        }
        expect(keysOf(party)).to.equal(0);
      });

      it("any malformed DER", async () => {
        const rows = malformedDer(Buffer.from(goodDer()));
        expect(rows.length).to.be.above(60);
        for (const { name } of rows) {
          // a signature that is shorter than the table's has no such cut: its last byte goes
          const signature = (der: Buffer): Buffer =>
            malformedDer(der).find((row) => row.name === name)?.der ?? der.subarray(0, -1);
          expect(codeOf(await createWith({ assertion: { signature } })), name).to.equal("payload_invalid");
        }
        expect(keysOf(party)).to.equal(0);
        expect(codeOf(await createWith())).to.equal("ok");
      });

      it("with a counter that was seen, or went back; 0 stays 0 for synced passkeys", async () => {
        const counts = [0, 0, 5, 5, 4, 0, 6].map((signCount) => ({ signCount }));
        const codes: string[] = [];
        for (const assertion of counts) codes.push(codeOf(await createWith({ assertion })));
        const no = "payload_invalid";
        expect(codes).to.deep.equal(["ok", "ok", "ok", no, no, no, "ok"]);
        expect(keysOf(party)).to.equal(4);
      });
    });

    /** A DER signature of the usual length, to count the rows of the table. */
    function goodDer(): Uint8Array {
      const { signature } = makeAssertion(testAuthenticator(), Buffer.alloc(32)) as { signature: string };
      return Buffer.from(signature, "base64url");
    }

    it("refuses a body that is none, and an Authorization that is none", async () => {
      const good: Readonly<Record<string, unknown>> = { humanKeyId: party.account, label: party.label };
      for (const missing of ["ceremonyId", "humanKeyId", "label", "webAuthnAssertion"]) {
        expect(codeOf(await createWith({ body: { ...good, [missing]: undefined } })), missing).to.equal(
          "request_malformed",
        );
      }
      expect(codeOf(await bench.ask(KMS_PATHS.createAgentKey, "[]", party.agent))).to.equal("request_malformed");
      const body = { operation: "create", humanKeyId: party.account, label: party.label };
      const proof = "e30";
      for (const authorization of [
        "Bearer x",
        "AgentKeys",
        "AgentKeys  x",
        "agentkeys a.b.c",
        "AgentKeys a.b.c",
      ] as const) {
        const refused = await bench.ask(KMS_PATHS.beginCeremony, body, party.agent, {
          headers: { authorization, proof },
        });
        expect(codeOf(refused), authorization).to.equal("credential_invalid");
      }
      const zero: Hex = ZERO32;
      expect(codeOf(await createWith({ body: { ceremonyId: zero } }))).to.equal("request_malformed");
    });
  });
});

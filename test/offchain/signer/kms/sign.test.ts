import { createHmac } from "node:crypto";

import { expect } from "chai";

import { KMS_LIMITS } from "../../../../offchain/signer/vault/kms/limits";
import { isAgentSignature, readAgentSignature } from "../../../../offchain/wire/agent-signature";
import { type Hex, fromHex, toBase64url, toHex } from "../../../../offchain/wire/bytes";
import { keccakReady } from "../../../../offchain/wire/keccak";
import { type AgentCredentialAnswer, KMS_PATHS, type SignAgentAnswer } from "../../../../offchain/wire/kms";
import { TIER, actorOmni } from "../../../../offchain/wire/names";
import type { Result } from "../../../../offchain/wire/result";
import { userOperationHash } from "../../../../offchain/wire/user-operation";
import { KmsBench, type KmsParty, codeOf, worked } from "../../../helpers/kms";
import { secretsIn } from "../../../helpers/secret-forms";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { forEachBackEnd } from "../../../helpers/vault-parts";
import { CHAIN_FAULTS } from "../../../helpers/verify-case";
import { testDevice } from "../../../helpers/words";

/** The same credential with another last character of its MAC, one that base64url may end in. */
function otherMac(credential: string): string {
  return `${credential.slice(0, -1)}${credential.endsWith("A") ? "E" : "A"}`;
}

describe("vault: signing as an agent", function () {
  this.timeout(60_000);
  forEachBackEnd((open) => {
    const folders = temporaryFolders();
    let bench: KmsBench;
    let party: KmsParty;
    let key: AgentCredentialAnswer;

    before(async () => {
      await keccakReady();
      bench = await KmsBench.in(folders.make(), {}, open);
    });
    beforeEach(async () => {
      bench.monotone += 60_000;
      party = bench.party();
      key = await bench.create(party);
    });
    after(async () => {
      await bench.close();
      folders.removeAll();
    });

    const why = (result: Result<unknown>): unknown =>
      result.ok ? "ok" : [result.failure.code, result.failure.reason].filter((one) => one !== undefined).join(" ");

    it("answers 106 bytes over the hash that it computed itself", async () => {
      const answer = worked(await bench.sign(party, key)) as SignAgentAnswer;
      expect([answer.keyId, answer.agentAddress]).to.deep.equal([key.keyId, key.agentAddress]);
      const operation = bench.operation(party);
      const bytes32 = fromHex(userOperationHash(operation, bench.settings.sessionRules.domain));
      expect(answer.signature).to.have.length(2 + 2 * 106);
      const read = readAgentSignature(answer.signature);
      expect([read?.account, read?.key]).to.deep.equal([party.account, key.agentAddress]);
      expect(isAgentSignature(answer.signature, { account: party.account, key: key.agentAddress, bytes32 })).to.equal(
        true,
      );
    });

    describe("the bearer alone is nothing", () => {
      it("without a proof, and with that of another device", async () => {
        const thief = testDevice();
        const headers = { authorization: `AgentKeys ${key.agentCredential}` };
        expect(why(await bench.sign(party, key, { headers }))).to.equal("proof_invalid missing");
        expect(why(await bench.sign(party, key, { device: thief }))).to.equal("proof_invalid mismatch");
        const claims = party.agent.hash;
        expect(why(await bench.sign(party, key, { device: thief, proof: { claims } }))).to.equal(
          "proof_invalid forged",
        );
        bench.register(party, thief, TIER.AGENT, party.actor);
        expect(why(await bench.sign(party, key, { device: thief }))).to.equal("proof_invalid mismatch");
        expect(why(await bench.sign(party, key, { device: party.master }))).to.equal("proof_invalid mismatch");
        expect(why(await bench.sign(party, key))).to.equal("ok");
      });

      it("with a proof that was made without it, for another, or was seen", async () => {
        const other = await bench.create(party);
        expect(why(await bench.sign(party, key, { proof: { credential: other.agentCredential } }))).to.equal(
          "proof_invalid forged",
        );
        const nonce = toHex(Buffer.alloc(32, 0x51));
        expect(why(await bench.sign(party, key, { proof: { nonce } }))).to.equal("ok");
        expect(why(await bench.sign(party, key, { proof: { nonce } }))).to.equal("proof_invalid replayed");
      });

      it("and neither is the proof alone", async () => {
        const refused = await bench.ask(KMS_PATHS.signAgent, bench.signBody(party, key.keyId), party.agent);
        expect(why(refused)).to.equal("credential_invalid");
      });
    });

    describe("a credential signs for nobody else", () => {
      it("another index of the same account, another operator's key, an unknown one", async () => {
        const second = await bench.create(party);
        const other = bench.party();
        const theirs = await bench.create(other);
        for (const [account, keyId] of [
          [party.account, second.keyId],
          [other.account, theirs.keyId],
          [party.account, theirs.keyId],
          [party.account, key.keyId.replace(/:.*/, ":7")],
        ] as const) {
          const body = bench.signBody({ account }, keyId);
          expect(why(await bench.sign(party, key, { body }))).to.equal("credential_invalid");
        }
        expect(why(await bench.sign(party, second))).to.equal("ok");
        expect(why(await bench.sign(other, theirs))).to.equal("ok");
      });

      it("another account as sender, with its own key", async () => {
        const other = bench.party();
        const body = bench.signBody(other, key.keyId);
        expect(why(await bench.sign(party, key, { body }))).to.equal("payload_invalid");
      });
    });

    describe("a credential is refused by the vault itself when it is", () => {
      /** The credential with other claims or another header, signed by a secret that the vault has. */
      async function forged(change: {
        readonly header?: object;
        readonly claims?: object;
        readonly mac?: (input: Buffer) => Buffer;
      }): Promise<string> {
        const [header = "", claims = ""] = key.agentCredential.split(".");
        const part = (text: string, other: object = {}): string =>
          toBase64url(
            JSON.stringify({ ...(JSON.parse(Buffer.from(text, "base64url").toString()) as object), ...other }),
          );
        const input = Buffer.from(`${part(header, change.header)}.${part(claims, change.claims)}`);
        const kid = bench.parts.keys.tokenSecrets().find((one) => one.retiredAt === undefined)?.kid ?? "";
        const mac = change.mac?.(input) ?? (await bench.parts.keys.macCredential(kid, input)) ?? Buffer.alloc(32);
        return `${input.toString()}.${toBase64url(mac)}`;
      }

      const forgeries: Readonly<Record<string, Parameters<typeof forged>[0]>> = {
        "unsigned (alg none)": { header: { alg: "none" } },
        "by another algorithm": { header: { alg: "HS512" } },
        "of another type": { header: { typ: "JWT" } },
        "by a secret that there is not": { header: { kid: "x" } },
        "by an empty secret": { mac: (input) => createHmac("sha256", "").update(input).digest() },
        "by nothing": { mac: () => Buffer.alloc(32) },
        "cut short": { mac: () => Buffer.alloc(16) },
        "of another issuer": { claims: { iss: "https://other.example.org" } },
        "for another audience": { claims: { aud: "agentkeys:sts:config" } },
        "of another epoch": { claims: { epoch: 1 } },
        "of another index": { claims: { agent_index: 1 } },
        "of another wallet": { claims: { wallet_id: "00000000-0000-8000-8000-000000000000" } },
        "of another address": { claims: { agent_address: `0x${"11".repeat(20)}` } },
        "longer lived": { claims: { exp: 1_900_000_000 } },
        "otherwise the vault's own words, but not the one that is current": {
          claims: { jti: toHex(Buffer.alloc(32)) },
        },
      };
      for (const [name, change] of Object.entries(forgeries)) {
        it(name, async () => {
          const bearer = await forged(change);
          expect(why(await bench.sign(party, key, { bearer }))).to.equal("credential_invalid");
          expect(why(await bench.sign(party, key))).to.equal("ok");
        });
      }

      it("anything at all: the MAC of what it says is computed and compared, and never comes out", async () => {
        const { keys } = bench.parts;
        const macOf = keys.macCredential.bind(keys);
        const computed: Record<string, Uint8Array> = {};
        keys.macCredential = async (kid, input) => {
          const mac = await macOf(kid, input);
          if (mac !== undefined) computed[Buffer.from(input).toString()] = mac;
          return mac;
        };
        const answers: unknown[] = [];
        for (const { claims } of Object.values(forgeries)) {
          const bearer = await forged({ ...(claims === undefined ? {} : { claims }), mac: () => Buffer.alloc(32) });
          for (const path of Object.values(KMS_PATHS)) {
            const body = { ...bench.signBody(party, key.keyId), operation: "create", label: party.label };
            answers.push(await bench.ask(path, body, party.agent, { bearer }));
          }
          answers.push(await bench.sign(party, key, { bearer }));
        }
        keys.macCredential = macOf;
        expect(Object.keys(computed)).to.have.length.above(6);
        expect(secretsIn(Buffer.from(JSON.stringify(answers)), computed)).to.deep.equal([]);
        expect(why(await bench.sign(party, key))).to.equal("ok");
      });

      it("for another device, though that one proves it", async () => {
        const thief = testDevice();
        bench.register(party, thief, TIER.AGENT, party.actor);
        const bearer = await forged({ claims: { device_key_hash: thief.hash } });
        expect(why(await bench.sign(party, key, { bearer, device: thief }))).to.equal("credential_invalid");
      });

      it("expired, to the second", async () => {
        const before = bench.now;
        bench.now = key.expiresAt - 1;
        expect(why(await bench.sign(party, key))).to.equal("ok");
        bench.now = key.expiresAt;
        expect(why(await bench.sign(party, key))).to.equal("credential_invalid");
        bench.now = before;
      });

      it("superseded, while its successor signs", async () => {
        const next = await bench.refresh(party, key.keyId);
        expect(why(await bench.sign(party, key))).to.equal("credential_invalid");
        expect(why(await bench.sign(party, next))).to.equal("ok");
      });

      it("revoked, at once", async () => {
        worked(await bench.use("revoke", party, key.keyId));
        expect(why(await bench.sign(party, key))).to.equal("credential_invalid");
      });

      it("forced out; a gentle rotation leaves it", async () => {
        await bench.parts.keys.rotateTokenSecret(bench.now, false);
        expect(why(await bench.sign(party, key))).to.equal("ok");
        await bench.parts.keys.rotateTokenSecret(bench.now, true);
        expect(why(await bench.sign(party, key))).to.equal("credential_invalid");
        const next = await bench.refresh(party, key.keyId);
        expect(why(await bench.sign(party, next))).to.equal("ok");
      });

      it("revoked, superseded or forced out between its check and its signature", async () => {
        const { keys } = bench.parts;
        const seedOf = keys.operatorSeed.bind(keys);
        const meanwhile: Readonly<Record<string, (keyId: string) => Promise<unknown>>> = {
          revoked: (keyId) => bench.use("revoke", party, keyId),
          superseded: (keyId) => bench.refresh(party, keyId),
          "forced out": () => keys.rotateTokenSecret(bench.now, true),
        };
        for (const [name, act] of Object.entries(meanwhile)) {
          const one = await bench.create(party);
          keys.operatorSeed = async (...owner) => {
            keys.operatorSeed = seedOf;
            await act(one.keyId);
            return seedOf(...owner);
          };
          expect(why(await bench.sign(party, one)), name).to.equal("credential_invalid");
          keys.operatorSeed = seedOf;
        }
      });
    });

    describe("the chain", () => {
      for (const fault of CHAIN_FAULTS.filter(
        ({ facts }) => !("deviceMayMint" in facts || "grantOps" in facts || "k3Epoch" in facts),
      )) {
        it(`refuses when it says: ${fault.name} (${fault.code})`, async () => {
          bench.facts.set(party.agent.hash, fault.facts);
          expect(why(await bench.sign(party, key))).to.equal(fault.code);
          bench.facts.delete(party.agent.hash);
          expect(why(await bench.sign(party, key))).to.equal("ok");
        });
      }

      it("refuses a device that serves another agent or operator by now, and is no agent's", async () => {
        const was = bench.devices.get(party.agent.hash);
        const other = bench.party();
        for (const [tier, omni, actor] of [
          [TIER.AGENT, party.omni, actorOmni(party.omni, "agent-b")],
          [TIER.AGENT, other.omni, other.actor],
          [TIER.MASTER, party.omni, party.omni],
        ] as const) {
          bench.register({ omni }, party.agent, tier, actor);
          expect(why(await bench.sign(party, key))).to.equal("device_binding_mismatch");
        }
        if (was !== undefined) bench.devices.set(party.agent.hash, was);
        expect(why(await bench.sign(party, key))).to.equal("ok");
      });

      it("makes every key unusable after a transfer", async () => {
        bench.masters.set(party.omni, `0x${"99".repeat(20)}`);
        expect(why(await bench.sign(party, key))).to.equal("device_binding_mismatch");
        bench.masters.delete(party.omni);
        expect(why(await bench.sign(party, key))).to.equal("device_binding_mismatch");
        bench.masters.set(party.omni, party.account);
        expect(why(await bench.sign(party, key))).to.equal("ok");
      });
    });

    describe("what is signed", () => {
      const digest = toHex(Buffer.alloc(32, 0xd1));
      const bodies = (): Readonly<Record<string, object>> => ({
        "a raw digest": { keyId: key.keyId, digest },
        "a digest as payload, without the algorithm": {
          keyId: key.keyId,
          payload: digest,
          accountAddress: party.account,
        },
        "31 bytes": payload({ payload: digest.slice(0, -2) }),
        "33 bytes": payload({ payload: `${digest}00` }),
        "a payload by another algorithm": payload({ algorithm: "raw" }),
        "a payload beside a digest": payload({ digest }),
        "a payload for another account": payload({ accountAddress: `0x${"22".repeat(20)}` }),
        "typed data": { keyId: key.keyId, typedData: { types: {}, domain: {}, message: {} } },
        "an EIP-7702 authorization": {
          keyId: key.keyId,
          authorization: { chainId: 1, address: party.account, nonce: 0 },
        },
        "a transaction": { keyId: key.keyId, transaction: { to: party.account, value: "0x0" } },
        "an operation beside a payload": { ...bench.signBody(party, key.keyId), payload: digest },
        "an operation with a hash of somebody's": { ...bench.signBody(party, key.keyId), userOpHash: digest },
        nothing: { keyId: key.keyId },
        "an operation for another chain": { ...bench.signBody(party, key.keyId), chainId: 1 },
        "an operation for another EntryPoint": { ...bench.signBody(party, key.keyId), entryPoint: party.account },
        "an operation of the passkeys' own nonce key": bench.signBody(party, key.keyId, { nonce: 0n }),
        "an operation with an initCode": bench.signBody(party, key.keyId, { initCode: "0x7702" }),
        "an operation with a paymaster of its own": bench.signBody(party, key.keyId, {
          paymasterAndData: `0x${"ab".repeat(52)}`,
        }),
      });

      function payload(change: object = {}): object {
        return { keyId: key.keyId, payload: digest, algorithm: "eip191-32", accountAddress: party.account, ...change };
      }

      it("is refused before the vault is asked for a key: 422", async () => {
        const { keys } = bench.parts;
        const seedOf = keys.operatorSeed.bind(keys);
        let derived = 0;
        keys.operatorSeed = (...owner) => {
          derived += 1;
          return seedOf(...owner);
        };
        for (const [name, body] of Object.entries(bodies())) {
          expect(why(await bench.sign(party, key, { body })), name).to.equal("payload_invalid");
        }
        expect(derived).to.equal(0);
        expect(why(await bench.sign(party, key))).to.equal("ok");
        expect(derived).to.equal(1);
        keys.operatorSeed = seedOf;
      });

      it("is a payload of 32 bytes only where a live grant says so, and then wrapped", async () => {
        const grants: readonly (readonly [string, object, string])[] = [
          ["no grant", { grantOps: 0, grantValidUntil: 0 }, "service_not_in_scope"],
          ["a grant to store", { grantOps: 1 }, "service_not_in_scope"],
          ["a grant that has ended", { grantOps: 2, grantValidUntil: bench.now }, "service_not_in_scope"],
          [
            "a grant that ended by the chain's clock",
            { grantOps: 2, grantValidUntil: bench.now + 5, blockTime: bench.now + 5 },
            "service_not_in_scope",
          ],
          ["a live grant", { grantOps: 2, grantValidUntil: bench.now + 1 }, "ok"],
        ];
        for (const [name, facts, code] of grants) {
          bench.facts.set(party.agent.hash, facts);
          const result = await bench.sign(party, key, { body: payload() });
          expect(why(result), name).to.equal(code);
          if (!result.ok) continue;
          const { signature } = result.value as SignAgentAnswer;
          const expected = { account: party.account, key: key.agentAddress, bytes32: fromHex(digest) };
          expect(isAgentSignature(signature, expected)).to.equal(true);
        }
        bench.facts.set(party.agent.hash, { grantOps: 0 });
        expect(why(await bench.sign(party, key)), "an operation needs no such grant").to.equal("ok");
      });

      it("is no user operation where no session validator is configured", async () => {
        const dir = folders.make();
        const { sessionRules } = bench.settings;
        const bare = await KmsBench.in(dir, { sessionRules: { ...sessionRules, sessionValidator: undefined } }, open);
        const one = bare.party();
        expect(codeOf(await bare.sign(one, await bare.create(one)))).to.equal("payload_invalid");
        await bare.close();
      });
    });

    describe("limits", () => {
      const many = async (count: number, act: () => Promise<Result<unknown>>): Promise<readonly unknown[]> => {
        const all: unknown[] = [];
        for (let i = 0; i < count; i += 1) all.push(why(await act()));
        return all;
      };

      it("are 20 signatures in any minute for a credential; the next derives no key and says how long to wait", async () => {
        expect(await many(KMS_LIMITS.perCredential - 1, () => bench.sign(party, key))).to.not.include("rate_limited");
        bench.monotone += 30_000;
        expect(why(await bench.sign(party, key))).to.equal("ok");
        const { keys } = bench.parts;
        const seedOf = keys.operatorSeed.bind(keys);
        keys.operatorSeed = () => Promise.reject(new Error("the vault was asked"));
        const refused = await bench.sign(party, key);
        expect(refused.ok ? "ok" : [refused.failure.code, refused.failure.retryAfter]).to.deep.equal([
          "rate_limited",
          30,
        ]);
        keys.operatorSeed = seedOf;
        bench.monotone += 29_999;
        expect(why(await bench.sign(party, key))).to.equal("rate_limited");
        bench.monotone += 1;
        expect(await many(19, () => bench.sign(party, key))).to.not.include("rate_limited");
        expect(why(await bench.sign(party, key)), "the one of 30 s ago still counts").to.equal("rate_limited");
        bench.monotone += 30_000;
        expect(why(await bench.sign(party, key))).to.equal("ok");
      });

      it("are not reset by a refresh, and are each key's own", async () => {
        await many(20, () => bench.sign(party, key));
        const next = await bench.refresh(party, key.keyId);
        expect(why(await bench.sign(party, next))).to.equal("rate_limited");
        expect(why(await bench.sign(party, await bench.create(party)))).to.equal("ok");
      });

      it("are 100 for a device, over all of its keys", async () => {
        const keys = [key];
        while (keys.length < 6) keys.push(await bench.create(party));
        for (const one of keys.slice(0, 5))
          expect(await many(20, () => bench.sign(party, one))).to.not.include("rate_limited");
        const last = keys[5] ?? key;
        expect(why(await bench.sign(party, last))).to.equal("rate_limited");
        const elsewhere = bench.party();
        expect(why(await bench.sign(elsewhere, await bench.create(elsewhere)))).to.equal("ok");
      });

      it("are not used up by a thief of the bearer, by replays, or by what is refused", async () => {
        const thief = testDevice();
        const nonce = toHex(Buffer.alloc(32, 0x77));
        expect(why(await bench.sign(party, key, { proof: { nonce } }))).to.equal("ok");
        const headers = { authorization: `AgentKeys ${key.agentCredential}` };
        const digest: Hex = toHex(Buffer.alloc(32));
        for (const attack of [
          () => bench.sign(party, key, { headers }),
          () => bench.sign(party, key, { device: thief }),
          () => bench.sign(party, key, { device: thief, proof: { claims: party.agent.hash } }),
          () => bench.sign(party, key, { proof: { nonce } }),
          () => bench.sign(party, key, { body: { keyId: key.keyId, digest } }),
          () => bench.sign(party, key, { bearer: otherMac(key.agentCredential) }),
        ]) {
          const codes = await many(150, attack);
          expect(codes).not.to.include("ok");
          expect(codes).not.to.include("rate_limited");
        }
        expect(await many(19, () => bench.sign(party, key))).to.not.include("rate_limited");
        expect(why(await bench.sign(party, key))).to.equal("rate_limited");
      });

      it("hold for requests that come at once", async () => {
        const all = await Promise.all(Array.from({ length: 60 }, () => bench.sign(party, key)));
        expect(all.filter((one) => one.ok)).to.have.length(20);
        expect(all.filter((one) => why(one) === "rate_limited")).to.have.length(40);
      });
    });
  });
});

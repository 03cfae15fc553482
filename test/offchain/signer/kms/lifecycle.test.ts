import { readdirSync } from "node:fs";

import { expect } from "chai";

import { issueCredential } from "../../../../offchain/signer/vault/kms/credentials";
import { withAgentKey } from "../../../../offchain/signer/vault/kms/agent-key";
import { signing } from "../../../../offchain/signer/vault/keys/token-secrets";
import { LONGEST_OVERLAP } from "../../../../offchain/signer/vault/keys/vault-keys";
import type { AgentKeyRecord } from "../../../../offchain/signer/vault/state/vault-state";
import { agentCredentialIsOurs, parseAgentCredential } from "../../../../offchain/wire/agent-credential";
import { isAgentSignature } from "../../../../offchain/wire/agent-signature";
import { type Hex, ZERO32, fromHex } from "../../../../offchain/wire/bytes";
import type { Ceremony } from "../../../../offchain/wire/ceremony";
import { keccakReady } from "../../../../offchain/wire/keccak";
import { type AgentCredentialAnswer, KMS_PATHS, type SignAgentAnswer } from "../../../../offchain/wire/kms";
import { TIER, actorOmni } from "../../../../offchain/wire/names";
import { userOperationHash } from "../../../../offchain/wire/user-operation";
import { type AssertionWish, FLAG } from "../../../helpers/assertion";
import { KmsBench, type KmsParty, codeOf, worked } from "../../../helpers/kms";
import { secretsIn, secretsUnder } from "../../../helpers/secret-forms";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { forEachBackEnd } from "../../../helpers/vault-parts";
import { testDevice } from "../../../helpers/words";

const DAY = 86_400;

describe("vault: the life of an agent key", function () {
  this.timeout(120_000);
  forEachBackEnd((open, backend) => {
    const folders = temporaryFolders();
    let bench: KmsBench;
    let party: KmsParty;
    let key: AgentCredentialAnswer;

    before(keccakReady);
    beforeEach(async () => {
      bench = await KmsBench.in(folders.make(), {}, open);
      party = bench.party();
      key = await bench.create(party);
    });
    afterEach(async () => {
      await bench.close();
    });
    after(() => {
      folders.removeAll();
    });

    const epochOf = (keyId = key.keyId): number | undefined => bench.parts.state.agentKey(keyId)?.epoch;

    describe("refresh", () => {
      it("gives the same key another credential; the one before is dead", async () => {
        const next = await bench.refresh(party, key.keyId);
        expect([next.keyId, next.agentAddress]).to.deep.equal([key.keyId, key.agentAddress]);
        expect(epochOf()).to.equal(1);
        expect(codeOf(await bench.sign(party, key))).to.equal("credential_invalid");
        expect(codeOf(await bench.sign(party, next))).to.equal("ok");
      });

      it("works with the old credential beside it, expired, of a retired secret, or lost", async () => {
        const withOld = await bench.use("refresh", party, key.keyId, party.agent, { bearer: key.agentCredential });
        const second = worked(withOld) as AgentCredentialAnswer;
        bench.now += 30 * DAY;
        await bench.parts.keys.rotateTokenSecret(bench.now, true);
        expect(codeOf(await bench.sign(party, second))).to.equal("credential_invalid");
        const third = await bench.use("refresh", party, key.keyId, party.agent, { bearer: second.agentCredential });
        expect(codeOf(await bench.sign(party, worked(third) as AgentCredentialAnswer))).to.equal("ok");
        expect(codeOf(await bench.sign(party, await bench.refresh(party, key.keyId)))).to.equal("ok");
      });

      it("refuses a credential of another key beside it, before the ceremony is touched", async () => {
        const other = await bench.create(party);
        const begun = await bench.begin(party, { operation: "refresh", keyId: key.keyId } as never);
        const change = { operation: "refresh", keyId: key.keyId, label: "" } as const;
        const webAuthnAssertion = bench.tap(party, begun, change);
        const body = { keyId: key.keyId, ceremonyId: begun.ceremonyId, webAuthnAssertion };
        const path = KMS_PATHS.refreshAgentCredential;
        const bearer = other.agentCredential;
        expect(codeOf(await bench.ask(path, body, party.agent, { bearer }))).to.equal("credential_invalid");
        expect(codeOf(await bench.ask(path, body, party.agent))).to.equal("ok");
      });

      it("moves to another device of the same agent, and to no other's", async () => {
        const [next, other] = [testDevice(), testDevice()];
        bench.register(party, next, TIER.AGENT, party.actor);
        bench.register(party, other, TIER.AGENT, actorOmni(party.omni, "agent-b"));
        for (const device of [other, party.master]) {
          const body = { operation: "refresh", humanKeyId: party.account, keyId: key.keyId };
          expect(codeOf(await bench.ask(KMS_PATHS.beginCeremony, body, device))).to.equal("device_binding_mismatch");
        }
        const moved = await bench.refresh(party, key.keyId, next);
        expect(codeOf(await bench.sign({ ...party, agent: next }, moved))).to.equal("ok");
        expect(codeOf(await bench.sign(party, key))).to.equal("credential_invalid");
        expect(codeOf(await bench.sign(party, moved))).to.equal("proof_invalid");
      });

      it("several at once: exactly one credential is the current one, and it is one that was answered", async () => {
        const begun = [];
        for (let i = 0; i < 6; i += 1)
          begun.push(await bench.begin(party, { operation: "refresh", keyId: key.keyId } as never));
        const results = await Promise.all(
          begun.map((one) => {
            const webAuthnAssertion = bench.tap(party, one, { operation: "refresh", keyId: key.keyId, label: "" });
            const body = { keyId: key.keyId, ceremonyId: one.ceremonyId, webAuthnAssertion };
            return bench.ask(KMS_PATHS.refreshAgentCredential, body, party.agent);
          }),
        );
        expect(results.filter((one) => !one.ok).every((one) => codeOf(one) === "version_conflict")).to.equal(true);
        const answered = results.flatMap((one) => (one.ok ? [one.value as AgentCredentialAnswer] : []));
        const codes: string[] = [];
        for (const one of answered) codes.push(codeOf(await bench.sign(party, one)));
        expect(codes.filter((code) => code === "ok")).to.have.length(1);
        expect(codes.filter((code) => code !== "ok").every((code) => code === "credential_invalid")).to.equal(true);
        expect(epochOf()).to.equal(6);
      });
    });

    describe("revoke", () => {
      it("is for good, the same each time, from any device of the operator", async () => {
        const first = worked(await bench.use("revoke", party, key.keyId, party.master));
        expect(first).to.deep.equal({ success: true, revokedAt: bench.now });
        bench.now += 100;
        expect(worked(await bench.use("revoke", party, key.keyId))).to.deep.equal(first);
        expect(epochOf()).to.equal(1);
        expect(codeOf(await bench.sign(party, key))).to.equal("credential_invalid");
        const body = { operation: "refresh", humanKeyId: party.account, keyId: key.keyId };
        expect(codeOf(await bench.ask(KMS_PATHS.beginCeremony, body, party.agent))).to.equal("agent_key_not_found");
        expect(codeOf(await bench.sign(party, await bench.create(party))), "the next key").to.equal("ok");
      });

      it("wins over a refresh that was begun before it, and over one at the same moment", async () => {
        const begun = await bench.begin(party, { operation: "refresh", keyId: key.keyId } as never);
        const webAuthnAssertion = bench.tap(party, begun, { operation: "refresh", keyId: key.keyId, label: "" });
        const body = { keyId: key.keyId, ceremonyId: begun.ceremonyId, webAuthnAssertion };
        worked(await bench.use("revoke", party, key.keyId));
        expect(codeOf(await bench.ask(KMS_PATHS.refreshAgentCredential, body, party.agent))).to.equal(
          "agent_key_not_found",
        );

        for (let i = 0; i < 10; i += 1) {
          const one = await bench.create(party);
          const [refreshed, revoked] = await Promise.all([
            bench.use("refresh", party, one.keyId),
            bench.use("revoke", party, one.keyId),
          ]);
          expect(codeOf(revoked)).to.equal("ok");
          if (refreshed.ok) {
            const code = codeOf(await bench.sign(party, refreshed.value as AgentCredentialAnswer));
            expect(code).to.equal("credential_invalid");
          } else expect(["agent_key_not_found", "version_conflict"]).to.include(codeOf(refreshed));
          expect(bench.parts.state.agentKey(one.keyId)?.credentialHash).to.equal(undefined);
        }
      });

      it("is refused for another operator's key, and with the passkey of another", async () => {
        const thief = bench.party();
        const begun = await bench.begin(party, { operation: "revoke", keyId: key.keyId } as never);
        const change = { operation: "revoke", keyId: key.keyId, label: "", deviceKeyHash: ZERO32 } as const;
        for (const [who, device, code] of [
          [thief, thief.agent, "agent_key_not_found"],
          [{ ...party, authenticator: thief.authenticator }, party.agent, "payload_invalid"],
        ] as const) {
          const body = {
            keyId: key.keyId,
            ceremonyId: begun.ceremonyId,
            webAuthnAssertion: bench.tap(who, begun, change),
          };
          expect(codeOf(await bench.ask(KMS_PATHS.revokeAgentCredential, body, device))).to.equal(code);
        }
        expect(codeOf(await bench.sign(party, key))).to.equal("ok");
      });
    });

    describe("an assertion is refused, before anything changes, when it is", () => {
      const wishes: Readonly<Record<string, readonly [Partial<Ceremony>, AssertionWish]>> = {
        "with presence alone": [{}, { flags: FLAG.UP }],
        "with verification alone": [{}, { flags: FLAG.UV }],
        "made for another party": [{}, { rpId: "evil.example" }],
        "made at another origin": [{}, { origin: "https://evil.example" }],
        "a registration": [{}, { type: "webauthn.create" }],
        "by an unknown credential": [{}, { credentialId: Buffer.alloc(32, 1) }],
        "over another operation": [{ operation: "create" }, {}],
        "over another key": [{ keyId: "00000000-0000-8000-8000-000000000000:0" }, {}],
        "over another device": [{ deviceKeyHash: `0x${"11".repeat(32)}` }, {}],
        "over another signer": [{ signerOrigin: "https://other.example.org" }, {}],
        "cut short": [{}, { signature: (der) => der.subarray(0, -1) }],
      };
      for (const [name, [ceremony, wish]] of Object.entries(wishes)) {
        it(`${name}, to refresh and to revoke`, async () => {
          for (const operation of ["refresh", "revoke"] as const) {
            const begun = await bench.begin(party, { operation, keyId: key.keyId });
            const deviceKeyHash = operation === "refresh" ? party.agent.hash : ZERO32;
            const honest = { operation, keyId: key.keyId, label: "", deviceKeyHash } as const;
            const webAuthnAssertion = bench.tap(party, begun, { ...honest, ...ceremony }, wish);
            const path = operation === "refresh" ? KMS_PATHS.refreshAgentCredential : KMS_PATHS.revokeAgentCredential;
            const body = { keyId: key.keyId, ceremonyId: begun.ceremonyId, webAuthnAssertion };
            expect(codeOf(await bench.ask(path, body, party.agent)), operation).to.equal("payload_invalid");
            const again = { ...body, webAuthnAssertion: bench.tap(party, begun, honest) };
            expect(codeOf(await bench.ask(path, again, party.agent)), `${operation}, reused`).to.equal(
              "payload_invalid",
            );
          }
          expect(codeOf(await bench.sign(party, key))).to.equal("ok");
          expect(codeOf(await bench.sign(party, await bench.refresh(party, key.keyId)))).to.equal("ok");
          expect(codeOf(await bench.use("revoke", party, key.keyId))).to.equal("ok");
        });
      }
    });

    describe("what the state says is what holds", () => {
      it("after a restart of the vault: keys, epochs and revocations; open ceremonies are forgotten", async () => {
        const dir = folders.make();
        const clock = (): number => 1_800_000_000;
        const vault = await open(dir, clock);
        const [owner, make] = recordsOf(await vault.keys.operatorSeed(ZERO32, `0x${"11".repeat(20)}`));
        const first = await vault.state.create(owner, make);
        await vault.state.update(first.keyId, (now) => ({ ...now, epoch: 3, revokedAt: 5 }));
        await vault.close();
        const again = await open(dir, clock);
        expect(again.state.agentKey(first.keyId)).to.deep.equal({ ...first, epoch: 3, revokedAt: 5 });
        expect((await again.state.create(owner, make)).index).to.equal(1);
        await again.close();
      });

      it("changed by whoever could, it gives the right key or nothing: uuids swapped, index, epoch and hash lowered", async () => {
        const { state } = bench.parts;
        const real = state.agentKey.bind(state);
        const record = (of: AgentCredentialAnswer): AgentKeyRecord => {
          const found = real(of.keyId);
          if (found === undefined) throw new Error("no record");
          return found;
        };
        const lastWeek = record(key);
        const now = await bench.refresh(party, key.keyId);
        const [second, other] = [await bench.create(party), bench.party()];
        const theirs = await bench.create(other);
        const [mine, its, foreign] = [record(now), record(second), record(theirs)];
        const changes: Readonly<Record<string, readonly AgentKeyRecord[]>> = {
          "uuids swapped": [
            { ...foreign, keyId: mine.keyId },
            { ...mine, keyId: foreign.keyId },
          ],
          "indices swapped": [
            { ...mine, index: its.index },
            { ...its, index: mine.index },
          ],
          "index lowered": [{ ...its, index: mine.index }],
          "another operator": [{ ...mine, operatorOmni: foreign.operatorOmni }],
          "another account": [{ ...mine, account: foreign.account }],
          "another's address": [{ ...mine, agentAddress: foreign.agentAddress }],
          "another's key whole, with this one's credential": [
            { ...foreign, keyId: mine.keyId, credentialHash: mine.credentialHash ?? ZERO32 },
          ],
          "epoch lowered": [{ ...mine, epoch: lastWeek.epoch }],
          "last week's record": [lastWeek],
        };
        const holders = [key, now, second].map((one) => [party, one] as const);
        const outcomes = new Map<string, readonly string[]>();
        for (const [name, records] of Object.entries(changes)) {
          bench.monotone += 60_000;
          state.agentKey = (keyId) => records.find((one) => one.keyId === keyId) ?? real(keyId);
          const codes: string[] = [];
          for (const [owner, credential] of [...holders, [other, theirs] as const]) {
            const result = await bench.sign(owner, credential).catch(() => undefined);
            codes.push(result === undefined ? "threw" : codeOf(result));
            if (result?.ok !== true) continue;
            const { signature } = result.value as SignAgentAnswer;
            const hash = userOperationHash(bench.operation(owner), bench.settings.sessionRules.domain);
            const right = { account: owner.account, key: credential.agentAddress, bytes32: fromHex(hash) };
            expect(isAgentSignature(signature, right), name).to.equal(true);
          }
          outcomes.set(name, codes);
          state.agentKey = real;
        }
        // whoever could put last week's record back revives last week's credential, for the same key and its device
        expect(outcomes.get("last week's record")?.[0]).to.equal("ok");
        for (const name of ["uuids swapped", "indices swapped", "another's key whole, with this one's credential"]) {
          expect(outcomes.get(name)?.[1], name).to.not.equal("ok");
        }
        expect(codeOf(await bench.sign(party, now))).to.equal("ok");
      });

      it("another's address under a key's name is refused, never signed by another key", async () => {
        const { state } = bench.parts;
        const other = await bench.create(party);
        const real = state.agentKey.bind(state);
        const [mine, theirs] = [real(key.keyId), real(other.keyId)];
        if (mine === undefined || theirs === undefined) throw new Error("no records");
        state.agentKey = (keyId) => (keyId === key.keyId ? { ...mine, index: theirs.index } : real(keyId));
        const caught = await bench.sign(party, key).then(codeOf, () => "threw");
        expect(caught).to.equal("threw");
        state.agentKey = real;
        expect(codeOf(await bench.sign(party, key))).to.equal("ok");
      });

      it("a key that the state has lost is refused, whatever credential is brought", async () => {
        const { state } = bench.parts;
        const real = state.agentKey.bind(state);
        state.agentKey = () => undefined;
        expect(codeOf(await bench.sign(party, key))).to.equal("agent_key_not_found");
        state.agentKey = real;
        expect(codeOf(await bench.sign(party, key))).to.equal("ok");
      });
    });

    describe("token secrets", () => {
      // a rotation in a token is slow, and its keys are put to 10,000 issues by themselves (vault-keys.behavior.ts)
      const batches = backend === "pkcs11" ? 10 : 100;
      it(`of ${String(batches * 100)} issues beside rotations, each credential verifies under the kid that it names`, async () => {
        const { keys, state } = bench.parts;
        const record = state.agentKey(key.keyId);
        if (record === undefined) throw new Error("no record");
        const issue = async (): Promise<string> => {
          const wish = {
            record,
            walletId: "w",
            actorOmni: party.actor,
            issuer: "https://s",
            now: bench.now,
            lifeSeconds: 60,
          };
          return (await issueCredential(keys, wish)).text;
        };
        const turns = async (count: number): Promise<void> => {
          for (let i = 0; i < count; i += 1) await new Promise((done) => setImmediate(done));
        };
        const texts: string[] = [];
        for (let batch = 0; batch < batches; batch += 1) {
          // some before it, some while its file is written, some after it
          const rotation = turns(batch % 3).then(() => keys.rotateTokenSecret(bench.now, false));
          const issues = Array.from({ length: 100 }, (_, i) => turns(i % 7).then(issue));
          texts.push(...(await Promise.all(issues)));
          await rotation;
        }
        expect(texts).to.have.length(batches * 100);
        const kids = new Set<string>();
        for (const text of texts) {
          const parsed = parseAgentCredential(text);
          if (!parsed.ok) throw new Error(parsed.failure.detail);
          kids.add(parsed.value.kid);
          const isOurs = await agentCredentialIsOurs(parsed.value, (...input) => keys.macCredential(...input));
          expect(isOurs, parsed.value.kid).to.equal(true);
        }
        expect(kids.size).to.be.above(batches / 2);
      });

      // every credential signs at every step: in a token half as often
      const step = backend === "pkcs11" ? 12 : 6;
      it("ten days of daily rotation: nothing live dies early, nothing dead lives", async () => {
        const { keys, settings } = bench.parts;
        const secrets = new Map<string, { readonly retiredAt: number }>();
        const issued: { readonly key: AgentCredentialAnswer; readonly party: KmsParty; readonly kid: string }[] = [];
        const start = bench.now;
        const kidOf = (text: string): string => {
          const parsed = parseAgentCredential(text);
          return parsed.ok ? parsed.value.kid : "";
        };
        for (let hour = 0; hour <= 10 * 24; hour += step) {
          bench.now = start + hour * 3_600;
          bench.monotone += step * 3_600_000;
          const one = bench.party();
          const before = signing(keys.tokenSecrets())?.kid;
          const made = await bench.create(one);
          issued.push({ key: made, party: one, kid: kidOf(made.agentCredential) });
          const after = signing(keys.tokenSecrets());
          expect(bench.now - (after?.createdAt ?? 0), "age of what signs").to.be.below(DAY);
          if (before !== undefined && before !== after?.kid) secrets.set(before, { retiredAt: bench.now });
          for (const { key: old, party: owner } of issued) {
            const code = codeOf(await bench.sign(owner, old));
            expect(code, `${String(bench.now - start)} s`).to.equal(
              bench.now < old.expiresAt ? "ok" : "credential_invalid",
            );
          }
          // a secret is held exactly as long as something that it signed lives, and a week at most
          for (const held of keys.tokenSecrets()) {
            if (held.retiredAt === undefined) continue;
            expect(held.lastExpiry - held.retiredAt).to.be.at.most(LONGEST_OVERLAP);
            expect(issued.some(({ kid }) => kid === held.kid)).to.equal(true);
          }
        }
        expect(secrets.size).to.equal(10);
        expect(keys.tokenSecrets().length).to.be.at.most(2 + settings.credentialSeconds / DAY);
        const live = issued.filter(({ key: one }) => bench.now < one.expiresAt);
        expect(live.length).to.be.above(5);
        await keys.rotateTokenSecret(bench.now, true);
        for (const { key: one, party: owner } of live) {
          expect(codeOf(await bench.sign(owner, one)), "forced out").to.equal("credential_invalid");
        }
      });

      it("of 7 days at most: a credential of the longest life verifies to its last second after its secret retired", async () => {
        const long = await KmsBench.in(folders.make(), { credentialSeconds: 7 * DAY }, open);
        const one = long.party();
        const made = await long.create(one);
        await long.parts.keys.rotateTokenSecret(long.now, false);
        long.now = made.expiresAt - 1;
        expect(codeOf(await long.sign(one, made))).to.equal("ok");
        long.now += 1;
        expect(codeOf(await long.sign(one, made))).to.equal("credential_invalid");
        await long.close();
      });
    });

    it("leaves no credential, seed or key in the vault's folder in the clear, nor in any answer but its own", async () => {
      const signed = worked(await bench.sign(party, key));
      const seed = await bench.parts.keys.operatorSeed(party.omni, party.account);
      const secret = withAgentKey(seed, 0, (one) => Buffer.from(one.secret));
      const secrets = { seed, secret, credential: Buffer.from(key.agentCredential) };
      const { agentCredential, ...shown } = key;
      expect(secretsIn(Buffer.from(agentCredential), secrets)).to.deep.equal(["credential"]);
      expect(secretsIn(Buffer.from(JSON.stringify([shown, signed, bench.parts.state.all()])), secrets)).to.deep.equal(
        [],
      );
      for (const dir of bench.vault.disk) {
        expect(readdirSync(dir, { recursive: true })).to.have.length.above(3);
        expect(secretsUnder(dir, secrets)).to.deep.equal([]);
      }
    });

    type Make = Parameters<KmsBench["parts"]["state"]["create"]>;

    /** An owner and its records, as a creation makes them. */
    function recordsOf(seed: Buffer): Make {
      const account: Hex = `0x${"11".repeat(20)}`;
      return [
        { operatorOmni: ZERO32, account },
        (index) => ({
          keyId: `k:${String(index)}`,
          operatorOmni: ZERO32,
          account,
          index,
          label: "agent-a",
          deviceKeyHash: ZERO32,
          agentAddress: withAgentKey(seed, index, ({ address }) => address),
          epoch: 0,
          createdAt: 1,
        }),
      ];
    }
  });
});

import { expect } from "chai";

import { type AgentKeysClient, type AgentKeysOptions, agentKeysClient } from "../../../offchain/client/agent-keys";
import type { Authenticator } from "../../../offchain/client/authenticator";
import { deviceKey } from "../../../offchain/client/device-key-file";
import { problemDocument } from "../../../offchain/wire/problem";
import { type Hex, fromBase64url, fromHex, toBase64url, toHex } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { type AgentCredentialAnswer, KMS_PATHS } from "../../../offchain/wire/kms";
import type { Result } from "../../../offchain/wire/result";
import { ok, refuse } from "../../../offchain/wire/result";
import { readAgentSignature } from "../../../offchain/wire/agent-signature";
import { userOperationHash } from "../../../offchain/wire/user-operation";
import { makeAssertion } from "../../helpers/assertion";
import { KmsBench, type KmsParty, codeOf, worked } from "../../helpers/kms";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { testServer } from "../../helpers/upstream";

/** What the signer's place answers to a route, made of the honest answer. */
type Lie = (honest: Readonly<Record<string, unknown>>) => unknown;

describe("client: agent keys", function () {
  this.timeout(60_000);
  const folders = temporaryFolders();
  let server: Awaited<ReturnType<typeof testServer>>;
  let bench: KmsBench;
  let party: KmsParty;
  let client: AgentKeysClient;
  /** Challenges that an authenticator was handed, and what its owner saw. */
  let taps: { readonly challenge: Hex; readonly shown: readonly string[] }[] = [];
  let lies: Partial<Record<string, Lie>> = {};

  before(async () => {
    await keccakReady();
    server = await testServer();
    bench = await KmsBench.in(folders.make(), { origin: server.url });
    server.use((request, response, received) => {
      request.on("end", () => {
        void bench
          .answer(received.url, {
            body: Buffer.from(received.body, "latin1"),
            authorization: received.header("authorization")[0],
            proof: received.header("agentkeys-proof")[0],
          })
          .then((result) => {
            const lie = lies[received.url];
            if (!result.ok) {
              response.writeHead(400).end(JSON.stringify(problemDocument(result.failure, "test")));
              return;
            }
            const honest = result.value as Readonly<Record<string, unknown>>;
            response.writeHead(200).end(JSON.stringify(lie === undefined ? honest : lie(honest)));
          });
      });
    });
  });
  beforeEach(async () => {
    party = bench.party();
    taps = [];
    lies = {};
    bench.monotone += 60_000;
    client = await clientOf(party);
  });
  afterEach(() => client.close());
  after(async () => {
    await bench.close();
    await server.stop();
    folders.removeAll();
  });

  function clientOf(one: KmsParty, change: Partial<AgentKeysOptions> = {}): Promise<AgentKeysClient> {
    return agentKeysClient({
      device: deviceKey(one.agent.secret),
      operatorOmni: one.omni,
      account: one.account,
      domain: { chainId: 31337, registry: "0x5fbdb2315678afecb367f032d93f642f64180aa3" },
      signer: server.url,
      entryPoint: bench.settings.sessionRules.domain,
      now: () => bench.now,
      ...change,
    });
  }

  /** The owner's passkey, which remembers what it was asked. */
  function authenticator(one = party): Authenticator {
    const { credentialId, rpId, passkey } = one.authenticator;
    return {
      credential: { credentialId, rpId, x: passkey.x, y: passkey.y },
      isSoftware: true,
      getAssertion(challenge, shown) {
        taps.push({ challenge: toHex(challenge), shown });
        const made = makeAssertion(one.authenticator, challenge);
        const bytes = (text: string): Buffer => fromBase64url(text) ?? Buffer.alloc(0);
        const { authenticatorData, clientDataJSON, signature } = made;
        return Promise.resolve(
          ok({
            authenticatorData: bytes(authenticatorData),
            clientDataJSON: bytes(clientDataJSON),
            signature: bytes(signature),
          }),
        );
      },
    };
  }

  const create = async (): Promise<AgentCredentialAnswer> =>
    worked(await client.create(party.label, authenticator())) as AgentCredentialAnswer;

  it("creates, signs, refreshes and revokes, with one tap where one is needed", async () => {
    const key = await create();
    expect(taps).to.have.length(1);
    const signed = worked(await client.signOperation(key, bench.operation(party))) as { readonly signature: Hex };
    const read = readAgentSignature(signed.signature);
    expect([read?.account, read?.key]).to.deep.equal([party.account, key.agentAddress]);
    expect(codeOf(await client.signPayload(key, toHex(Buffer.alloc(32, 7))))).to.equal("ok");
    expect(taps, "signing needs no passkey").to.have.length(1);
    const next = worked(await client.refresh(key, authenticator())) as AgentCredentialAnswer;
    expect([next.keyId, next.agentAddress]).to.deep.equal([key.keyId, key.agentAddress]);
    expect(codeOf(await client.signOperation(key, bench.operation(party)))).to.equal("credential_invalid");
    expect(codeOf(await client.signOperation(next, bench.operation(party)))).to.equal("ok");
    expect(codeOf(await client.revoke(key.keyId, authenticator()))).to.equal("ok");
    expect(codeOf(await client.signOperation(next, bench.operation(party)))).to.equal("credential_invalid");
    expect(taps).to.have.length(3);
  });

  it("shows what it computed the challenge of", async () => {
    const key = await create();
    await client.refresh(key, authenticator());
    await client.revoke(key.keyId, authenticator());
    const shown = taps.map((one) => one.shown.join("\n"));
    for (const text of shown) expect(text).to.contain(party.account).and.to.contain(server.url);
    expect(shown[0]).to.contain(`"${party.label}"`).and.to.contain(party.agent.hash);
    expect(shown[1]).to.contain(key.keyId).and.to.contain(party.agent.hash);
    expect(shown[2]).to.contain(key.keyId);
    expect(new Set(shown).size).to.equal(3);
  });

  describe("a hostile signer gets no assertion (drill D18)", () => {
    const operationHash = (): Hex => userOperationHash(bench.operation(party), bench.settings.sessionRules.domain);
    const challenges: Readonly<Record<string, () => object>> = {
      "that sends the hash of a user operation as challenge": () => ({
        challenge: toBase64url(fromHex(operationHash())),
      }),
      "that sends the right challenge, as if it had to": () => ({ challenge: "A".repeat(43) }),
      "that hides a challenge in options for the browser": () => ({ publicKey: { challenge: operationHash() } }),
      "that spells it otherwise": () => ({ Challenge: operationHash() }),
    };
    for (const [name, members] of Object.entries(challenges)) {
      it(name, async () => {
        lies[KMS_PATHS.beginCeremony] = (honest) => ({ ...honest, ...members() });
        expect(codeOf(await client.create(party.label, authenticator()))).to.equal("request_malformed");
        expect(taps).to.deep.equal([]);
        lies = {};
        await create();
        expect(taps).to.have.length(1);
      });
    }

    it("that sends the hash of a user operation as nonce gets a signature over something else", async () => {
      const hash = operationHash();
      lies[KMS_PATHS.beginCeremony] = (honest) => ({ ...honest, nonce: hash });
      expect(codeOf(await client.create(party.label, authenticator()))).to.equal("payload_invalid");
      expect(taps).to.have.length(1);
      expect(taps[0]?.challenge).not.to.equal(hash);
    });

    const others: Readonly<Record<string, (now: number) => object>> = {
      "for the passkeys of another party": () => ({ rpId: "evil.example" }),
      "without a nonce": () => ({ nonce: undefined }),
      "with a nonce of another length": () => ({ nonce: `0x${"00".repeat(31)}` }),
      "without an id": () => ({ ceremonyId: undefined }),
      "without an end": () => ({ expiresAt: undefined }),
      "without an end that comes soon": (now) => ({ expiresAt: now + 3_600 }),
      "that ended": (now) => ({ expiresAt: now - 120 }),
    };
    for (const [name, members] of Object.entries(others)) {
      it(`that begins one ${name}`, async () => {
        lies[KMS_PATHS.beginCeremony] = (honest) => ({ ...honest, ...members(bench.now) });
        expect(codeOf(await client.create(party.label, authenticator()))).to.equal("request_malformed");
        expect(taps).to.deep.equal([]);
      });
    }

    it("that has another label in mind cannot use what was tapped", async () => {
      const other = bench.party("agent-b", party.account);
      const begun = await bench.begin({ ...other, agent: other.agent }, {});
      lies[KMS_PATHS.beginCeremony] = () => begun;
      expect(codeOf(await client.create(party.label, authenticator()))).to.equal("payload_invalid");
      const body = {
        ceremonyId: begun.ceremonyId,
        humanKeyId: other.account,
        label: other.label,
        webAuthnAssertion: makeAssertion(party.authenticator, fromHex(taps[0]?.challenge ?? "0x")),
      };
      expect(codeOf(await bench.ask(KMS_PATHS.createAgentKey, body, other.agent))).to.equal("payload_invalid");
    });
  });

  describe("answers that are not what was asked for are refused", () => {
    const wrong: Readonly<Record<string, Lie>> = {
      "no answer": () => ({}),
      "no object": () => [],
      "another key's id": (honest) => ({ ...honest, keyId: String(honest["keyId"]).replace(/:0$/, ":1") }),
      "another address": (honest) => ({ ...honest, agentAddress: `0x${"11".repeat(20)}` }),
      "another end": (honest) => ({ ...honest, expiresAt: 1 }),
      "no credential": (honest) => ({ ...honest, agentCredential: "a.b.c" }),
    };
    for (const [name, lie] of Object.entries(wrong)) {
      it(`to create: ${name}`, async () => {
        lies[KMS_PATHS.createAgentKey] = lie;
        expect(codeOf(await client.create(party.label, authenticator()))).to.equal("internal_error");
      });
    }

    it("to create: the credential of another device", async () => {
      const other = bench.party();
      const theirs = await bench.create(other);
      lies[KMS_PATHS.createAgentKey] = () => theirs;
      expect(codeOf(await client.create(party.label, authenticator()))).to.equal("internal_error");
    });

    it("to refresh: another key of this device", async () => {
      const [first, second] = [await create(), await create()];
      const answer = worked(await client.refresh(second, authenticator()));
      lies[KMS_PATHS.refreshAgentCredential] = () => answer;
      expect(codeOf(await client.refresh(first, authenticator()))).to.equal("internal_error");
    });

    it("to revoke: no success", async () => {
      const key = await create();
      for (const lie of [{ success: false, revokedAt: 1 }, { success: true }, { success: "true", revokedAt: 1 }]) {
        lies[KMS_PATHS.revokeAgentCredential] = () => lie;
        expect(codeOf(await client.revoke(key.keyId, authenticator()))).to.equal("internal_error");
      }
    });

    it("to sign: another's signature, one over another operation, for another account, or cut", async () => {
      const key = await create();
      const other = await create();
      const operation = bench.operation(party);
      const sign = (): Promise<Result<unknown>> => client.signOperation(key, operation);
      const elsewhere = worked(await client.signOperation(key, bench.operation(party, { preVerificationGas: 1n })));
      const others = worked(await client.signOperation(other, operation));
      const signatureOf = (value: unknown): string => (value as { signature: string }).signature;
      for (const lie of [
        () => ({ signature: signatureOf(elsewhere) }),
        () => ({ signature: signatureOf(others) }),
        () => ({ agentAddress: other.agentAddress, signature: signatureOf(others) }),
        () => ({ keyId: other.keyId }),
        (honest: string) => ({ signature: honest.slice(0, -2) }),
        (honest: string) => ({ signature: `0x00${honest.slice(4)}` }),
        (honest: string) => ({ signature: `0x08${"22".repeat(20)}${honest.slice(44)}` }),
        () => ({ signature: undefined }),
      ]) {
        lies[KMS_PATHS.signAgent] = (honest) => ({ ...honest, ...lie(signatureOf(honest)) });
        expect(codeOf(await sign())).to.equal("internal_error");
      }
      lies = {};
      expect(codeOf(await sign())).to.equal("ok");
    });
  });

  it("hands refusals on as values: those of the signer, and of the authenticator", async () => {
    bench.facts.set(party.agent.hash, { deviceNotRevoked: false });
    expect(codeOf(await client.create(party.label, authenticator()))).to.equal("device_revoked");
    bench.facts.delete(party.agent.hash);
    const declined = { ...authenticator(), getAssertion: () => Promise.resolve(refuse("caller_not_allowed", "no")) };
    expect(codeOf(await client.create(party.label, declined))).to.equal("caller_not_allowed");
    const gone = await clientOf(party, { signer: "http://127.0.0.1:1" });
    expect(codeOf(await gone.create(party.label, authenticator()))).to.equal("upstream_unavailable");
    await gone.close();
  });

  it("speaks to an origin only", async () => {
    const caught = await clientOf(party, { signer: "http://signer.example.org" }).then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(caught).to.be.instanceOf(RangeError);
  });
});

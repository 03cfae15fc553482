import { copyFileSync, mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import type { AgentKeysClient } from "../../../../offchain/client/agent-keys";
import { encodeExecute } from "../../../../offchain/client/account-calls";
import { changeContents, openContents } from "../../../../offchain/signer/vault/sealed-file";
import { withAgentKey } from "../../../../offchain/signer/vault/kms/agent-key";
import { operatorSeed } from "../../../../offchain/signer/vault/keys/agent-seed";
import type { Hex } from "../../../../offchain/wire/bytes";
import { type AgentCredentialAnswer, KMS_PATHS } from "../../../../offchain/wire/kms";
import { problemDocument } from "../../../../offchain/wire/problem";
import type { Result } from "../../../../offchain/wire/result";
import { Secret } from "../../../../offchain/wire/secret";
import type { PackedUserOperation } from "../../../../offchain/wire/user-operation";
import type { World } from "../../../drills/world";
import { post } from "../../../helpers/http";
import { codeOf, worked } from "../../../helpers/kms";
import { type PasskeyParty, passkeyParty } from "../../../helpers/passkey-party";
import { runScript } from "../../../helpers/program";
import { secretsIn, secretsUnder } from "../../../helpers/secret-forms";
import { sharedWorld } from "../../../helpers/shared-world";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { testServer } from "../../../helpers/upstream";
import { type VaultPipe, pipeFrame, startVault } from "../../../helpers/vault";
import { makeProof, nonce } from "../../../helpers/words";

const VALIDATOR: Hex = `0x${"5e".repeat(20)}`;

/**
 * The vault as a process of its own, real keys, real state, a real chain with a real account; in the place of its front
 * a server that lets everything through and checks nothing.
 */
describe("vault process: agent keys behind a front that lets everything through", function () {
  this.timeout(180_000);
  const folders = temporaryFolders();
  let world: World;
  let front: Awaited<ReturnType<typeof testServer>>;
  let vault: VaultPipe;
  let party: PasskeyParty;
  let client: AgentKeysClient;
  let stateDir: string;
  const logs: Buffer[] = [];
  const answers: Buffer[] = [];
  /** What the processes said up to their end. */
  const retire = (one: VaultPipe): void => {
    logs.push(one.said.logs());
    answers.push(one.said.answers());
  };

  before(async () => {
    world = await sharedWorld();
    front = await testServer();
    stateDir = join(folders.make(), "vault");
    mkdirSync(stateDir, { mode: 0o700 });
    // its own copy, which never had a state: one belongs to the keys beside which it was written
    for (const name of ["vault.sealed", "vault.sealed.seq"]) {
      copyFileSync(join(world.stack.dir, "vault", name), join(stateDir, name));
    }
    changeContents(
      join(stateDir, "vault.sealed"),
      passphrase(),
      ({ epochs, agentSeed, stateKey, tokenSecrets, signing }) => ({
        epochs,
        agentSeed,
        stateKey,
        tokenSecrets,
        signing,
      }),
    );
    vault = await start();
    let next = 1;
    front.use((request, response, received) => {
      request.on("end", () => {
        const id = (next += 1);
        const [authorization] = received.header("authorization");
        const [proof] = received.header("agentkeys-proof");
        const body = Buffer.from(received.body, "latin1").toString("base64");
        const headers = { authorization, proof };
        vault.write(pipeFrame({ id, route: `POST ${received.url}`, caller: "public", body, headers }));
        vault.answer(id).then(
          (result) => {
            if (result.ok) response.writeHead(200).end(JSON.stringify(result.value));
            else response.writeHead(400).end(JSON.stringify(problemDocument(result.failure, "test")));
          },
          () => response.destroy(),
        );
      });
    });
    party = await passkeyParty(world.stack);
    await world.nextBlock();
    client = await party.client({ signer: front.url });
  });

  after(async () => {
    await client.close();
    await vault.stop();
    await front.stop();
    party.operator.close();
    folders.removeAll();
  });

  function passphrase(): Secret<Buffer> {
    return new Secret(readFileSync(join(world.stack.dir, "vault", "passphrase")));
  }

  function start(): Promise<VaultPipe> {
    const { entryPoint, deployment } = world.stack;
    return startVault(world.stack, stateDir, {
      env: {
        VAULT_FILE: join(stateDir, "vault.sealed"),
        VAULT_PUBLIC_ORIGIN: front.url,
        VAULT_SESSION_VALIDATOR: VALIDATOR,
        VAULT_ENTRY_POINT: entryPoint,
        VAULT_ENTRY_POINT_VERSION: deployment.entryPointVersion,
      },
    });
  }

  const create = async (): Promise<AgentCredentialAnswer> =>
    worked(await client.create(party.label, party.authenticator)) as AgentCredentialAnswer;
  const refresh = async (key: AgentCredentialAnswer): Promise<AgentCredentialAnswer> =>
    worked(await client.refresh(key, party.authenticator)) as AgentCredentialAnswer;
  const sign = (key: AgentCredentialAnswer): Promise<Result<unknown>> => client.signOperation(key, operation());
  const admin = async (...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> => {
    const outcome = await runScript("agentkeys-admin", [...args, "--state-dir", stateDir, "--json"]);
    expect(outcome.code, outcome.stdout + outcome.stderr).to.equal(0);
    return outcome.json();
  };

  function operation(): PackedUserOperation {
    return {
      sender: party.account,
      nonce: (BigInt(VALIDATOR) << 64n) + BigInt(nonce().slice(0, 10)),
      initCode: "0x",
      callData: encodeExecute([{ to: `0x${"77".repeat(20)}`, value: 0n, data: "0x12345678" }]),
      accountGasLimits: `0x${"00000000000000000000000000010000".repeat(2)}`,
      preVerificationGas: 50_000n,
      gasFees: `0x${"00000000000000000000000000000001".repeat(2)}`,
      paymasterAndData: "0x",
      signature: "0x",
    };
  }

  it("signs for the device with its credential, and payloads where the chain has the grant", async () => {
    const key = await create();
    expect(codeOf(await sign(key))).to.equal("ok");
    expect(codeOf(await client.signPayload(key, nonce()))).to.equal("ok");
    worked(
      await party.operator.grantScope(party.label, [
        { dataClass: "config", service: "kms.payload", ops: ["store"], validUntil: 2 ** 40 - 1 },
      ]),
    );
    await world.nextBlock();
    expect(codeOf(await client.signPayload(key, nonce()))).to.equal("service_not_in_scope");
    expect(codeOf(await sign(key))).to.equal("ok");
  });

  it("refuses superseded, revoked and forced-out credentials by itself; retired secrets live on", async () => {
    const first = await create();
    const second = await refresh(first);
    expect(codeOf(await sign(first)), "superseded").to.equal("credential_invalid");
    await admin("rotate-credential-secret");
    expect(codeOf(await sign(second)), "of a retired secret").to.equal("ok");
    await admin("rotate-credential-secret", "--force");
    expect(codeOf(await sign(second)), "forced out").to.equal("credential_invalid");
    const third = await refresh(second);
    expect(codeOf(await sign(third))).to.equal("ok");
    worked(await client.revoke(third.keyId, party.authenticator));
    expect(codeOf(await sign(third)), "revoked").to.equal("credential_invalid");
    const fourth = await create();
    await admin("revoke-agent-key", fourth.keyId);
    expect(codeOf(await sign(fourth)), "revoked by the admin").to.equal("credential_invalid");
  });

  it("keeps keys, epochs and revocations over kill -9; open ceremonies are forgotten", async () => {
    const [kept, refreshed, revoked] = [await create(), await create(), await create()];
    const next = await refresh(refreshed);
    worked(await client.revoke(revoked.keyId, party.authenticator));
    const text = JSON.stringify({ operation: "create", humanKeyId: party.account, label: party.label });
    const target = front.url + KMS_PATHS.beginCeremony;
    const proof = makeProof(world.separator, party.agent, { target, body: text }).header;
    const begun = await post(target, text, { "agentkeys-proof": proof });
    expect(begun.status).to.equal(200);
    vault.child.kill("SIGKILL");
    await vault.gone;
    retire(vault);
    vault = await start();
    expect(codeOf(await sign(kept))).to.equal("ok");
    expect(codeOf(await sign(next))).to.equal("ok");
    expect(codeOf(await sign(refreshed))).to.equal("credential_invalid");
    expect(codeOf(await sign(revoked))).to.equal("credential_invalid");
    const other = await create();
    const indices = [kept, refreshed, revoked, other].map(({ keyId }) => Number(keyId.split(":")[1]));
    expect(new Set(indices).size).to.equal(4);
    expect(Math.max(...indices)).to.equal(indices[3]);
    const listed = (await admin("list-agent-keys"))["keys"] as readonly { readonly keyId: string }[];
    expect(listed.map(({ keyId }) => keyId)).to.include.members([kept.keyId, revoked.keyId, other.keyId]);
  });

  it("refuses a device that was revoked, in the next block", async () => {
    const own = await passkeyParty(world.stack);
    await world.nextBlock();
    const theirs = await own.client({ signer: front.url });
    const key = worked(await theirs.create(own.label, own.authenticator)) as AgentCredentialAnswer;
    expect(codeOf(await theirs.signPayload(key, nonce()))).to.equal("ok");
    worked(await own.operator.revokeDevice(own.agent.hash));
    await world.nextBlock();
    expect(codeOf(await theirs.signPayload(key, nonce()))).to.equal("device_revoked");
    expect(codeOf(await theirs.refresh(key, own.authenticator))).to.equal("device_revoked");
    await theirs.close();
    own.operator.close();
  });

  it("says nothing secret: seeds, keys, token secrets and credentials are in no log, answer or file but their own", async () => {
    const key = await create();
    retire(vault);
    const contents = openContents(join(stateDir, "vault.sealed"), passphrase());
    if (contents === undefined) throw new Error("no contents");
    const seed = contents.agentSeed.reveal();
    const own = operatorSeed(seed, party.omni, party.account);
    const secrets: Record<string, Uint8Array> = {
      agentSeed: seed,
      operatorSeed: own,
      agentKey: withAgentKey(own, 0, ({ secret }) => Buffer.from(secret)),
      stateKey: contents.stateKey.reveal(),
    };
    for (const [epoch, k3] of contents.epochs) secrets[`k3 ${String(epoch)}`] = k3.reveal();
    for (const { kid, key: token } of contents.tokenSecrets) secrets[`token ${kid}`] = token.reveal();
    const credential = { credential: Buffer.from(key.agentCredential) };
    expect(secretsIn(Buffer.concat(answers), credential), "shown once, to its device").to.deep.equal(["credential"]);
    expect(secretsIn(Buffer.concat(answers), secrets)).to.deep.equal([]);
    expect(secretsIn(Buffer.concat(logs), { ...secrets, ...credential })).to.deep.equal([]);
    expect(Buffer.concat(logs).length).to.be.above(100);
    expect(secretsUnder(stateDir, { ...secrets, ...credential })).to.deep.equal([]);
  });
});

import { readFileSync, readdirSync, renameSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import type { AgentKeysClient } from "../../../../offchain/client/agent-keys";
import { encodeExecute } from "../../../../offchain/client/account-calls";
import { operatorSeed } from "../../../../offchain/signer/vault/keys/agent-seed";
import { type SealedSource, createFromSeeds, readSeeds } from "../../../../offchain/signer/vault/keys/hand-over";
import { withAgentKey } from "../../../../offchain/signer/vault/kms/agent-key";
import type { Hex } from "../../../../offchain/wire/bytes";
import { type AgentCredentialAnswer, KMS_PATHS } from "../../../../offchain/wire/kms";
import { problemDocument } from "../../../../offchain/wire/problem";
import type { Result } from "../../../../offchain/wire/result";
import { Secret } from "../../../../offchain/wire/secret";
import { SERVICE_ROUTES } from "../../../../offchain/wire/service-routes";
import type { PackedUserOperation } from "../../../../offchain/wire/user-operation";
import type { World } from "../../../drills/world";
import { type EpochVault, forEachProcessBackEnd } from "../../../helpers/epoch-vaults";
import { post } from "../../../helpers/http";
import { codeOf, worked } from "../../../helpers/kms";
import { type PasskeyParty, passkeyParty } from "../../../helpers/passkey-party";
import { runScript } from "../../../helpers/program";
import { secretsIn, secretsUnder } from "../../../helpers/secret-forms";
import { sharedWorld } from "../../../helpers/shared-world";
import { PIN } from "../../../helpers/softhsm";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { testServer } from "../../../helpers/upstream";
import { type VaultPipe, dataKeysWords, pipeFrame } from "../../../helpers/vault";
import { sealedSecrets } from "../../../helpers/vault-thief";
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
  /** The stack's keys, which never had a state: one belongs to the keys beside which it was written. */
  let source: SealedSource;

  before(async () => {
    world = await sharedWorld();
    const passphrase = new Secret(readFileSync(join(world.stack.dir, "vault", "passphrase")));
    const own = { file: join(world.stack.dir, "vault", "vault.sealed"), unlock: passphrase };
    source = { file: join(folders.make(), "vault.sealed"), unlock: passphrase };
    const { epochs, agentSeed, stateKey } = await readSeeds(own);
    await createFromSeeds(source, { epochs, agentSeed, stateKey });
  });

  after(() => {
    folders.removeAll();
  });

  forEachProcessBackEnd((backEnd) => {
    let front: Awaited<ReturnType<typeof testServer>>;
    let place: EpochVault;
    let cores: string;
    let vault: VaultPipe;
    let party: PasskeyParty;
    let client: AgentKeysClient;
    const logs: Buffer[] = [];
    const answers: Buffer[] = [];
    /** What the processes said up to their end. */
    const retire = (one: VaultPipe): void => {
      logs.push(one.said.logs());
      answers.push(one.said.answers());
    };

    before(async () => {
      front = await testServer();
      cores = folders.make();
      place = await backEnd().make(world.stack, source, folders.make());
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
    });

    function start(): Promise<VaultPipe> {
      const { entryPoint, deployment } = world.stack;
      return place.start({
        coresIn: cores,
        env: {
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
      const outcome = await runScript("agentkeys-admin", [...args, "--state-dir", place.stateDir, "--json"]);
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

    describe("says nothing secret", () => {
      /** What the front may add to any body, as the services of other times took it. */
      const FLAGS = {
        ...{ debug: true, trace: true, verbose: true, dump: true, dry_run: true, raw: true, export: true },
        ...{ includeSeed: true, include_secret: true, return_key: true, privateKey: true, mnemonic: true, k3: true },
      };
      const ROUTES: readonly (readonly [route: string, caller: string])[] = [
        ...SERVICE_ROUTES.map(({ method, path, callers: [first = ""] }) => [`${method} ${path}`, first] as const),
        ...Object.values(KMS_PATHS).map((path) => [`POST ${path}`, "public"] as const),
        ...["GET /.well-known/openid-configuration", "GET /.well-known/jwks.json", "GET /readyz"].map(
          (route) => [route, "front"] as const,
        ),
      ];
      let key: AgentCredentialAnswer;

      /** Everything of these keys that can be known outside: of a token only what it was made from, and its PIN. */
      function secretsNow(): Record<string, Uint8Array> {
        const { file, unlock } = place.sealed;
        const sealed = sealedSecrets(file, unlock);
        const own = operatorSeed(Buffer.from(sealed["agent seed"] ?? []), party.omni, party.account);
        const secrets = { ...sealed, "operator's seed": own, passphrase: unlock.reveal(), PIN: Buffer.from(PIN) };
        const agentKeys = Array.from({ length: Number(key.keyId.split(":")[1]) + 1 }, (_, index) => [
          `agent key ${String(index)}`,
          withAgentKey(own, index, ({ secret }) => Buffer.from(secret)),
        ]);
        return { ...secrets, ...(Object.fromEntries(agentKeys) as Record<string, Uint8Array>) };
      }

      before(async () => {
        key = await create();
      });

      it("whatever route is asked, with whatever flag, by whomever", async () => {
        const other = await world.newParty();
        let honest: Readonly<Record<string, unknown>> = {};
        await world.as(other, async () => {
          await world.store("sk-of-the-session");
          honest = dataKeysWords(world, world.agentDevice, "fetch", (await world.mint("fetch")).cap);
        });
        const bodies = [{}, honest, { keyId: key.keyId, humanKeyId: party.account, label: party.label }];
        const headers = { authorization: `AgentKeys ${key.agentCredential}` };
        const first = 50_000;
        const frames = ROUTES.flatMap(([route, caller]) =>
          [...bodies, ...bodies.map((one) => ({ ...one, ...FLAGS }))].flatMap((one) => {
            const body = Buffer.from(JSON.stringify(one)).toString("base64");
            return [route, `${route}?debug=1&dump=all`].map((name) => ({
              route: name,
              caller,
              body,
              headers,
              ...FLAGS,
            }));
          }),
        );
        frames.forEach((frame, i) => {
          vault.write(pipeFrame({ ...frame, id: first + i }));
        });
        await Promise.all(frames.map((_, i) => vault.answer(first + i)));
        for (const command of ["credential-secret-status", "list-agent-keys"]) await admin(command);
        const refused = await runScript("agentkeys-admin", [
          "--debug",
          "export",
          "--state-dir",
          place.stateDir,
          "--json",
        ]);
        expect(refused.code).to.equal(2);
        logs.push(Buffer.from(refused.stdout + refused.stderr));
      });

      it("when its store fails under it, and when it is killed by a crash: no core file", async () => {
        const [there, away] = [join(place.stateDir, "agent-keys"), join(place.stateDir, "gone")];
        renameSync(there, away);
        expect(codeOf(await client.refresh(key, party.authenticator))).to.equal("storage_unavailable");
        renameSync(away, there);
        vault.child.kill("SIGSEGV");
        await vault.gone;
        expect(vault.child.signalCode).to.equal("SIGSEGV");
        expect(readdirSync(cores)).to.deep.equal([]);
        retire(vault);
      });

      it("so seeds, keys, token secrets and credentials are in no log, error, answer or file but their own", () => {
        const secrets = secretsNow();
        const credential = { credential: Buffer.from(key.agentCredential) };
        const [said, logged] = [Buffer.concat(answers), Buffer.concat(logs)];
        expect(secretsIn(said, credential), "shown once, to its device").to.deep.equal(["credential"]);
        expect(secretsIn(said, secrets)).to.deep.equal([]);
        expect(secretsIn(logged, { ...secrets, ...credential })).to.deep.equal([]);
        expect(logged.length).to.be.above(100);
        expect(secretsUnder(place.stateDir, { ...secrets, ...credential })).to.deep.equal([]);
      });
    });
  });
});

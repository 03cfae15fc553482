import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { readSeeds } from "../../../../offchain/signer/vault/keys/hand-over";
import { objectKey } from "../../../../offchain/signer/vault/k3";
import { unwrapKey } from "../../../../offchain/signer/vault/key-wrap";
import { fromBase64url } from "../../../../offchain/wire/bytes";
import type { AgentCredentialAnswer } from "../../../../offchain/wire/kms";
import { parseObject } from "../../../../offchain/wire/object";
import { Secret } from "../../../../offchain/wire/secret";
import { type Stack, startStack } from "../../../../scripts/lib/stack";
import { K3EpochCounter__factory } from "../../../../typechain-types";
import { World } from "../../../drills/world";
import { secretsUnder } from "../../../helpers/secret-forms";
import { codeOf, worked } from "../../../helpers/kms";
import { passkeyParty } from "../../../helpers/passkey-party";
import { PIN, type SoftHsm, noSoftHsm, softHsm } from "../../../helpers/softhsm";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { nonce } from "../../../helpers/words";

const missing = noSoftHsm();

if (missing !== undefined) {
  describe("signer: a whole stack whose vault keeps its keys in a token", () => {
    it(`needs SoftHSM2: ${missing}`);
  });
} else suite();

function suite(): void {
  describe("signer: a whole stack whose vault keeps its keys in a token", function () {
    this.timeout(180_000);
    const folders = temporaryFolders();
    const credential = "sk-canary-kept-by-a-token";
    let hsm: SoftHsm;
    let stack: Stack;
    let world: World;

    before(async () => {
      hsm = softHsm();
      const token = { ...hsm.newToken("agentkeys"), environment: `SOFTHSM2_CONF=${hsm.conf}` };
      stack = await startStack({ dir: folders.make(), token, logLevel: "debug" });
      world = await World.over(stack);
    });

    after(async () => {
      await world.close();
      await stack.stop();
      hsm.remove();
      folders.removeAll();
    });

    /** The backup, opened with its own passphrase. */
    const backup = (): ReturnType<typeof readSeeds> =>
      readSeeds({
        file: join(stack.dir, "backup", "vault.sealed"),
        unlock: new Secret(readFileSync(join(stack.dir, "backup", "passphrase"))),
      });

    it("stores and fetches; the object opens by the backup's K3 too", async () => {
      await world.store(credential);
      expect((await world.fetch()).secret).to.equal(credential);
      const object = parseObject(readFileSync(world.objectFile()));
      const k3 = (await backup()).epochs.get(1)?.reveal();
      if (object === undefined || k3 === undefined) throw new Error("no object, or no key for it");
      const wrapped = fromBase64url(object.encryptedKey) ?? Buffer.of();
      expect(unwrapKey(objectKey(k3, object.header.name), wrapped)).to.have.length(64);
    });

    it("turns the epoch while it runs: old objects open, a rotation writes the new one", async () => {
      await world.passTime(3_601);
      const commitment = await stack.prepareEpoch();
      const counter = K3EpochCounter__factory.connect(stack.contracts.K3EpochCounter, world.developer);
      await (await counter.advanceEpoch(commitment)).wait();
      await world.nextBlock();
      world.epoch = 2;
      expect((await world.fetch()).secret).to.equal(credential);
      const { cap } = await world.mint("rotate");
      expect((await world.redeem(world.agentDevice, "rotate", cap)).status).to.equal(200);
      expect(parseObject(readFileSync(world.objectFile()))?.header.epoch).to.equal(2);
      expect((await world.fetch()).secret).to.equal(credential);
    });

    it("killed and started again, it serves from the token, and agent keys are the same", async () => {
      const party = await passkeyParty(stack);
      await world.nextBlock();
      const client = await party.client();
      const create = async (): Promise<AgentCredentialAnswer> =>
        worked(await client.create(party.label, party.authenticator)) as AgentCredentialAnswer;
      const key = await create();
      await stack.restart("signer", "SIGKILL");
      for (;;) {
        // the vault's start fence, which the worker's readiness does not wait for
        const again = await world.fetch();
        if (again.secret === credential) break;
        expect(again.answer.code).to.be.oneOf(["proof_invalid", "signer_unavailable"]);
        await new Promise((done) => setTimeout(done, 200));
      }
      expect(codeOf(await client.signPayload(key, nonce()))).to.equal("ok");
      expect((await create()).keyId).to.equal(key.keyId.replace(/:0$/, ":1"));
      await client.close();
      party.operator.close();
    });

    it("no K3, seed, state key or PIN lies anywhere but in the backup's own folder and the PIN's own file", async () => {
      const { epochs, agentSeed, stateKey } = await backup();
      expect([...epochs.keys()]).to.deep.equal([1, 2]);
      const k3s = Object.fromEntries([...epochs].map(([epoch, k3]) => [`K3 of epoch ${String(epoch)}`, k3.reveal()]));
      const secrets = { ...k3s, agentSeed: agentSeed.reveal(), stateKey: stateKey.reveal(), PIN: Buffer.from(PIN) };
      const pinFile = join(stack.dir, "vault", "pin");
      expect(secretsUnder(stack.dir, secrets)).to.deep.equal([`${pinFile}: PIN`]);
      expect(secretsUnder(hsm.dir, secrets)).to.deep.equal([]);
    });
  });
}

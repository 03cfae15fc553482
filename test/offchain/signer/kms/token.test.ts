import { join } from "node:path";

import { expect } from "chai";

import type { AgentKeysClient } from "../../../../offchain/client/agent-keys";
import type { AgentCredentialAnswer } from "../../../../offchain/wire/kms";
import { type Stack, startStack } from "../../../../scripts/lib/stack";
import { World } from "../../../drills/world";
import { codeOf, worked } from "../../../helpers/kms";
import { type PasskeyParty, passkeyParty } from "../../../helpers/passkey-party";
import { runScript } from "../../../helpers/program";
import { noSoftHsm, softHsm } from "../../../helpers/softhsm";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { nonce } from "../../../helpers/words";

const missing = noSoftHsm();

if (missing !== undefined) {
  describe("signer: agent keys whose seed and token secrets a token keeps", () => {
    it(`needs SoftHSM2: ${missing}`);
  });
} else suite();

function suite(): void {
  describe("signer: agent keys whose seed and token secrets a token keeps", function () {
    this.timeout(180_000);
    const folders = temporaryFolders();
    const hsm = softHsm();
    let stack: Stack;
    let world: World;
    let party: PasskeyParty;
    let client: AgentKeysClient;

    before(async () => {
      const token = { ...hsm.newToken("agentkeys"), environment: `SOFTHSM2_CONF=${hsm.conf}` };
      stack = await startStack({ dir: folders.make(), token, logLevel: "warn" });
      world = await World.over(stack);
      party = await passkeyParty(stack);
      await world.nextBlock();
      client = await party.client();
    });

    after(async () => {
      await client.close();
      party.operator.close();
      await world.close();
      await stack.stop();
      hsm.remove();
      folders.removeAll();
    });

    const create = async (): Promise<AgentCredentialAnswer> =>
      worked(await client.create(party.label, party.authenticator)) as AgentCredentialAnswer;
    const sign = async (key: AgentCredentialAnswer): Promise<string> => codeOf(await client.signPayload(key, nonce()));
    const rotate = async (...args: readonly string[]): Promise<void> => {
      const place = ["--state-dir", join(stack.dir, "vault"), "--json"];
      const outcome = await runScript("agentkeys-admin", ["rotate-credential-secret", ...args, ...place]);
      expect(outcome.code, outcome.stdout + outcome.stderr).to.equal(0);
    };

    it("are made, sign, are refreshed and revoked", async () => {
      const key = await create();
      expect(await sign(key)).to.equal("ok");
      const next = worked(await client.refresh(key, party.authenticator)) as AgentCredentialAnswer;
      expect(next.agentAddress).to.equal(key.agentAddress);
      expect([await sign(key), await sign(next)]).to.deep.equal(["credential_invalid", "ok"]);
      worked(await client.revoke(key.keyId, party.authenticator));
      expect(await sign(next)).to.equal("credential_invalid");
    });

    it("outlive a gentle rotation, and no forced one", async () => {
      const key = await create();
      await rotate();
      expect(await sign(key)).to.equal("ok");
      await rotate("--force");
      expect(await sign(key)).to.equal("credential_invalid");
      const next = worked(await client.refresh(key, party.authenticator)) as AgentCredentialAnswer;
      expect(await sign(next)).to.equal("ok");
    });

    it("are the same after kill -9, and the next has the next index", async () => {
      const key = await create();
      await stack.restart("signer", "SIGKILL");
      await signerIsReady();
      expect(await sign(key)).to.equal("ok");
      const other = await create();
      expect(Number(other.keyId.split(":")[1])).to.equal(Number(key.keyId.split(":")[1]) + 1);
    });

    /** The start fence passes and the listener is there. */
    async function signerIsReady(): Promise<void> {
      for (;;) {
        const answer = await fetch(`${stack.urls.signerPublic}/readyz`).catch(() => undefined);
        if (answer?.ok === true) return;
        await new Promise((done) => setTimeout(done, 200));
      }
    }
  });
}

import { randomBytes } from "node:crypto";
import { cpSync, rmSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { serviceLog } from "../../../../offchain/http/log";
import { createFromSeeds } from "../../../../offchain/signer/vault/keys/hand-over";
import { createInToken } from "../../../../offchain/signer/vault/keys/pkcs11/create";
import { openPkcs11 } from "../../../../offchain/signer/vault/keys/pkcs11/keys";
import { openSealedFile } from "../../../../offchain/signer/vault/keys/sealed-file";
import { KeyFile } from "../../../../offchain/signer/vault/keys/unlock";
import { drawSeeds } from "../../../../offchain/signer/vault/keys/vault-contents";
import type { VaultKeys } from "../../../../offchain/signer/vault/keys/vault-keys";
import { openVaultState } from "../../../../offchain/signer/vault/state/open-state";
import { SKIPPED_INDICES, recoverState } from "../../../../offchain/signer/vault/state/recover";
import { type VaultState, VaultStateError } from "../../../../offchain/signer/vault/state/vault-state";
import { anyOwner, anyRecord } from "../../../helpers/agent-key-record";
import { type SoftHsm, noSoftHsm, softHsm } from "../../../helpers/softhsm";
import { temporaryFolders } from "../../../helpers/temporary-folder";

const log = serviceLog("test", "silent");
const now = (): number => 1_800_000_000;

describe("signer: the vault's state beside its keys", function () {
  this.timeout(60_000);
  const folders = temporaryFolders();
  const owner = anyOwner();
  let keys: VaultKeys;
  let dir: string;

  const openState = (): Promise<VaultState> =>
    openVaultState({ dir, key: keys.stateKey(), anchor: keys.stateAnchor() });

  /** Opens the state, adds one key, and closes it. */
  async function addOne(): Promise<number> {
    const state = await openState();
    const { index } = await state.create(owner, (next) => anyRecord(owner, next));
    await state.close();
    return index;
  }

  /** The refusal's words. */
  async function refused(): Promise<string> {
    const error: unknown = await openState().then(
      (state) => state.close(),
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(VaultStateError);
    return (error as Error).message;
  }

  function copyOfState(): string {
    const copy = join(folders.make(), "copy");
    cpSync(dir, copy, { recursive: true });
    return copy;
  }

  /** Puts a copy in the state's place, number and all. */
  function place(copy: string): void {
    rmSync(dir, { recursive: true });
    cpSync(copy, dir, { recursive: true });
  }

  after(() => {
    folders.removeAll();
  });

  function behaves(open: () => Promise<VaultKeys>, isNoticed: boolean): void {
    beforeEach(async () => {
      keys = await open();
      dir = join(folders.make(), "state");
    });

    afterEach(() => keys.close());

    it("goes on from run to run", async () => {
      expect([await addOne(), await addOne(), await addOne()]).to.deep.equal([0, 1, 2]);
    });

    it("wiped, it is not begun again from index 0", async () => {
      await addOne();
      rmSync(dir, { recursive: true });
      expect(await refused()).to.match(/is gone/);
    });

    it("an older one is recovered where that is asked for: no index twice, and no credential alive", async () => {
      const other = anyOwner();
      await addOne();
      const copy = copyOfState();
      const since = [await addOne(), await addOne()];
      const state = await openState();
      await state.create(other, (index) => anyRecord(other, index));
      await state.close();
      const newest = copyOfState();
      place(copy);
      await recoverState({ dir, key: keys.stateKey(), anchor: keys.stateAnchor() });
      const recovered = await openState();
      const [known, ...more] = recovered.all();
      expect(more).to.deep.equal([]);
      expect(known?.epoch).to.equal(2);
      expect(known).to.not.have.any.keys("credentialHash", "credentialExpiresAt");
      for (const who of [owner, other]) {
        const { index } = await recovered.create(who, (next) => anyRecord(who, next));
        expect(index).to.be.at.least(SKIPPED_INDICES);
        expect(since).to.not.include(index);
      }
      await recovered.close();
      expect(await addOne()).to.equal(SKIPPED_INDICES + 2);
      // it took the place of everything before it
      place(newest);
      if (isNoticed) expect(await refused()).to.match(/rolled back/);
    });

    it("what is no state of these keys is not recovered", async () => {
      const recover = (): Promise<number> => recoverState({ dir, key: keys.stateKey(), anchor: keys.stateAnchor() });
      for (const before of [() => Promise.resolve(0), addOne]) {
        await before();
        rmSync(dir, { recursive: true, force: true });
        const error: unknown = await recover().then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        expect(error).to.be.instanceOf(VaultStateError);
      }
    });

    it(isNoticed ? "the whole folder put back is refused" : "the whole folder put back is not noticed", async () => {
      await addOne();
      const copy = copyOfState();
      await addOne();
      place(copy);
      if (isNoticed) expect(await refused()).to.match(/rolled back/);
      // said in decision 4: a sealed file has nothing that lies elsewhere
      else expect(await addOne()).to.equal(1);
    });
  }

  describe("in a sealed file", () => {
    behaves(async () => {
      const source = { file: join(folders.make(), "vault.sealed"), unlock: new KeyFile(randomBytes(32)) };
      await createFromSeeds(source, drawSeeds());
      return openSealedFile({ ...source, now, log });
    }, false);
  });

  describe("in a token", () => {
    const missing = noSoftHsm();
    if (missing !== undefined) {
      console.log(`pending: ${missing}`);
      it(`needs SoftHSM2: ${missing}`);
      return;
    }
    let hsm: SoftHsm;
    let made = 0;

    before(() => {
      hsm = softHsm();
      for (let n = 0; n < 5; n += 1) hsm.newToken(`state ${String(n)}`);
    });

    after(() => {
      hsm.remove();
    });

    behaves(async () => {
      const settings = { ...hsm.token(`state ${String(made++)}`), writerDir: folders.make() };
      await createInToken(settings);
      return openPkcs11({ ...settings, now, log });
    }, true);
  });
});

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

  /** Puts back the folder as it was before the last key. */
  async function putBack(): Promise<void> {
    const copy = join(folders.make(), "copy");
    cpSync(dir, copy, { recursive: true });
    await addOne();
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

    it(isNoticed ? "the whole folder put back is refused" : "the whole folder put back is not noticed", async () => {
      await addOne();
      await putBack();
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
      for (let n = 0; n < 3; n += 1) hsm.newToken(`state ${String(n)}`);
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

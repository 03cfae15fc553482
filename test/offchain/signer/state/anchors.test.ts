import { randomBytes } from "node:crypto";
import { cpSync, existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { serviceLog } from "../../../../offchain/http/log";
import {
  type SealedSource,
  createFromSeeds,
  readNewSeeds,
  readSeeds,
} from "../../../../offchain/signer/vault/keys/hand-over";
import { createInToken } from "../../../../offchain/signer/vault/keys/pkcs11/create";
import { openPkcs11 } from "../../../../offchain/signer/vault/keys/pkcs11/keys";
import { openSealedFile } from "../../../../offchain/signer/vault/keys/sealed-file";
import { KeyFile } from "../../../../offchain/signer/vault/keys/unlock";
import { drawSeeds } from "../../../../offchain/signer/vault/keys/vault-contents";
import type { VaultKeys, VaultSeeds } from "../../../../offchain/signer/vault/keys/vault-keys";
import { VaultFileError } from "../../../../offchain/signer/vault/sealed-file";
import { STATE_FILE, openVaultState } from "../../../../offchain/signer/vault/state/open-state";
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

  const refusal = (): Promise<unknown> =>
    openState().then(
      (state) => state.close(),
      (thrown: unknown) => thrown,
    );

  /** The refusal's words. */
  async function refused(): Promise<string> {
    const error = await refusal();
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

  /** A sealed file that keys are drawn into. */
  async function newSource(): Promise<SealedSource> {
    const source = { file: join(folders.make(), "vault.sealed"), unlock: new KeyFile(randomBytes(32)) };
    await createFromSeeds(source, drawSeeds());
    return source;
  }

  const recover = (): Promise<number | undefined> =>
    recoverState({ dir, key: keys.stateKey(), anchor: keys.stateAnchor() });

  function behaves(make: (seeds: VaultSeeds) => Promise<VaultKeys>, isNoticed: boolean): void {
    let source: SealedSource;

    beforeEach(async () => {
      source = await newSource();
      keys = await make(await readNewSeeds(source));
      dir = join(folders.make(), "state");
    });

    afterEach(() => keys.close());

    /** Another vault of the same seeds in the place of this one, with no state yet. */
    async function madeAgain(): Promise<void> {
      await keys.close();
      keys = await make(await readSeeds(source));
      dir = join(folders.make(), "state");
    }

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
      expect(await recover()).to.equal(1);
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
      await addOne();
      const stranger = new KeyFile(randomBytes(32));
      writeFileSync(join(dir, STATE_FILE), stranger.reveal(), { mode: 0o600 });
      const error: unknown = await recover().then(
        () => undefined,
        (thrown: unknown) => thrown,
      );
      expect(error).to.be.instanceOf(VaultFileError);
      expect(await refusal()).to.be.instanceOf(VaultFileError);
    });

    it("wiped with every backup of it, a new one begins far behind", async () => {
      await addOne();
      rmSync(dir, { recursive: true });
      expect(await recover()).to.equal(undefined);
      expect(await addOne()).to.be.at.least(SKIPPED_INDICES);
    });

    describe("made again of the same seeds", () => {
      it("it does not begin with index 0, whatever it is asked", async () => {
        expect(await addOne()).to.equal(0);
        await madeAgain();
        for (let n = 0; n < 2; n += 1) expect(await refused()).to.match(/made from others/);
      });

      it("with the state beside it, it goes on where that ended", async () => {
        expect([await addOne(), await addOne()]).to.deep.equal([0, 1]);
        const copy = copyOfState();
        await madeAgain();
        mkdirSync(dir);
        place(copy);
        expect([await addOne(), await addOne()]).to.deep.equal([2, 3]);
        rmSync(dir, { recursive: true });
        expect(await refused()).to.match(/is gone/);
      });

      it("with a state beside it that was put back from a backup, only after that is recovered", async () => {
        await addOne();
        const copy = copyOfState();
        await madeAgain();
        mkdirSync(dir);
        place(copy);
        // as `agentkeys-admin restore` leaves it
        writeFileSync(join(dir, `${STATE_FILE}.seq`), "2", { mode: 0o600 });
        expect(await refused()).to.match(/rolled back/);
        expect(await recover()).to.equal(1);
        expect(await addOne()).to.equal(1 + SKIPPED_INDICES);
      });

      it("without any state, a new one begins far behind, each time elsewhere", async () => {
        const other = anyOwner();
        const starts: number[] = [await addOne()];
        for (let n = 0; n < 2; n += 1) {
          await madeAgain();
          expect(await recover()).to.equal(undefined);
          const state = await openState();
          expect(state.all()).to.deep.equal([]);
          const { index } = await state.create(other, (next) => anyRecord(other, next));
          await state.close();
          expect(index).to.be.at.least(SKIPPED_INDICES);
          expect(await addOne()).to.equal(index);
          expect(await addOne()).to.equal(index + 1);
          starts.push(index, index + 1);
        }
        expect(new Set(starts).size).to.equal(5);
      });
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
    behaves(async (seeds) => {
      const vault = { file: join(folders.make(), "vault.sealed"), unlock: new KeyFile(randomBytes(32)) };
      await createFromSeeds(vault, seeds);
      return openSealedFile({ ...vault, now, log });
    }, false);

    it("a file whose making was cut off is made again as a new one: its number is there before it", async () => {
      const vault = { file: join(folders.make(), "vault.sealed"), unlock: new KeyFile(randomBytes(32)) };
      const inTheWay = `${vault.file}.tmp`;
      mkdirSync(inTheWay);
      const cutOff = await createFromSeeds(vault, drawSeeds()).then(
        () => false,
        () => true,
      );
      expect([cutOff, existsSync(`${vault.file}.seq`)]).to.deep.equal([true, true]);
      rmSync(inTheWay, { recursive: true });
      await createFromSeeds(vault, drawSeeds());
      keys = await openSealedFile({ ...vault, now, log });
      dir = join(folders.make(), "state");
      expect(await addOne()).to.equal(0);
      await keys.close();
    });

    it("the file brought elsewhere alone, without its number, does not begin with index 0; with it, it does", async () => {
      const source = await newSource();
      for (const [isAlone, expected] of [
        [true, /made from others/],
        [false, undefined],
      ] as const) {
        const file = join(folders.make(), "vault.sealed");
        cpSync(source.file, file);
        if (!isAlone) cpSync(`${source.file}.seq`, `${file}.seq`);
        dir = join(folders.make(), "state");
        for (let n = 0; n < 2; n += 1) {
          keys = await openSealedFile({ file, unlock: source.unlock, now, log });
          if (expected === undefined) expect(await addOne()).to.equal(n);
          else expect(await refused()).to.match(expected);
          await keys.close();
        }
      }
    });
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
    });

    after(() => {
      hsm.remove();
    });

    behaves(async (seeds) => {
      const settings = { ...hsm.newToken(`state ${String(made++)}`), writerDir: folders.make() };
      await createInToken(settings, seeds);
      return openPkcs11({ ...settings, now, log });
    }, true);
  });
});

import { execFile } from "node:child_process";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { expect } from "chai";

import { serviceLog } from "../../../../offchain/http/log";
import { openPkcs11 } from "../../../../offchain/signer/vault/keys/pkcs11/keys";
import { openSealedFile } from "../../../../offchain/signer/vault/keys/sealed-file";
import { STATE_ELSEWHERE, type VaultKeys } from "../../../../offchain/signer/vault/keys/vault-keys";
import { openVaultFile } from "../../../../offchain/signer/vault/sealed-file";
import type { Hex } from "../../../../offchain/wire/bytes";
import { Secret } from "../../../../offchain/wire/secret";
import { PIN, SOFTHSM_MODULE, type SoftHsm, noSoftHsm, softHsm } from "../../../helpers/softhsm";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { KNOWN_NAME, START } from "./vault-keys.behavior";

const ROOT = resolve(__dirname, "../../../..");
const log = serviceLog("test", "silent");
const now = (): number => START;

interface Said {
  readonly code: number;
  readonly text: string;
}

interface Printed {
  readonly file: string;
  readonly epochs: readonly { readonly epoch: number; readonly commitment: Hex }[];
}

describe("scripts: signer:init", function () {
  this.timeout(120_000);
  const folders = temporaryFolders();

  after(() => {
    folders.removeAll();
  });

  function run(...args: readonly string[]): Promise<Said> {
    const all = ["-r", "tsx/cjs", join(ROOT, "scripts", "signer-init.ts"), ...args];
    return new Promise((done) => {
      execFile(process.execPath, all, { cwd: ROOT }, (error, stdout, stderr) => {
        done({ code: error === null ? 0 : Number(error.code), text: stdout + stderr });
      });
    });
  }

  async function printed(...args: readonly string[]): Promise<Printed> {
    const { code, text } = await run(...args, "--json");
    expect(code, text).to.equal(0);
    return JSON.parse(text) as Printed;
  }

  const unlockIn = (dir: string): Secret<Buffer> => new Secret(readFileSync(join(dir, "passphrase")));

  it("makes epoch 1 once, draws another only for --next, and prints the commitments", async () => {
    const dir = join(folders.make(), "vault");
    const first = await printed("--dir", dir);
    expect(first.epochs.map((one) => one.epoch)).to.deep.equal([1]);
    expect(await printed("--dir", dir)).to.deep.equal(first);
    const next = await printed("--dir", dir, "--next");
    expect(next.epochs.map((one) => one.epoch)).to.deep.equal([1, 2]);
    expect(next.epochs[0]).to.deep.equal(first.epochs[0]);
    expect(openVaultFile(first.file, unlockIn(dir)).size).to.equal(2);
    const { text } = await run("--dir", dir);
    for (const { commitment } of next.epochs) expect(text).to.contain(commitment);
    expect(text).to.not.contain(unlockIn(dir).reveal().toString());
  });

  it("gives copies every epoch, under a passphrase of their own; one that fell behind catches up", async () => {
    const [dir, copy, late] = ["vault", "copy", "late"].map((name) => join(folders.make(), name)) as [
      string,
      string,
      string,
    ];
    await printed("--dir", dir, "--copy", copy);
    await printed("--dir", dir, "--next");
    // completes what the run without the copy left out, and draws nothing
    expect((await printed("--dir", dir, "--copy", copy, "--next")).epochs).to.have.length(2);
    const { epochs } = await printed("--dir", dir, "--copy", copy, "--copy", late, "--next");
    expect(epochs).to.have.length(3);
    const all: VaultKeys[] = [];
    for (const one of [dir, copy, late]) {
      all.push(await openSealedFile({ file: join(one, "vault.sealed"), unlock: unlockIn(one), now, log }));
    }
    for (const { epoch, commitment } of epochs) {
      const keys = await Promise.all(all.map((one) => one.objectKey(epoch, KNOWN_NAME)));
      expect(new Set(keys.map((key) => key?.toString("hex"))).size).to.equal(1);
      for (const one of all) expect(one.commitments().get(epoch)).to.equal(commitment);
    }
    expect(new Set([dir, copy, late].map((one) => unlockIn(one).reveal().toString())).size).to.equal(3);
    for (const one of all) await one.close();
  });

  it("refuses a copy that holds other keys, and options that do not go together", async () => {
    const [dir, stranger] = [join(folders.make(), "a"), join(folders.make(), "b")];
    await printed("--dir", dir);
    await printed("--dir", stranger);
    const held = (): string[] =>
      [...openVaultFile(join(stranger, "vault.sealed"), unlockIn(stranger))].map(
        ([epoch, k3]) => `${String(epoch)} ${k3.reveal().toString("hex")}`,
      );
    const before = held();
    expect((await run("--dir", dir, "--copy", stranger)).code).to.equal(1);
    expect((await run("--dir", dir, "--copy", stranger, "--next")).code).to.equal(1);
    expect(held()).to.deep.equal(before);
    expect((await printed("--dir", dir)).epochs, "nothing was drawn either").to.have.length(1);
    expect((await run("--dir", dir, "--pkcs11-token", "x")).code).to.equal(1);
    expect((await run("--dir", dir, "--frobnicate")).code).to.equal(1);
  });

  /** Which state a folder's keys say that they have. */
  async function stateOf(dir: string): Promise<string | undefined> {
    const keys = await openSealedFile({ file: join(dir, "vault.sealed"), unlock: unlockIn(dir), now, log });
    await keys.close();
    return keys.stateAnchor().id();
  }

  it("one vault alone may begin with index 0: the file, or the copy that is said to be new, once", async () => {
    const [dir, copy, vault, late] = ["dir", "copy", "vault", "late"].map((name) => join(folders.make(), name)) as [
      string,
      string,
      string,
      string,
    ];
    await printed("--dir", dir, "--copy", copy);
    expect([await stateOf(dir), await stateOf(copy)]).to.deep.equal([undefined, STATE_ELSEWHERE]);
    // too late for this one, and nothing to be said of it
    for (const args of [["--copy", copy, "--new"], ["--new"], ["--copy", vault, "--copy", late, "--new"]]) {
      expect((await run("--dir", dir, ...args)).code, args.join(" ")).to.equal(1);
    }
    expect(await stateOf(dir)).to.equal(undefined);
    for (let n = 0; n < 2; n += 1) {
      await printed("--dir", dir, "--copy", vault, "--new");
      expect([await stateOf(dir), await stateOf(vault)]).to.deep.equal([STATE_ELSEWHERE, undefined]);
    }
    expect((await run("--dir", dir, "--copy", late, "--new")).code).to.equal(1);
    await printed("--dir", dir, "--copy", late);
    expect(await stateOf(late)).to.equal(STATE_ELSEWHERE);
  });

  describe("with a token", () => {
    const missing = noSoftHsm();
    if (missing !== undefined) {
      console.log(`pending: ${missing}`);
      it(`needs SoftHSM2: ${missing}`);
      return;
    }
    let hsm: SoftHsm;

    before(() => {
      hsm = softHsm();
      hsm.newToken("vault");
    });

    after(() => {
      hsm.remove();
    });

    it("makes its vault of the sealed file, and hands it each epoch", async () => {
      const dir = join(folders.make(), "backup");
      mkdirSync(dir, { mode: 0o700 });
      const pinFile = join(folders.make(), "pin");
      writeFileSync(pinFile, `${PIN}\n`, { mode: 0o600 });
      const token = ["--pkcs11-module", SOFTHSM_MODULE, "--pkcs11-token", "vault", "--pkcs11-pin-file", pinFile];
      await printed("--dir", dir, ...token, "--new");
      expect(await stateOf(dir), "it is the backup now").to.equal(STATE_ELSEWHERE);
      const { epochs } = await printed("--dir", dir, ...token, "--next");
      expect(epochs).to.have.length(2);
      const keys = await openPkcs11({ ...hsm.token("vault"), writerDir: folders.make(), now, log });
      expect([...keys.commitments()].sort()).to.deep.equal(epochs.map((one) => [one.epoch, one.commitment]));
      const backup = await openSealedFile({ file: join(dir, "vault.sealed"), unlock: unlockIn(dir), now, log });
      expect(keys.stateAnchor().id()).to.equal(undefined);
      expect(keys.stateKey().reveal().equals(backup.stateKey().reveal())).to.equal(true);
      await backup.close();
      await keys.close();
    });

    it("a token that takes a lost one's place is not new, whatever is said", async () => {
      const dir = join(folders.make(), "backup");
      const pinFile = join(folders.make(), "pin");
      writeFileSync(pinFile, PIN, { mode: 0o600 });
      const by = (label: string): string[] => {
        const args = ["--pkcs11-module", SOFTHSM_MODULE, "--pkcs11-token", label, "--pkcs11-pin-file", pinFile];
        return ["--dir", dir, ...args];
      };
      for (const label of ["lost", "next"]) hsm.newToken(label);
      await printed(...by("lost"), "--new");
      expect((await run(...by("next"), "--new")).code).to.equal(1);
      await printed(...by("next"));
      expect((await run(...by("next"), "--new")).code).to.equal(1);
      const keys = await openPkcs11({ ...hsm.token("next"), writerDir: folders.make(), now, log });
      expect(keys.stateAnchor().id()).to.equal(STATE_ELSEWHERE);
      await keys.close();
    });
  });
});

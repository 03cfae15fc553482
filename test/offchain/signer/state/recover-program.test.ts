import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { expect } from "chai";

import { serviceLog } from "../../../../offchain/http/log";
import { prepareEpoch } from "../../../../offchain/signer/vault/epochs";
import { openSealedFile } from "../../../../offchain/signer/vault/keys/sealed-file";
import { KeyFile } from "../../../../offchain/signer/vault/keys/unlock";
import { STATE_FILE, openVaultState } from "../../../../offchain/signer/vault/state/open-state";
import { SKIPPED_INDICES } from "../../../../offchain/signer/vault/state/recover";
import type { VaultState } from "../../../../offchain/signer/vault/state/vault-state";
import { anyOwner, anyRecord } from "../../../helpers/agent-key-record";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { VAULT_ENVIRONMENT } from "../../../helpers/vault-environment";

const ROOT = resolve(__dirname, "../../../..");

describe("scripts: signer:recover-state", function () {
  this.timeout(60_000);
  const folders = temporaryFolders();

  after(() => {
    folders.removeAll();
  });

  function run(env: Readonly<Record<string, string>>): Promise<{ code: number; text: string }> {
    const args = ["-r", "tsx/cjs", join(ROOT, "scripts", "signer-recover-state.ts")];
    const all = { PATH: process.env["PATH"], ...VAULT_ENVIRONMENT, ...env };
    return new Promise((done) => {
      execFile(process.execPath, args, { cwd: ROOT, env: all }, (error, stdout, stderr) => {
        done({ code: error === null ? 0 : Number(error.code), text: stdout + stderr });
      });
    });
  }

  it("accepts an older state for a stopped vault, and refuses beside a running one", async () => {
    const stateDir = folders.make();
    const [file, keyFile] = [join(stateDir, "vault.sealed"), join(stateDir, "key")];
    writeFileSync(keyFile, randomBytes(32), { mode: 0o600 });
    const unlock = new KeyFile(readFileSync(keyFile));
    prepareEpoch(file, unlock, true);
    const keys = await openSealedFile({ file, unlock, now: () => 1_800_000_000, log: serviceLog("test", "silent") });
    const dir = join(stateDir, "agent-keys");
    const owner = anyOwner();
    const open = (): Promise<VaultState> => openVaultState({ dir, key: keys.stateKey(), anchor: keys.stateAnchor() });
    const env = { VAULT_STATE_DIR: stateDir, VAULT_FILE: file, VAULT_KEY_FILE: keyFile };

    let state = await open();
    await state.create(owner, (index) => anyRecord(owner, index));
    const older = join(folders.make(), STATE_FILE);
    cpSync(join(dir, STATE_FILE), older);
    await state.create(owner, (index) => anyRecord(owner, index));
    expect((await run(env)).code, "a running vault").to.equal(1);
    await state.close();
    cpSync(older, join(dir, STATE_FILE));
    const rolledBack: unknown = await open().then(
      (one) => one.close(),
      (error: unknown) => error,
    );
    expect(String(rolledBack)).to.match(/rolled back/);

    const { code, text } = await run(env);
    expect(code, text).to.equal(0);
    state = await open();
    expect(state.all()).to.have.length(1);
    const next = await state.create(owner, (index) => anyRecord(owner, index));
    expect(next.index).to.equal(1 + SKIPPED_INDICES);
    await state.close();

    rmSync(dir, { recursive: true });
    const anew = await run(env);
    expect(anew.code, anew.text).to.equal(0);
    state = await open();
    expect(state.all()).to.deep.equal([]);
    const far = await state.create(owner, (index) => anyRecord(owner, index));
    expect(far.index).to.be.at.least(SKIPPED_INDICES);
    await state.close();
    await keys.close();
  });
});

import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  appendFileSync,
  chmodSync,
  cpSync,
  mkdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join, resolve } from "node:path";

import { expect } from "chai";

import { prepareEpoch } from "../../../offchain/signer/vault/epochs";
import { openSealedFile } from "../../../offchain/signer/vault/keys/sealed-file";
import { openVaultFile } from "../../../offchain/signer/vault/sealed-file";
import { openVaultState } from "../../../offchain/signer/vault/state/open-state";
import { Secret } from "../../../offchain/wire/secret";
import { serviceLog } from "../../../offchain/http/log";
import { anyOwner, anyRecord } from "../../helpers/agent-key-record";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { VAULT_ENVIRONMENT } from "../../helpers/vault-environment";

const MAIN = resolve(__dirname, "../../../offchain/signer/vault/main.ts");
const PASSPHRASE = "canary passphrase";

/** The vault's program over damaged files; what the files' own suites say of each cause, its administrator must read. */
describe("signer: the vault's program does not start", function () {
  this.timeout(300_000);
  const folders = temporaryFolders();
  let good: string;

  before(async () => {
    good = folders.make();
    const unlock = new Secret(Buffer.from(PASSPHRASE));
    const file = join(good, "vault.sealed");
    writeFileSync(join(good, "passphrase"), PASSPHRASE, { mode: 0o600 });
    prepareEpoch(file, unlock, true);
    const keys = await openSealedFile({ file, unlock, now: () => 1_800_000_000, log: serviceLog("test", "silent") });
    const owner = anyOwner();
    const dir = join(good, "agent-keys");
    const state = await openVaultState({ dir, key: keys.stateKey(), anchor: keys.stateAnchor() });
    await state.create(owner, (index) => anyRecord(owner, index));
    cpSync(dir, join(good, "older"), { recursive: true });
    await state.create(owner, (index) => anyRecord(owner, index));
    await state.close();
    await keys.close();
    for (const name of ["vault.sealed", "vault.sealed.seq"]) cpSync(join(good, name), join(good, "older", name));
    prepareEpoch(file, unlock, false);
    expect([...openVaultFile(file, unlock).keys()]).to.deep.equal([1, 2]);
  });

  after(() => {
    folders.removeAll();
  });

  /** Damages a copy and starts the vault over it: its exit code and everything that it printed. */
  async function started(damage: (dir: string) => void): Promise<{ readonly code: unknown; readonly said: string }> {
    const dir = join(folders.make(), "vault");
    mkdirSync(dir, { mode: 0o700 });
    cpSync(good, dir, { recursive: true });
    damage(dir);
    const child = spawn(process.execPath, ["--import", require.resolve("tsx"), MAIN], {
      stdio: ["pipe", "pipe", "pipe", "pipe"],
      env: {
        PATH: process.env["PATH"],
        ...VAULT_ENVIRONMENT,
        CHAIN_PROFILE: "local",
        VAULT_FILE: join(dir, "vault.sealed"),
        VAULT_PASSPHRASE_FILE: join(dir, "passphrase"),
        VAULT_STATE_DIR: dir,
      },
    });
    let said = "";
    const isUp = new Promise<string>((done) => {
      for (const out of [child.stdout, child.stderr]) {
        out.on("data", (chunk: Buffer) => {
          said += chunk.toString();
          if (said.includes('"listening"')) done("listening");
        });
      }
    });
    const gone = once(child, "close").then(([code]) => code as unknown);
    const code = await Promise.race([isUp, gone]);
    child.kill("SIGKILL");
    await gone;
    return { code, said: said.replaceAll(dir, "") };
  }

  const seal = (dir: string): string => join(dir, "vault.sealed");
  const stateFile = (dir: string): string => join(dir, "agent-keys", "state.sealed");
  const link = (path: string): void => {
    renameSync(path, `${path}.real`);
    symlinkSync(`${path}.real`, path);
  };
  const cut = (path: string): void => {
    truncateSync(path, readFileSync(path).length - 20);
  };
  const rows: Readonly<Record<string, readonly [damage: (dir: string) => void, words: RegExp]>> = {
    "keys behind a symbolic link": [
      (dir) => {
        link(seal(dir));
      },
      /vault\.sealed is a symbolic link/,
    ],
    "keys that others may read": [
      (dir) => {
        chmodSync(seal(dir), 0o640);
      },
      /vault\.sealed can be read by others/,
    ],
    "keys that are cut": [
      (dir) => {
        cut(seal(dir));
      },
      /vault\.sealed .*(cut off|does not open)/,
    ],
    "keys of last week": [
      (dir) => {
        cpSync(join(dir, "older", "vault.sealed"), seal(dir));
      },
      /vault\.sealed .*rolled back/,
    ],
    "another passphrase": [
      (dir) => {
        appendFileSync(join(dir, "passphrase"), "!");
      },
      /vault\.sealed does not open: .*passphrase/,
    ],
    "a state of last week": [
      (dir) => {
        cpSync(join(dir, "older", "state.sealed"), stateFile(dir));
      },
      /state\.sealed .*rolled back/,
    ],
  };

  it("over any of these, each in its own words and without a secret; over good files it does", async () => {
    const said: string[] = [];
    for (const some of chunks(Object.entries(rows), 4)) {
      const outcomes = await Promise.all(some.map(([, [damage]]) => started(damage)));
      for (const [i, { code, said: words }] of outcomes.entries()) {
        const [name, [, pattern]] = some[i] ?? ["", [() => undefined, /^$/]];
        expect(code, `${name}: ${words}`).to.equal(1);
        expect(words, name).to.match(pattern);
        expect(words, name).to.not.contain(PASSPHRASE);
        said.push(words.trimEnd().split("\n").at(-1) ?? "");
      }
    }
    expect(new Set(said).size).to.equal(Object.keys(rows).length);
    expect((await started(() => undefined)).code).to.equal("listening");
  });
});

function chunks<T>(items: readonly T[], size: number): readonly (readonly T[])[] {
  return items.length === 0 ? [] : [items.slice(0, size), ...chunks(items.slice(size), size)];
}

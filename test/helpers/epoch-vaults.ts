import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { serviceLog } from "../../offchain/http/log";
import { type SealedSource, readNewSeeds } from "../../offchain/signer/vault/keys/hand-over";
import { createInToken } from "../../offchain/signer/vault/keys/pkcs11/create";
import { openPkcs11 } from "../../offchain/signer/vault/keys/pkcs11/keys";
import { openSealedFile } from "../../offchain/signer/vault/keys/sealed-file";
import type { VaultKeys } from "../../offchain/signer/vault/keys/vault-keys";
import type { Stack } from "../../scripts/lib/stack";
import { type SoftHsm, noSoftHsm, softHsm } from "./softhsm";
import { type VaultChange, type VaultPipe, startVault } from "./vault";
import { nowSeconds } from "./words";

/** A vault of its own over the keys of some sealed file. */
export interface EpochVault {
  readonly stateDir: string;
  /** A sealed file with its seeds: its own, or the one that its token was made from. */
  readonly sealed: SealedSource;
  start(change?: VaultChange): Promise<VaultPipe>;
  /** Its keys in this process, as the local admin tool opens them beside a running vault. */
  open(): Promise<VaultKeys>;
}

/** Makes vaults of one back end from sealed files. */
export interface EpochBackEnd {
  readonly name: VaultKeys["backend"];
  make(stack: Stack, from: SealedSource, dir: string): Promise<EpochVault>;
}

const log = serviceLog("test", "silent");

/** A copy of a sealed file with its number, as a backup is. */
export function copyOf(source: SealedSource, dir: string): SealedSource {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const file = join(dir, "vault.sealed");
  cpSync(source.file, file);
  cpSync(`${source.file}.seq`, `${file}.seq`);
  return { file, unlock: source.unlock };
}

/** The vault's file is the copy itself. */
const sealedBackEnd: EpochBackEnd = {
  name: "sealed-file",
  make(stack, from, dir) {
    const { file, unlock } = copyOf(from, dir);
    const passphrase = join(dir, "passphrase");
    writeFileSync(passphrase, unlock.reveal(), { mode: 0o600 });
    const stateDir = join(dir, "state");
    const env = { VAULT_FILE: file, VAULT_PASSPHRASE_FILE: passphrase };
    return Promise.resolve({
      stateDir,
      sealed: { file, unlock },
      start: (change) => startVault(stack, stateDir, { ...change, env: { ...env, ...change?.env } }),
      open: () => openSealedFile({ file, unlock, now: nowSeconds, log }),
    });
  },
};

/** A token that was made from the copy. */
function tokenBackEnd(hsm: SoftHsm): EpochBackEnd {
  let made = 0;
  return {
    name: "pkcs11",
    async make(stack, from, dir) {
      const label = `vault ${String((made += 1))}`;
      const stateDir = join(dir, "state");
      const settings = { ...hsm.newToken(label), writerDir: join(stateDir, "keys") };
      // of a file that no vault ever ran on
      await createInToken(settings, await readNewSeeds(from));
      const pin = join(dir, "pin");
      writeFileSync(pin, settings.pin.reveal(), { mode: 0o600 });
      const env = {
        VAULT_BACKEND: "pkcs11",
        VAULT_PKCS11_MODULE: settings.module,
        VAULT_PKCS11_TOKEN: label,
        VAULT_PKCS11_PIN_FILE: pin,
        VAULT_PKCS11_ENVIRONMENT: `SOFTHSM2_CONF=${hsm.conf}`,
      };
      return {
        stateDir,
        sealed: from,
        start: (change) => startVault(stack, stateDir, { ...change, env: { ...env, ...change?.env } }),
        open: () => openPkcs11({ ...settings, now: nowSeconds, log }),
      };
    },
  };
}

/** As `forEachBackEnd`, for suites whose vaults are processes. */
export function forEachProcessBackEnd(suite: (backEnd: () => EpochBackEnd) => void): void {
  describe("keys in a sealed file", () => {
    suite(() => sealedBackEnd);
  });

  describe("keys in a PKCS#11 token", () => {
    const missing = noSoftHsm();
    if (missing !== undefined) {
      it(`needs SoftHSM2: ${missing}`);
      return;
    }
    let hsm: SoftHsm | undefined;
    after(() => hsm?.remove());
    suite(() => tokenBackEnd((hsm ??= softHsm())));
  });
}

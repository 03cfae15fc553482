import { cpSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { serviceLog } from "../../offchain/http/log";
import { type SealedSource, readSeeds } from "../../offchain/signer/vault/keys/hand-over";
import { createInToken } from "../../offchain/signer/vault/keys/pkcs11/create";
import { openPkcs11 } from "../../offchain/signer/vault/keys/pkcs11/keys";
import { openSealedFile } from "../../offchain/signer/vault/keys/sealed-file";
import type { VaultKeys } from "../../offchain/signer/vault/keys/vault-keys";
import type { Stack } from "../../scripts/lib/stack";
import type { ProblemCode } from "../../offchain/wire/problem";
import type { SoftHsm } from "./softhsm";
import { type VaultPipe, startVault } from "./vault";
import { nowSeconds } from "./words";

/** A vault of its own over the keys of some sealed file. */
export interface EpochVault {
  start(until?: ProblemCode): Promise<VaultPipe>;
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
export const sealedBackEnd: EpochBackEnd = {
  name: "sealed-file",
  make(stack, from, dir) {
    const { file, unlock } = copyOf(from, dir);
    const passphrase = join(dir, "passphrase");
    writeFileSync(passphrase, unlock.reveal(), { mode: 0o600 });
    const env = { VAULT_FILE: file, VAULT_PASSPHRASE_FILE: passphrase };
    return Promise.resolve({
      start: (until) => startVault(stack, join(dir, "state"), { env, ...(until === undefined ? {} : { until }) }),
      open: () => openSealedFile({ file, unlock, now: nowSeconds, log }),
    });
  },
};

/** A token that was made from the copy; `labels` are those of fresh tokens. */
export function tokenBackEnd(hsm: SoftHsm, labels: string[]): EpochBackEnd {
  return {
    name: "pkcs11",
    async make(stack, from, dir) {
      const label = labels.pop();
      if (label === undefined) throw new Error("more tokens are needed than were made");
      const state = join(dir, "state");
      const settings = { ...hsm.token(label), writerDir: join(state, "keys") };
      await createInToken(settings, await readSeeds(from));
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
        start: (until) => startVault(stack, state, { env, ...(until === undefined ? {} : { until }) }),
        open: () => openPkcs11({ ...settings, now: nowSeconds, log }),
      };
    },
  };
}

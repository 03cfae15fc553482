import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { serviceLog } from "../../offchain/http/log";
import { prepareEpoch } from "../../offchain/signer/vault/epochs";
import {
  type SealedSource,
  markAsBackup,
  prepareEverywhere,
  readNewSeeds,
} from "../../offchain/signer/vault/keys/hand-over";
import { createInToken } from "../../offchain/signer/vault/keys/pkcs11/create";
import { openPkcs11 } from "../../offchain/signer/vault/keys/pkcs11/keys";
import type { TokenSettings } from "../../offchain/signer/vault/keys/pkcs11/token";
import { whenFree } from "../../offchain/signer/vault/keys/when-free";
import type { Hex } from "../../offchain/wire/bytes";
import { Secret } from "../../offchain/wire/secret";

/** A token for a stack's vault. */
export interface StackToken extends TokenSettings {
  /** What its library reads from its environment, `NAME=value`; this process has it set already. */
  readonly environment: string;
}

/** A stack's vault before it runs. */
export interface StackVault {
  /** Of epoch 1. */
  readonly commitment: Hex;
  /** What the vault's process is told of it. */
  readonly environment: Readonly<Record<string, string>>;
  /** Draws the next K3; resolves when a running vault has read it. */
  prepareEpoch(): Promise<Hex>;
}

/** Makes the keys of a stack's vault: a sealed file in its folder, or a token that a sealed file is the backup of. */
export async function makeStackVault(dir: string, token?: StackToken): Promise<StackVault> {
  const vaultDir = join(dir, "vault");
  mkdirSync(vaultDir, { recursive: true, mode: 0o700 });
  if (token !== undefined) return tokenVault(dir, vaultDir, token);
  const source = newSource(vaultDir);
  const { commitment } = prepareEpoch(source.file, source.unlock, true);
  return {
    commitment,
    environment: { VAULT_FILE: source.file, VAULT_PASSPHRASE_FILE: join(vaultDir, "passphrase") },
    async prepareEpoch() {
      const drawn = await whenFree(() => prepareEpoch(source.file, source.unlock, false));
      await untilRead();
      return drawn.commitment;
    },
  };
}

async function tokenVault(dir: string, vaultDir: string, token: StackToken): Promise<StackVault> {
  const source = newSource(join(dir, "backup"));
  const { commitment } = prepareEpoch(source.file, source.unlock, true);
  const settings = { ...token, writerDir: join(vaultDir, "keys") };
  await createInToken(settings, await readNewSeeds(source));
  await markAsBackup(source);
  const pinFile = join(vaultDir, "pin");
  writeFileSync(pinFile, token.pin.reveal(), { mode: 0o600 });
  return {
    commitment,
    environment: {
      VAULT_BACKEND: "pkcs11",
      VAULT_PKCS11_MODULE: token.module,
      VAULT_PKCS11_TOKEN: token.label,
      VAULT_PKCS11_PIN_FILE: pinFile,
      VAULT_PKCS11_ENVIRONMENT: token.environment,
    },
    async prepareEpoch() {
      const now = (): number => Math.floor(Date.now() / 1_000);
      const keys = await openPkcs11({ ...settings, now, log: serviceLog("stack", "silent") });
      const drawn = await prepareEverywhere(source, [keys]);
      await keys.close();
      await untilRead();
      return drawn.commitment;
    },
  };
}

/** A running vault reads its keys again within a second. */
async function untilRead(): Promise<void> {
  await new Promise((done) => setTimeout(done, 2_000));
}

function newSource(dir: string): SealedSource {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const passphrase = join(dir, "passphrase");
  if (!existsSync(passphrase)) writeFileSync(passphrase, randomBytes(32).toString("base64url"), { mode: 0o600 });
  return { file: join(dir, "vault.sealed"), unlock: new Secret(readFileSync(passphrase)) };
}

import { ConfigurationError, readSecretFile } from "../../../http/config";
import type { Logger } from "../../../http/log";
import { Secret } from "../../../wire/secret";
import type { BackendConfig } from "../config";
import { openSealedFile } from "./sealed-file";
import { KEY_FILE_BYTES, KeyFile, type VaultUnlock } from "./unlock";
import type { VaultKeys } from "./vault-keys";

/** What a back end needs beside its configuration. */
export interface KeysSurroundings {
  /** Folder whose lock is held while a token's objects are changed; a sealed file locks its own folder. */
  readonly writerDir: string;
  /** Unix seconds. */
  readonly now: () => number;
  readonly log: Logger;
}

/** Opens the configured back end. @throws VaultKeysError, VaultFileError, ConfigurationError whose words name the cause */
export function openVaultKeys(config: BackendConfig, { now, log }: KeysSurroundings): Promise<VaultKeys> {
  if (config.backend === "sealed-file")
    return openSealedFile({ file: config.file, unlock: readUnlock(config), now, log });
  throw new ConfigurationError("VAULT_BACKEND=pkcs11 is not built yet");
}

/** A passphrase or a key file, by path. @throws Error that names the file */
export function readUnlock(config: { readonly passphraseFile: string } | { readonly keyFile: string }): VaultUnlock {
  if ("passphraseFile" in config) return new Secret(readSecretFile(config.passphraseFile));
  const bytes = readSecretFile(config.keyFile);
  if (bytes.length >= KEY_FILE_BYTES) return new KeyFile(bytes);
  throw new ConfigurationError(`${config.keyFile} must hold at least ${String(KEY_FILE_BYTES)} random bytes`);
}

import { ConfigurationError, readSecretFile } from "../../../http/config";
import type { Logger } from "../../../http/log";
import { Secret } from "../../../wire/secret";
import type { BackendConfig } from "../config";
import { openPkcs11 } from "./pkcs11/keys";
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

/**
 * Opens the configured back end. What a token's library reads from its environment must be set before.
 * @throws VaultKeysError, VaultFileError, ConfigurationError whose words name the cause; StoreUnavailable
 */
export function openVaultKeys(config: BackendConfig, { writerDir, now, log }: KeysSurroundings): Promise<VaultKeys> {
  if (config.backend === "pkcs11") {
    const { module, token: label, pinFile } = config;
    return openPkcs11({ module, label, pin: readPin(pinFile), writerDir, now, log });
  }
  return openSealedFile({ file: config.file, unlock: readUnlock(config), now, log });
}

/** A passphrase or a key file, by path. @throws Error that names the file */
export function readUnlock(config: { readonly passphraseFile: string } | { readonly keyFile: string }): VaultUnlock {
  if ("passphraseFile" in config) return new Secret(readSecretFile(config.passphraseFile));
  const bytes = readSecretFile(config.keyFile);
  if (bytes.length >= KEY_FILE_BYTES) return new KeyFile(bytes);
  throw new ConfigurationError(`${config.keyFile} must hold at least ${String(KEY_FILE_BYTES)} random bytes`);
}

/** A PIN by path; an editor's newline at its end is no part of it. @throws Error that names the file */
export function readPin(pinFile: string): Secret<string> {
  return new Secret(
    readSecretFile(pinFile)
      .toString("utf8")
      .replace(/\r?\n$/, ""),
  );
}

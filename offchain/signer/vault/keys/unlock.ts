import { hkdfSync, scryptSync } from "node:crypto";

import { toBase64url } from "../../../wire/bytes";
import { Secret } from "../../../wire/secret";

/** A key file's bytes, in place of a passphrase: 32 random bytes or more, which need no stretching. */
export class KeyFile extends Secret<Buffer> {}

/** What opens a sealed file: a passphrase, or the bytes of a key file. */
export type VaultUnlock = Secret<Buffer> | KeyFile;

/** How a file's key is made of what opens it, as its head says. */
export type Derivation = "scrypt" | "hkdf";

/** Fewest bytes of a key file. */
export const KEY_FILE_BYTES = 32;

// RFC 7914 parameters for interactive use at start-up: 128 MiB, about half a second
const SCRYPT = { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 1024 * 1024 } as const;

// a running vault writes its file again and again under one salt: half a second once, not each time
const lastDerived = new WeakMap<VaultUnlock, { readonly salt: string; readonly key: Buffer }>();

/** Which derivation fits what was given. */
export function derivationOf(unlock: VaultUnlock): Derivation {
  return unlock instanceof KeyFile ? "hkdf" : "scrypt";
}

/** The 32-byte key of a sealed file: scrypt (RFC 7914) of a passphrase, HKDF-SHA256 (RFC 5869) of a key file. */
export function fileKey(unlock: VaultUnlock, salt: Buffer): Buffer {
  const name = toBase64url(salt);
  const last = lastDerived.get(unlock);
  if (last?.salt === name) return last.key;
  const key =
    derivationOf(unlock) === "scrypt"
      ? scryptSync(unlock.reveal(), salt, 32, SCRYPT)
      : Buffer.from(hkdfSync("sha256", unlock.reveal(), salt, "agentkeys-vault-file", 32));
  lastDerived.set(unlock, { salt: name, key });
  return key;
}

import { createRequire } from "node:module";

import type * as Pkcs11 from "pkcs11js";

import { VaultKeysError } from "../vault-keys";

/** The package's own names: `CKA_*`, `CKM_*`, classes. */
export type Cryptoki = typeof Pkcs11;

/** A vendor's library, loaded and initialised. */
export interface Library {
  readonly ck: Cryptoki;
  readonly calls: Pkcs11.PKCS11;
  /** Finalises it when nobody else in this process uses it. */
  release(): void;
}

interface Shared {
  readonly calls: Pkcs11.PKCS11;
  users: number;
}

// Cryptoki is initialised once per process and library, however many tokens of it are open
const loaded = new Map<string, Shared>();

/**
 * Loads a vendor's PKCS#11 library through the optional package `pkcs11js`.
 * @throws VaultKeysError: the package is not installed, or the library does not load
 */
export function loadLibrary(path: string): Library {
  const ck = loadPackage();
  const shared = loaded.get(path) ?? { calls: initialised(ck, path), users: 0 };
  shared.users += 1;
  loaded.set(path, shared);
  let isReleased = false;
  return {
    ck,
    calls: shared.calls,
    release() {
      if (isReleased) return;
      isReleased = true;
      shared.users -= 1;
      if (shared.users > 0) return;
      loaded.delete(path);
      shared.calls.C_Finalize();
      shared.calls.close();
    },
  };
}

function loadPackage(): Cryptoki {
  try {
    return createRequire(__filename)("pkcs11js") as Cryptoki;
  } catch (error) {
    throw new VaultKeysError(
      "VAULT_BACKEND=pkcs11 needs the optional package pkcs11js, which is not installed or was not built: npm install",
      { cause: error },
    );
  }
}

function initialised(ck: Cryptoki, path: string): Pkcs11.PKCS11 {
  const calls = new ck.PKCS11();
  try {
    calls.load(path);
    calls.C_Initialize();
    return calls;
  } catch (error) {
    throw new VaultKeysError(`the PKCS#11 library ${path} does not load: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

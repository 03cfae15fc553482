import { createRequire } from "node:module";

import type * as Pkcs11 from "pkcs11js";

import { VaultKeysError } from "../vault-keys";

/** The package's own names: `CKA_*`, `CKM_*`, classes. */
export type Cryptoki = typeof Pkcs11;

/** A vendor's library, loaded and initialised. */
export interface Library {
  readonly ck: Cryptoki;
  readonly calls: Pkcs11.PKCS11;
  /**
   * Finalises and initialises it, for a token that does not come back otherwise; every session of this process is gone
   * then, and whoever used one logs in again. Not more than once a second.
   */
  readonly restart: () => void;
  /** Finalises it when nobody else in this process uses it. */
  readonly release: () => void;
}

interface Shared {
  readonly calls: Pkcs11.PKCS11;
  users: number;
  /** When it was last restarted, in milliseconds of the process's own clock. */
  restartedAt: number;
}

const RESTART_EVERY_MS = 1_000;

// Cryptoki is initialised once per process and library, however many tokens of it are open
const loaded = new Map<string, Shared>();

/**
 * Loads a vendor's PKCS#11 library through the optional package `pkcs11js`.
 * @throws VaultKeysError: the package is not installed, or the library does not load
 */
export function loadLibrary(path: string): Library {
  const ck = loadPackage();
  const shared = loaded.get(path) ?? { calls: initialised(ck, path), users: 0, restartedAt: -Infinity };
  shared.users += 1;
  loaded.set(path, shared);
  let isReleased = false;
  return {
    ck,
    calls: shared.calls,
    restart() {
      if (performance.now() - shared.restartedAt < RESTART_EVERY_MS) return;
      shared.restartedAt = performance.now();
      try {
        shared.calls.C_Finalize();
      } catch (error) {
        // an earlier restart got no further than this
        if (codeOf(ck, error) !== ck.CKR_CRYPTOKI_NOT_INITIALIZED) throw error;
      }
      shared.calls.C_Initialize();
    },
    release() {
      if (isReleased) return;
      isReleased = true;
      shared.users -= 1;
      if (shared.users > 0) return;
      loaded.delete(path);
      try {
        shared.calls.C_Finalize();
      } catch (error) {
        if (codeOf(ck, error) === undefined) throw error;
      }
      shared.calls.close();
    },
  };
}

/** The CKR_* of what a call threw, 0 where the package could not say; undefined for what no call threw. */
export function codeOf(ck: Cryptoki, error: unknown): number | undefined {
  if (error instanceof ck.Pkcs11Error) return error.code;
  // some calls let the bare error through
  const number = error instanceof Error ? /\bCKR_[A-Z_]+:([0-9]+)/.exec(error.message)?.[1] : undefined;
  if (number !== undefined) return Number(number);
  return error instanceof ck.NativeError ? 0 : undefined;
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

import { execFileSync } from "node:child_process";
import { createRequire } from "node:module";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

import type * as Pkcs11 from "pkcs11js";

import type { TokenSettings } from "../../offchain/signer/vault/keys/pkcs11/token";
import { Secret } from "../../offchain/wire/secret";

/** Where Debian's softhsm2 puts its library. */
export const SOFTHSM_MODULE = "/usr/lib/softhsm/libsofthsm2.so";

/** The user's PIN of every token made here. */
export const PIN = "canary-pin-4711";

/** Tokens of SoftHSM2 in a folder of their own. */
export interface SoftHsm {
  readonly dir: string;
  /** What its library reads: SOFTHSM2_CONF. */
  readonly conf: string;
  /** Initialises a token; the library sees it when it is next loaded. */
  newToken(label: string): TokenSettings;
  /** What opens a token that was made here. */
  token(label: string): TokenSettings;
  remove(): void;
}

/**
 * Why SoftHSM2 cannot be used here; undefined where it can. In CI it must be: there a missing one is an error, so that
 * the suites of the PKCS#11 back end are never passed over.
 */
export function noSoftHsm(): string | undefined {
  const why = !existsSync(SOFTHSM_MODULE)
    ? `${SOFTHSM_MODULE} is missing: apt-get install softhsm2`
    : loadPackage() === undefined
      ? "the optional package pkcs11js is missing or was not built: npm install"
      : undefined;
  if (why !== undefined && process.env["CI"] !== undefined) throw new Error(why);
  return why;
}

/** The optional package; undefined where it was not installed. */
function loadPackage(): typeof Pkcs11 | undefined {
  try {
    return createRequire(__filename)("pkcs11js") as typeof Pkcs11;
  } catch {
    return undefined;
  }
}

const settings = (label: string): TokenSettings => ({ module: SOFTHSM_MODULE, label, pin: new Secret(PIN) });

/**
 * Where this process has the library initialised already, by a suite before this one that keeps a vault open, it looks for
 * tokens anew; whoever uses it logs in again. Where it has not, the next user initialises it.
 */
function loadAnew(): void {
  const ck = loadPackage();
  if (ck === undefined) throw new Error("ask noSoftHsm first");
  const calls = new ck.PKCS11();
  calls.load(SOFTHSM_MODULE);
  try {
    calls.C_Finalize();
    calls.C_Initialize();
  } catch (error) {
    if (!String(error).includes("CKR_CRYPTOKI_NOT_INITIALIZED")) throw error;
  } finally {
    calls.close();
  }
}

/** Makes the folder, and names it to the library that this process loads. */
export function softHsm(): SoftHsm {
  const dir = mkdtempSync(join(tmpdir(), "agentkeys-softhsm-"));
  const conf = join(dir, "softhsm2.conf");
  mkdirSync(join(dir, "tokens"), { mode: 0o700 });
  writeFileSync(conf, `directories.tokendir = ${join(dir, "tokens")}\nobjectstore.backend = file\nlog.level = ERROR\n`);
  // the library reads it each time that it is loaded: several suites of one process have a folder each
  const use = (): void => {
    process.env["SOFTHSM2_CONF"] = conf;
  };
  use();
  return {
    dir,
    conf,
    newToken(label) {
      use();
      const pins = ["--so-pin", "canary-so-pin-0815", "--pin", PIN];
      execFileSync("softhsm2-util", ["--init-token", "--free", "--label", label, ...pins], {
        env: { ...process.env, SOFTHSM2_CONF: conf },
        stdio: "ignore",
      });
      loadAnew();
      return settings(label);
    },
    token(label) {
      use();
      return settings(label);
    },
    remove() {
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

import { randomBytes } from "node:crypto";
import { join } from "node:path";

import { serviceLog } from "../../offchain/http/log";
import { prepareEpoch } from "../../offchain/signer/vault/epochs";
import { createInToken } from "../../offchain/signer/vault/keys/pkcs11/create";
import { openPkcs11 } from "../../offchain/signer/vault/keys/pkcs11/keys";
import { openSealedFile } from "../../offchain/signer/vault/keys/sealed-file";
import { KeyFile } from "../../offchain/signer/vault/keys/unlock";
import type { VaultKeys } from "../../offchain/signer/vault/keys/vault-keys";
import { openVaultState } from "../../offchain/signer/vault/state/open-state";
import type { VaultState } from "../../offchain/signer/vault/state/vault-state";
import { type SoftHsm, noSoftHsm, softHsm } from "./softhsm";

/** Real keys and a real state in a folder, with a clock in the test's hands. */
export interface OpenVault {
  /** Folders under which lies everything that it has on the disk. */
  readonly disk: readonly string[];
  readonly keys: VaultKeys;
  readonly state: VaultState;
  close(): Promise<void>;
}

/** A vault whose keys are in a sealed file. */
export interface SealedVault extends OpenVault {
  readonly file: string;
  readonly unlock: KeyFile;
}

/** Opens the vault of a folder; made there first, with epoch 1, where it was never opened before. */
export type OpenVaultIn = (stateDir: string, now: () => number) => Promise<OpenVault>;

const log = serviceLog("test", "silent");

/** Opens the vault of a folder; made there first, with epoch 1, where `unlock` was never used for it. */
export async function openSealedVault(stateDir: string, now: () => number, unlock?: KeyFile): Promise<SealedVault> {
  const file = join(stateDir, "vault.sealed");
  const key = unlock ?? new KeyFile(randomBytes(32));
  if (unlock === undefined) prepareEpoch(file, key, true);
  const keys = await openSealedFile({ file, unlock: key, now, log });
  return { ...(await withState(stateDir, keys)), file, unlock: key };
}

/**
 * A suite of the vault's methods, run once with keys in a sealed file and once with keys in a token. Where no token can
 * be had, that half is pending and says why; in CI it is an error. Suites that touch no key need no second run: limits,
 * names and paths of agent keys, the state's file (its anchor in a token is in anchors.test.ts), the listener's HTTP.
 */
export function forEachBackEnd(suite: (open: OpenVaultIn, backend: VaultKeys["backend"]) => void): void {
  describe("keys in a sealed file", () => {
    const unlocks = new Map<string, KeyFile>();
    suite(async (stateDir, now) => {
      const vault = await openSealedVault(stateDir, now, unlocks.get(stateDir));
      unlocks.set(stateDir, vault.unlock);
      return vault;
    }, "sealed-file");
  });

  describe("keys in a PKCS#11 token", () => {
    const missing = noSoftHsm();
    if (missing !== undefined) {
      it(`needs SoftHSM2: ${missing}`);
      return;
    }
    let hsm: SoftHsm | undefined;
    const labels = new Map<string, string>();
    after(() => hsm?.remove());
    suite(async (stateDir, now) => {
      hsm ??= softHsm();
      const known = labels.get(stateDir);
      const label = known ?? `vault ${String(labels.size)}`;
      labels.set(stateDir, label);
      const settings = { ...(known === undefined ? hsm.newToken(label) : hsm.token(label)), writerDir: stateDir };
      if (known === undefined) await createInToken(settings);
      const keys = await openPkcs11({ ...settings, now, log });
      if (known === undefined) await keys.prepareEpoch();
      return { ...(await withState(stateDir, keys)), disk: [stateDir, hsm.dir] };
    }, "pkcs11");
  });
}

async function withState(stateDir: string, keys: VaultKeys): Promise<OpenVault> {
  const dir = join(stateDir, "agent-keys");
  const state = await openVaultState({ dir, key: keys.stateKey(), anchor: keys.stateAnchor() });
  return {
    disk: [stateDir],
    keys,
    state,
    async close() {
      await state.close();
      await keys.close();
    },
  };
}

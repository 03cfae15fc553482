import { randomBytes } from "node:crypto";
import { join } from "node:path";

import { serviceLog } from "../../offchain/http/log";
import { prepareEpoch } from "../../offchain/signer/vault/epochs";
import { openSealedFile } from "../../offchain/signer/vault/keys/sealed-file";
import { KeyFile } from "../../offchain/signer/vault/keys/unlock";
import type { VaultKeys } from "../../offchain/signer/vault/keys/vault-keys";
import { openVaultState } from "../../offchain/signer/vault/state/open-state";
import type { VaultState } from "../../offchain/signer/vault/state/vault-state";

/** Real keys and a real state in a folder, with a clock in the test's hands. */
export interface SealedVault {
  readonly stateDir: string;
  readonly file: string;
  readonly keys: VaultKeys;
  readonly state: VaultState;
  close(): Promise<void>;
}

/** Opens the vault of a folder; made there first, with epoch 1, where `unlock` was never used for it. */
export async function openSealedVault(
  stateDir: string,
  now: () => number,
  unlock?: KeyFile,
): Promise<SealedVault & { readonly unlock: KeyFile }> {
  const file = join(stateDir, "vault.sealed");
  const key = unlock ?? new KeyFile(randomBytes(32));
  if (unlock === undefined) prepareEpoch(file, key, true);
  const keys = await openSealedFile({ file, unlock: key, now, log: serviceLog("test", "silent") });
  const dir = join(stateDir, "agent-keys");
  const state = await openVaultState({ dir, key: keys.stateKey(), anchor: keys.stateAnchor() });
  return {
    stateDir,
    file,
    keys,
    state,
    unlock: key,
    async close() {
      await state.close();
      await keys.close();
    },
  };
}

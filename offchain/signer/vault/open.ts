import { join } from "node:path";

import { brokerKeysFromFile } from "../../http/broker-keys";
import { openChain } from "../../http/chain-config";
import type { Logger } from "../../http/log";
import { fileReplay } from "../../store/file-replay";
import { CapCache } from "../../verify/cap-cache";
import { keccakReady } from "../../wire/keccak";
import type { vaultConfig } from "./config";
import { openVaultKeys } from "./keys/open";
import { rotateByAge } from "./keys/rotation";
import type { VaultKeys } from "./keys/vault-keys";
import { Ceremonies } from "./kms/ceremonies";
import { kmsSettings } from "./kms/config";
import { type KmsLimits, kmsLimits } from "./kms/limits";
import type { VaultParts } from "./parts";
import { AGENT_KEYS_DIR, type StateSettings, openVaultState } from "./state/open-state";

/** A vault whose keys, state, replay memory and chain connections are open. */
export interface OpenVault {
  readonly parts: VaultParts;
  close(): Promise<void>;
}

/** What the vault has beside its configuration. */
export interface VaultSurroundings {
  /** Unix seconds. */
  readonly now: () => number;
  readonly log: Logger;
  /** Those of `kmsLimits`, unless a measurement of speed must do without. */
  readonly limits?: KmsLimits;
}

type VaultConfig = ReturnType<typeof vaultConfig>;

/** The keys alone, as the running vault opens them. @throws as `openVault` */
export function openConfiguredKeys(
  config: VaultConfig,
  { now, log }: Pick<VaultSurroundings, "now" | "log">,
): Promise<VaultKeys> {
  // before the token's library is loaded, which reads them
  if (config.backend === "pkcs11") for (const [name, value] of config.environment) process.env[name] = value;
  return openVaultKeys(config, { writerDir: join(config.stateDir, "keys"), now, log });
}

/** Where the state lies, and what of these keys it is sealed by and tied to. */
export function stateSettings({ stateDir }: VaultConfig, keys: VaultKeys): StateSettings {
  return { dir: join(stateDir, AGENT_KEYS_DIR), key: keys.stateKey(), anchor: keys.stateAnchor() };
}

/**
 * Builds the vault from its configuration; nothing listens yet.
 * @throws VaultKeysError, VaultFileError, ConfigurationError, StoreUnavailable whose words name the cause
 */
export async function openVault(
  config: VaultConfig,
  { now, log, limits = kmsLimits({ now: () => performance.now() }) }: VaultSurroundings,
): Promise<OpenVault> {
  await keccakReady();
  const keys = await openConfiguredKeys(config, { now, log });
  const state = await openVaultState(stateSettings(config, keys));
  const stopRotating = rotateByAge(keys, now, log);
  const { chain, separator } = openChain(config, now, () => undefined);
  const replay = await fileReplay({ file: join(config.stateDir, "replay", "seen"), now });
  const own = { separator, chain, replay, keys, state, now, log };
  const parts: VaultParts = {
    ...own,
    cache: new CapCache(),
    brokerOrigin: config.brokerOrigin,
    brokerKeys: brokerKeysFromFile(config.brokerJwksFile),
    workerOrigins: config.workerOrigins,
    publicOrigin: config.publicOrigin,
    kms: { ...own, limits, ceremonies: new Ceremonies(), settings: kmsSettings(config, config.publicOrigin) },
  };
  return {
    parts,
    async close() {
      stopRotating();
      await replay.close();
      await state.close();
      await keys.close();
      await chain.close();
    },
  };
}

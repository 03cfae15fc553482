import { serviceLog } from "../offchain/http/log";
import { vaultConfig } from "../offchain/signer/vault/config";
import { openConfiguredKeys, stateSettings } from "../offchain/signer/vault/open";
import { recoverState } from "../offchain/signer/vault/state/recover";

/**
 * `npm run signer:recover-state`, with the vault stopped and its own environment: accepts the state that lies in
 * VAULT_STATE_DIR although it is older than the last one, or makes one where there is none. Every credential is dead
 * afterwards.
 */
async function main(): Promise<void> {
  const config = vaultConfig(process.env);
  const now = (): number => Math.floor(Date.now() / 1_000);
  const keys = await openConfiguredKeys(config, { now, log: serviceLog("signer:recover-state", "warn") });
  try {
    const known = await recoverState(stateSettings(config, keys));
    if (known === undefined) {
      console.log("There was no state: a new one was made, which knows no agent key. Every credential is dead.");
      console.log("Keys that were made or revoked before are unknown; new ones begin at an index far behind them.");
    } else {
      console.log(
        `The state was accepted: ${String(known)} agent keys. Each needs its owner's passkey once (refresh).`,
      );
      console.log("Keys that were made after that backup are unknown; their indices are not used again.");
    }
  } finally {
    await keys.close();
  }
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

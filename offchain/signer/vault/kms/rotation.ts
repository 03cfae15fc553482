import { rotationIsDue } from "../keys/rotation";
import type { VaultKeys } from "../keys/vault-keys";

const underWay = new WeakMap<VaultKeys, Promise<unknown>>();

/**
 * Asked before every issue, so that none is signed by a secret older than a day even where the vault's own look at its
 * age comes late. Requests that find it too old at the same moment share one rotation. `now` in Unix seconds.
 */
export async function rotateOnUse(keys: VaultKeys, now: number): Promise<void> {
  const current = underWay.get(keys);
  if (current !== undefined) {
    await current;
    return;
  }
  if (!rotationIsDue(keys.tokenSecrets(), now)) return;
  const rotation = keys.rotateTokenSecret(now, false).finally(() => underWay.delete(keys));
  underWay.set(keys, rotation);
  await rotation;
}

import { withoutCredential } from "../state/records";
import type { AgentKeyRecord, VaultState } from "../state/vault-state";

/**
 * Ends a key for good: no credential, and an epoch that none was ever issued under. Once revoked it stays as it was.
 * Durable, and in force inside the vault, before it answers. `now` in Unix seconds.
 */
export function revokeRecord(state: VaultState, keyId: string, now: number): Promise<AgentKeyRecord> {
  return state.update(keyId, (current) => {
    if (current.revokedAt !== undefined) return current;
    return { ...withoutCredential(current), epoch: current.epoch + 1, revokedAt: now };
  });
}

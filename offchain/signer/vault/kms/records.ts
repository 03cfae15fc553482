import type { AgentKeyRecord, VaultState } from "../state/vault-state";

/** A record without what its current credential left in it. */
export type BareRecord = Omit<AgentKeyRecord, "credentialHash" | "credentialExpiresAt">;

/** The record as it is without a credential: whatever was issued for it is dead. */
export function withoutCredential(record: AgentKeyRecord): BareRecord {
  const { keyId, operatorOmni, account, index, label, deviceKeyHash, agentAddress, epoch, createdAt } = record;
  const { revokedAt } = record;
  const bare = { keyId, operatorOmni, account, index, label, deviceKeyHash, agentAddress, epoch, createdAt };
  return revokedAt === undefined ? bare : { ...bare, revokedAt };
}

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

import { randomBytes } from "node:crypto";

import type { AgentKeyRecord, KeyOwner } from "../../offchain/signer/vault/state/vault-state";
import { toHex } from "../../offchain/wire/bytes";

/** An owner of agent keys that nobody has seen. */
export function anyOwner(): KeyOwner {
  return { operatorOmni: toHex(randomBytes(32)), account: toHex(randomBytes(20)) };
}

/** A record of this owner, good in every member. */
export function anyRecord(owner: KeyOwner, index: number, changes: Partial<AgentKeyRecord> = {}): AgentKeyRecord {
  return {
    ...owner,
    keyId: `${owner.operatorOmni.slice(2, 34)}:${String(index)}`,
    index,
    label: `agent ${String(index)}`,
    deviceKeyHash: toHex(randomBytes(32)),
    agentAddress: toHex(randomBytes(20)),
    epoch: 1,
    credentialHash: toHex(randomBytes(32)),
    credentialExpiresAt: 1_800_000_000,
    createdAt: 1_790_000_000,
    ...changes,
  };
}

import { type Hex, isAddressHex, isBytes32 } from "../../../wire/bytes";
import { type JsonObject, type JsonValue, isJsonObject, isWholeNumber } from "../../../wire/json";
import { type AgentKeyRecord, VaultStateError } from "./vault-state";

/** Members that say which key it is. */
const IDENTITY = ["keyId", "operatorOmni", "account", "index", "agentAddress", "createdAt"] as const;

/** A record whose every member can be written and read again; frozen. @throws VaultStateError that names the member */
export function checkedRecord(record: AgentKeyRecord): AgentKeyRecord {
  const { keyId, operatorOmni, account, index, label, deviceKeyHash, agentAddress, epoch, createdAt } = record;
  const { credentialHash, credentialExpiresAt, revokedAt } = record;
  const forms: Readonly<Record<string, boolean>> = {
    keyId: isText(keyId) && keyId !== "",
    operatorOmni: isBytes32(operatorOmni),
    account: isAddressHex(account),
    index: isCount(index),
    label: isText(label),
    deviceKeyHash: isBytes32(deviceKeyHash),
    agentAddress: isAddressHex(agentAddress),
    epoch: isCount(epoch),
    createdAt: isCount(createdAt),
    credentialHash: credentialHash === undefined || isBytes32(credentialHash),
    credentialExpiresAt: credentialExpiresAt === undefined || isCount(credentialExpiresAt),
    revokedAt: revokedAt === undefined || isCount(revokedAt),
  };
  for (const [member, isGood] of Object.entries(forms)) {
    if (!isGood) throw new VaultStateError(`an agent key's ${member} cannot be kept`);
  }
  const optional = { credentialHash, credentialExpiresAt, revokedAt };
  const given = Object.fromEntries(Object.entries(optional).filter(([, value]) => value !== undefined));
  return Object.freeze({
    ...{ keyId, operatorOmni, account, index, label, deviceKeyHash, agentAddress, epoch, createdAt },
    ...given,
  });
}

/** A record without what its current credential left in it. */
export type BareRecord = Omit<AgentKeyRecord, "credentialHash" | "credentialExpiresAt">;

/** The record as it is without a credential: whatever was issued for it is dead. */
export function withoutCredential(record: AgentKeyRecord): BareRecord {
  const { keyId, operatorOmni, account, index, label, deviceKeyHash, agentAddress, epoch, createdAt } = record;
  const { revokedAt } = record;
  const bare = { keyId, operatorOmni, account, index, label, deviceKeyHash, agentAddress, epoch, createdAt };
  return revokedAt === undefined ? bare : { ...bare, revokedAt };
}

/** What may come after a record: identity stays, epochs never fall, a revocation stays. @throws VaultStateError */
export function checkSuccessor(before: AgentKeyRecord, after: AgentKeyRecord): void {
  for (const member of IDENTITY) {
    if (before[member] !== after[member]) throw new VaultStateError(`an agent key's ${member} never changes`);
  }
  if (after.epoch < before.epoch) throw new VaultStateError("an agent key's epoch never falls");
  if (before.revokedAt !== undefined && after.revokedAt !== before.revokedAt) {
    throw new VaultStateError("what was revoked stays revoked");
  }
}

/** Reads a record as `JSON.stringify` wrote it. @throws VaultStateError */
export function readRecord(value: JsonValue): AgentKeyRecord {
  const words: JsonObject = isJsonObject(value) ? value : {};
  // every member is checked, whatever its type
  return checkedRecord(words as unknown as AgentKeyRecord);
}

/** True for what a counter or a time can be. */
export function isCount(value: JsonValue | undefined): value is number {
  return isWholeNumber(value) && Number.isSafeInteger(value) && value >= 0;
}

/** One text for an owner of indices. */
export function ownerName(operatorOmni: Hex, account: Hex): string {
  return `${operatorOmni}/${account}`;
}

// a lone surrogate would make the state a text that its own reader refuses
function isText(value: unknown): value is string {
  return typeof value === "string" && Buffer.from(value).toString() === value;
}

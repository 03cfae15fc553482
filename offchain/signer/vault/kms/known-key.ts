import type { CeremonyOperation } from "../../../wire/ceremony";
import { type Result, ok, refuse } from "../../../wire/result";
import type { AgentKeyRecord, VaultState } from "../state/vault-state";
import { keyIdOf } from "./agent-key";
import type { Standing } from "./standing";

/**
 * The record of a key of the device's own operator, under its present master account: `agent_key_not_found` for any
 * other, and for a revoked one unless it is to be revoked (again).
 */
export function knownKey(
  state: VaultState,
  { device, master }: Standing,
  keyId: string,
  operation: Exclude<CeremonyOperation, "create">,
): Result<AgentKeyRecord> {
  const record = state.agentKey(keyId);
  if (record?.operatorOmni !== device.operatorOmni || record.account !== master) {
    return refuse("agent_key_not_found", "The device's operator has no such agent key.");
  }
  if (keyIdOf(record.operatorOmni, record.account, record.index) !== record.keyId) {
    throw new Error("the state holds an agent key under the name of another");
  }
  if (record.revokedAt !== undefined && operation === "refresh") {
    return refuse("agent_key_not_found", "The agent key was revoked, which is for good.");
  }
  return ok(record);
}

import { isBytes32 } from "../../../wire/bytes";
import type { Hex } from "../../../wire/bytes";
import { type JsonValue, isJsonObject, readJsonObject } from "../../../wire/json";
import { checkSuccessor, checkedRecord, isCount, ownerName, readRecord } from "./records";
import { type AgentKeyRecord, type KeyOwner, VaultStateError } from "./vault-state";

/** All that the state file holds. */
export interface StateData {
  readonly records: ReadonlyMap<string, AgentKeyRecord>;
  /** Owner → the index that was never used yet. */
  readonly nextIndex: ReadonlyMap<string, number>;
  /** That of an owner who is not in it: 0, or higher in a state that was recovered from an older one. */
  readonly firstIndex: number;
  /** Passkey → the highest signature counter seen, above 0. */
  readonly signCounts: ReadonlyMap<string, number>;
}

/** A copy that changes are tried on. */
export interface Draft {
  readonly records: Map<string, AgentKeyRecord>;
  readonly nextIndex: Map<string, number>;
  readonly firstIndex: number;
  readonly signCounts: Map<string, number>;
}

/** A change: checks everything before it touches the draft, so that one that throws leaves it as it was. */
export type Change<T> = (draft: Draft) => { readonly result: T; readonly changed: boolean };

/** A state before its first key. */
export const EMPTY: StateData = { records: new Map(), nextIndex: new Map(), firstIndex: 0, signCounts: new Map() };

/** A draft of this state. */
export function draftOf({ records, nextIndex, firstIndex, signCounts }: StateData): Draft {
  return { records: new Map(records), nextIndex: new Map(nextIndex), firstIndex, signCounts: new Map(signCounts) };
}

/** @see VaultState.create */
export function creation(owner: KeyOwner, make: (index: number) => AgentKeyRecord): Change<AgentKeyRecord> {
  return (draft) => {
    const name = ownerName(owner.operatorOmni, owner.account);
    const index = draft.nextIndex.get(name) ?? draft.firstIndex;
    const record = checkedRecord(make(index));
    if (record.index !== index || ownerName(record.operatorOmni, record.account) !== name) {
      throw new VaultStateError("an agent key was made for another index or owner than was reserved");
    }
    if (draft.records.has(record.keyId)) throw new VaultStateError("an agent key of this id is there already");
    draft.nextIndex.set(name, index + 1);
    draft.records.set(record.keyId, record);
    return { result: record, changed: true };
  };
}

/** @see VaultState.update */
export function succession(keyId: string, change: (now: AgentKeyRecord) => AgentKeyRecord): Change<AgentKeyRecord> {
  return (draft) => {
    const before = draft.records.get(keyId);
    if (before === undefined) throw new VaultStateError("there is no agent key of this id");
    const after = checkedRecord(change(before));
    checkSuccessor(before, after);
    draft.records.set(keyId, after);
    return { result: after, changed: true };
  };
}

/** @see VaultState.acceptSignCount */
export function counting(credIdHash: Hex, count: number): Change<boolean> {
  return (draft) => {
    if (!isBytes32(credIdHash) || !isCount(count)) throw new VaultStateError("this is no passkey's counter");
    const last = draft.signCounts.get(credIdHash) ?? 0;
    if (count === 0 && last === 0) return { result: true, changed: false };
    if (count <= last) return { result: false, changed: false };
    draft.signCounts.set(credIdHash, count);
    return { result: true, changed: true };
  };
}

/** The clear text of the state file. */
export function encodeState({ records, nextIndex, firstIndex, signCounts }: StateData): Buffer {
  return Buffer.from(
    JSON.stringify({
      records: [...records.values()],
      next_index: Object.fromEntries(nextIndex),
      first_index: firstIndex,
      sign_counts: Object.fromEntries(signCounts),
    }),
  );
}

/** Reads it back, every member checked. @throws VaultStateError */
export function decodeState(clear: Buffer): StateData {
  const read = readJsonObject(clear);
  if (!read.ok || !Array.isArray(read.value["records"])) throw new VaultStateError("the state file holds no state");
  const firstIndex = read.value["first_index"];
  if (!isCount(firstIndex)) throw new VaultStateError("the state file holds no state");
  const records = (read.value["records"] as readonly JsonValue[]).map(readRecord);
  const nextIndex = countsOf(read.value["next_index"]);
  for (const { operatorOmni, account, index } of records) {
    if (index >= (nextIndex.get(ownerName(operatorOmni, account)) ?? 0)) {
      throw new VaultStateError("the state file holds an index that was never reserved");
    }
  }
  return {
    records: new Map(records.map((one) => [one.keyId, one])),
    nextIndex,
    firstIndex,
    signCounts: countsOf(read.value["sign_counts"]),
  };
}

function countsOf(value: JsonValue | undefined): ReadonlyMap<string, number> {
  if (!isJsonObject(value)) throw new VaultStateError("the state file holds no state");
  return new Map(
    Object.entries(value).map(([name, count]) => {
      if (!isCount(count)) throw new VaultStateError("the state file holds a counter that is no number");
      return [name, count];
    }),
  );
}

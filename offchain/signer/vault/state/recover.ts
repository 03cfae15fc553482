import { randomInt } from "node:crypto";
import { join } from "node:path";

import { lockFolder } from "../../../store/folder-lock";
import { randomName } from "../keys/vault-contents";
import { STATE_ELSEWHERE } from "../keys/vault-keys";
import { STATE_FILE, type StateSettings } from "./open-state";
import { EMPTY, type StateData } from "./state-data";
import { readState, sequenceKeeper, writeState } from "./state-file";
import { withoutCredential } from "./records";
import { VaultStateError } from "./vault-state";

/** Indices that are passed over for every owner: more keys than anybody made since the backup. */
export const SKIPPED_INDICES = 100_000;

/** BIP-32 indices that are not hardened end below this. */
const END_OF_INDICES = 2 ** 31;

/**
 * Makes an older state usable when the newer one is lost: what was refused as rolled back is accepted, and nothing that
 * was given out since can do harm. Every owner's indices go on far behind the last one known, so that none is used
 * twice; every credential is dead, and each agent key needs its owner's passkey again. Keys that were made since are
 * unknown; keys that were revoked since are as they were at the backup, without a credential. Where there is no state at
 * all, a new one is made that knows no key, revoked or not, and begins at an index that is drawn: what an earlier one
 * began at nobody knows.
 * @returns how many keys are known; undefined where there was no state
 * @throws StoreUnavailable while a vault is running; VaultStateError or VaultFileError for what is no state of these keys
 */
export async function recoverState({ dir, key, anchor }: StateSettings): Promise<number | undefined> {
  const lock = lockFolder(dir);
  try {
    const file = join(dir, STATE_FILE);
    const keeper = sequenceKeeper(file, anchor);
    const found = readState(file, key, anchor, 0);
    const bound = anchor.id();
    const id = found?.id ?? (bound === undefined || bound === STATE_ELSEWHERE ? randomName() : bound);
    const sequence = Math.max(found?.sequence ?? 0, keeper.value()) + 1;
    await writeState(file, key, { id, sequence, data: found === undefined ? begunAnew() : behind(found.data) });
    await keeper.raise(sequence);
    await anchor.bind(id);
    return found?.data.records.size;
  } finally {
    lock.release();
  }
}

function begunAnew(): StateData {
  return { ...EMPTY, firstIndex: randomInt(SKIPPED_INDICES, END_OF_INDICES / 2) };
}

function behind({ records, nextIndex, firstIndex, signCounts }: StateData): StateData {
  const later = (index: number): number => {
    if (index + SKIPPED_INDICES >= END_OF_INDICES) throw new VaultStateError("there are no indices left to go on with");
    return index + SKIPPED_INDICES;
  };
  return {
    records: new Map(
      [...records].map(([keyId, record]) => [keyId, { ...withoutCredential(record), epoch: record.epoch + 1 }]),
    ),
    nextIndex: new Map([...nextIndex].map(([owner, index]) => [owner, later(index)])),
    firstIndex: later(firstIndex),
    signCounts,
  };
}

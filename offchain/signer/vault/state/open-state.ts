import { join } from "node:path";

import { lockFolder } from "../../../store/folder-lock";
import { StoreUnavailable } from "../../../store/unavailable";
import type { Secret } from "../../../wire/secret";
import { randomName } from "../keys/vault-contents";
import type { StateAnchor } from "../keys/vault-keys";
import { type Change, EMPTY, type StateData, counting, creation, draftOf, succession } from "./state-data";
import { checkMayBegin, readState, sequenceKeeper, writeState } from "./state-file";
import { type VaultState, VaultStateError } from "./vault-state";

/** What a state is opened with. */
export interface StateSettings {
  /** A folder of its own; made with mode 0700 where it is missing. */
  readonly dir: string;
  readonly key: Secret<Buffer>;
  readonly anchor: StateAnchor;
}

/** Folder of the state inside VAULT_STATE_DIR. */
export const AGENT_KEYS_DIR = "agent-keys";

/** The state's file in its folder. */
export const STATE_FILE = "state.sealed";

interface Waiting {
  /** Tries the change on a draft and says whether it changed anything; never throws. */
  readonly attempt: (draft: ReturnType<typeof draftOf>) => boolean;
  /** Once everything that was tried is durable. */
  readonly settle: () => void;
  readonly fail: (error: Error) => void;
}

/**
 * Opens the state for one writer, this process. Nothing is written before the first change.
 * @throws StoreUnavailable that names another writer; VaultStateError or VaultFileError whose words name the cause
 */
export async function openVaultState({ dir, key, anchor }: StateSettings): Promise<VaultState> {
  const lock = lockFolder(dir);
  const file = join(dir, STATE_FILE);
  const keeper = sequenceKeeper(file, anchor);
  let data: StateData;
  let id: string;
  let sequence: number;
  try {
    const expected = keeper.value();
    const found = readState(file, key, anchor, expected);
    // a crash between the two writes left the number, or the bond, behind: the file is the newer truth
    if (found !== undefined && found.sequence > expected) await keeper.raise(found.sequence);
    if (found === undefined) checkMayBegin(file, anchor, expected);
    else if (anchor.id() !== found.id) await anchor.bind(found.id);
    ({ data, id, sequence } = found ?? { data: EMPTY, id: randomName(), sequence: 0 });
  } catch (error) {
    lock.release();
    throw error;
  }

  let waiting: Waiting[] = [];
  let busy: Promise<void> | undefined;
  let isClosed = false;

  /** One write for all that wait. What one change throws is its own; what the write throws is everybody's. */
  async function commit(batch: readonly Waiting[]): Promise<void> {
    const draft = draftOf(data);
    const changed = batch.map((one) => one.attempt(draft)).includes(true);
    if (changed) {
      // also after a write that failed: no two files of different content bear one number
      sequence += 1;
      try {
        const bound = anchor.id();
        if (bound !== undefined && bound !== id)
          throw new VaultStateError("another state belongs to these keys by now");
        await writeState(file, key, { id, sequence, data: draft });
        await keeper.raise(sequence);
        if (bound === undefined) await anchor.bind(id);
      } catch (error) {
        const failed = new StoreUnavailable("the vault's state could not be written", { cause: error });
        for (const one of batch) one.fail(failed);
        return;
      }
      data = draft;
    }
    for (const one of batch) one.settle();
  }

  function pump(): void {
    if (busy !== undefined || waiting.length === 0) return;
    const batch = waiting;
    waiting = [];
    busy = commit(batch).finally(() => {
      busy = undefined;
      pump();
    });
  }

  function durably<T>(change: Change<T>): Promise<T> {
    if (isClosed) return Promise.reject(new StoreUnavailable("the vault's state is closed"));
    return new Promise((done, failed) => {
      let settle = (): void => undefined;
      waiting.push({
        attempt(draft) {
          try {
            const { result, changed } = change(draft);
            settle = () => {
              done(result);
            };
            return changed;
          } catch (error) {
            failed(error instanceof Error ? error : new VaultStateError(String(error)));
            return false;
          }
        },
        settle: () => {
          settle();
        },
        fail: failed,
      });
      // the rest of this turn's changes join the same write
      setImmediate(pump);
    });
  }

  return {
    agentKey: (keyId) => data.records.get(keyId),
    agentKeysOf: (operatorOmni) => [...data.records.values()].filter((one) => one.operatorOmni === operatorOmni),
    all: () => [...data.records.values()],
    create: (owner, make) => durably(creation(owner, make)),
    update: (keyId, change) => durably(succession(keyId, change)),
    acceptSignCount: (credIdHash, count) => durably(counting(credIdHash, count)),
    async close() {
      isClosed = true;
      pump();
      while (busy !== undefined) await busy;
      lock.release();
    },
  };
}

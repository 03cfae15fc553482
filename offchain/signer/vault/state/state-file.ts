import { lstatSync } from "node:fs";
import { rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

import { flushFolder, writeNew } from "../../../store/durable";
import type { Secret } from "../../../wire/secret";
import { readCheckedFile, readSequence } from "../keys/checked-file";
import { parseEnvelope, sealEnvelope } from "../keys/envelope";
import { STATE_ELSEWHERE, type StateAnchor } from "../keys/vault-keys";
import { type StateData, decodeState, encodeState } from "./state-data";
import { VaultStateError } from "./vault-state";

const FORMAT = "agentkeys-vault-state.v1";

/** What was read of a state file. */
export interface FoundState {
  readonly id: string;
  readonly sequence: number;
  readonly data: StateData;
}

/** Where the sequence number of the last write is kept: in a token, or beside the file. */
export interface SequenceKeeper {
  value(): number;
  raise(to: number): Promise<void>;
}

/**
 * The anchor's own where it has one; else `<file>.seq`, which also counts where a token is new and its own number says
 * nothing of the state that was restored beside it.
 */
export function sequenceKeeper(file: string, anchor: StateAnchor): SequenceKeeper {
  const { sequence } = anchor;
  if (sequence === undefined) {
    return {
      value: () => readSequence(file),
      raise: (to) => replaceFileAsync(`${file}.seq`, Buffer.from(String(to))),
    };
  }
  const isNew = (): boolean => anchor.id() === STATE_ELSEWHERE;
  return {
    value: () => Math.max(sequence.value(), isNew() ? readSequence(file) : 0),
    raise: (to) => sequence.raise(to),
  };
}

/**
 * Reads and judges the state file. Undefined where there is none.
 * @throws VaultStateError: of other keys, rolled back, no state; VaultFileError: unsafe, damaged, of another key
 */
export function readState(
  file: string,
  key: Secret<Buffer>,
  anchor: StateAnchor,
  expected: number,
): FoundState | undefined {
  const bound = anchor.id();
  if (lstatSync(file, { throwIfNoEntry: false }) === undefined) return undefined;
  const envelope = parseEnvelope(file, readCheckedFile(file, "it was there a moment ago"), [FORMAT], "vault state");
  const clear = envelope.open(key.reveal(), "it was changed, or belongs to another vault");
  const { id } = envelope.head;
  if (typeof id !== "string" || (bound !== undefined && bound !== STATE_ELSEWHERE && id !== bound)) {
    throw new VaultStateError(`${file} is another state than the one that belongs to the keys of this vault`);
  }
  if (envelope.sequence < expected) {
    throw new VaultStateError(
      `${file} is older than the last one written (${String(envelope.sequence)} of ${String(expected)}): it was rolled back`,
    );
  }
  const data = decodeState(clear);
  clear.fill(0);
  return { id, sequence: envelope.sequence, data };
}

/** Lets a state begin beside keys that never had one, and no others. @throws VaultStateError: gone, elsewhere */
export function checkMayBegin(file: string, anchor: StateAnchor, expected: number): void {
  const bound = anchor.id();
  if (bound === undefined && expected === 0) return;
  const why =
    bound === STATE_ELSEWHERE
      ? "is not there: the keys of this vault were made from others, whose agent keys it does not know"
      : "is gone: the keys of this vault had a state";
  throw new VaultStateError(
    `${file} ${why}. Put the last backup in place, or, where there is none, run npm run signer:recover-state; a fresh state would use indices twice`,
  );
}

/** Writes the state durably; its number is the caller's to keep. */
export async function writeState(file: string, key: Secret<Buffer>, state: FoundState): Promise<void> {
  const clear = encodeState(state.data);
  const sealed = sealEnvelope({ format: FORMAT, id: state.id, sequence: state.sequence }, key.reveal(), clear);
  clear.fill(0);
  await replaceFileAsync(file, sealed);
}

/** As `replaceFile`, beside other work: the old file or the new one is there after a crash. */
async function replaceFileAsync(file: string, bytes: Buffer): Promise<void> {
  const temporary = `${file}.tmp`;
  await rm(temporary, { force: true });
  await writeNew(temporary, bytes);
  await rename(temporary, file);
  await flushFolder(dirname(file));
}

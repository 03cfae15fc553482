import { randomBytes } from "node:crypto";
import { lstatSync } from "node:fs";
import { dirname } from "node:path";

import { type FolderLock, lockFolder } from "../../store/folder-lock";
import { StoreUnavailable } from "../../store/unavailable";
import { fromBase64url, toBase64url } from "../../wire/bytes";
import { VaultFileError, readCheckedFile, readSequence, replaceFile, writeSequence } from "./keys/checked-file";
import { parseEnvelope, sealEnvelope } from "./keys/envelope";
import { type VaultUnlock, derivationOf, fileKey } from "./keys/unlock";
import {
  type K3Ring,
  type VaultContents,
  decodeContents,
  decodeRing,
  drawSeeds,
  encodeContents,
  newContents,
} from "./keys/vault-contents";
import { STATE_ELSEWHERE } from "./keys/vault-keys";

export { VaultFileError } from "./keys/checked-file";
export type { K3Ring } from "./keys/vault-contents";

const FORMAT = "agentkeys-vault.v2";
/** K3 alone, always by passphrase; read, and written as v2 at the first change. */
const FORMAT_1 = "agentkeys-vault.v1";
const SALT_BYTES = 16;

interface Opened {
  readonly sequence: number;
  readonly salt: Buffer;
  readonly epochs: K3Ring;
  /** Absent in a file of format v1. */
  readonly contents?: VaultContents;
}

/**
 * Opens a sealed file with its passphrase or key file; its K3 alone. Beside the file lies `<file>.seq` with the number
 * of the last write: an older file put back alone is refused; both put back together cannot be told from the truth
 * here, and the chain's commitments then say which epochs are missing. A file without any number was brought here alone:
 * its keys may have a state elsewhere, and are marked so.
 * @throws VaultFileError whose words name the cause
 */
export function openVaultFile(file: string, unlock: VaultUnlock): K3Ring {
  return open(file, unlock).epochs;
}

/** As `openVaultFile`, and everything in it; undefined for a file of format v1, which `changeContents` completes. */
export function openContents(file: string, unlock: VaultUnlock): VaultContents | undefined {
  return open(file, unlock).contents;
}

/**
 * Writes what `change` makes of the ring: the old file or the new one is there after a crash at any point. `isNew`
 * starts from an empty ring and makes the file. One writer at a time: what two of them drew would not both be kept.
 * @throws StoreUnavailable that names another writer at work; VaultFileError
 */
export function changeVaultFile(
  file: string,
  unlock: VaultUnlock,
  isNew: boolean,
  change: (ring: K3Ring) => K3Ring,
): void {
  const epochs = (contents: VaultContents): VaultContents => ({ ...contents, epochs: change(contents.epochs) });
  if (isNew) createContents(file, unlock, () => epochs(newContents(drawSeeds())));
  else changeContents(file, unlock, epochs);
}

/** Makes the file. @throws VaultFileError where there is one; StoreUnavailable */
export function createContents(file: string, unlock: VaultUnlock, make: () => VaultContents): VaultContents {
  return locked(file, () => {
    if (lstatSync(file, { throwIfNoEntry: false }) !== undefined) {
      throw new VaultFileError(`${file} exists already: no other keys are written over it`);
    }
    const contents = make();
    const sequence = readSequence(file);
    // before the file: one that a crash left without its number would count as brought here
    writeSequence(file, sequence + 1);
    write(file, unlock, { sequence, salt: randomBytes(SALT_BYTES) }, contents);
    return contents;
  });
}

/**
 * Replaces the contents by `change(contents)`, read anew under the lock; where it gives back the same object nothing
 * is written. A file of format v1 is completed first. @throws StoreUnavailable beside another writer; VaultFileError
 */
export function changeContents(
  file: string,
  unlock: VaultUnlock,
  change: (contents: VaultContents) => VaultContents,
): VaultContents {
  return locked(file, () => {
    const before = read(file, unlock);
    const contents = before.contents ?? newContents({ ...drawSeeds(), epochs: before.epochs });
    const after = change(contents);
    if (after !== before.contents) write(file, unlock, before, after);
    return after;
  });
}

function open(file: string, unlock: VaultUnlock): Opened {
  const opened = read(file, unlock);
  if (opened.sequence > opened.expected) catchUp(file, unlock);
  return opened;
}

function read(file: string, unlock: VaultUnlock): Opened & { readonly expected: number } {
  // before the file, which a writer replaces first: what is read here is never ahead of an honest file
  const expected = readSequence(file);
  const opened = unseal(file, readCheckedFile(file, "make it with npm run signer:init"), unlock);
  if (opened.sequence < expected) {
    throw new VaultFileError(
      `${file} is older than the last one written here (${String(opened.sequence)} of ${String(expected)}): it was rolled back`,
    );
  }
  const { contents } = opened;
  const isMarked = expected === 0 && contents !== undefined && contents.stateId === undefined;
  return { ...opened, expected, ...(isMarked ? { contents: { ...contents, stateId: STATE_ELSEWHERE } } : {}) };
}

function unseal(file: string, bytes: Buffer, unlock: VaultUnlock): Opened {
  const envelope = parseEnvelope(file, bytes, [FORMAT, FORMAT_1], "vault file");
  const { format, salt: saltText, kdf } = envelope.head;
  const isFirst = format === FORMAT_1;
  const salt = fromBase64url(saltText);
  if (salt?.length !== SALT_BYTES || (!isFirst && kdf !== "scrypt" && kdf !== "hkdf")) {
    throw new VaultFileError(`${file} has a damaged head`);
  }
  const by = isFirst ? "scrypt" : kdf;
  if (by !== derivationOf(unlock)) {
    const [is, given] = by === "scrypt" ? ["a passphrase", "a key file"] : ["a key file", "a passphrase"];
    throw new VaultFileError(`${file} is sealed by ${is}, and ${given} was given`);
  }
  const words = by === "scrypt" ? "the passphrase is wrong" : "it is another key file";
  const clear = envelope.open(fileKey(unlock, salt), `${words}, or the file was changed`);
  const { sequence } = envelope;
  if (isFirst) return { sequence, salt, epochs: decodeRing(file, clear) };
  const contents = decodeContents(file, clear);
  return { sequence, salt, epochs: contents.epochs, contents };
}

function write(
  file: string,
  unlock: VaultUnlock,
  before: { readonly sequence: number; readonly salt: Buffer },
  contents: VaultContents,
): void {
  const sequence = before.sequence + 1;
  const clear = encodeContents(contents);
  const head = { format: FORMAT, sequence, kdf: derivationOf(unlock), salt: toBase64url(before.salt) };
  replaceFile(file, sealEnvelope(head, fileKey(unlock, before.salt), clear));
  clear.fill(0);
  writeSequence(file, sequence);
}

/** A crash between the two writes left the number behind: the file is the newer truth. Without one its mark is kept. */
function catchUp(file: string, unlock: VaultUnlock): void {
  try {
    locked(file, () => {
      const now = read(file, unlock);
      if (now.expected === 0 && now.contents !== undefined) write(file, unlock, now, now.contents);
      else if (now.expected < now.sequence) writeSequence(file, now.sequence);
    });
  } catch (error) {
    // a writer is at work, and writes the number itself
    if (!(error instanceof StoreUnavailable)) throw error;
  }
}

function locked<T>(file: string, act: () => T): T {
  const lock: FolderLock = lockFolder(dirname(file));
  try {
    return act();
  } finally {
    lock.release();
  }
}

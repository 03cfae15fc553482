import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from "node:crypto";
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  lstatSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";

import { syncFolder } from "../../store/durable";
import { type FolderLock, lockFolder } from "../../store/folder-lock";
import { StoreUnavailable } from "../../store/unavailable";
import { fromBase64url, toBase64url } from "../../wire/bytes";
import { isJsonObject, isWholeNumber, readJsonObject } from "../../wire/json";
import { Secret } from "../../wire/secret";

/** Every K3 that this vault holds, by epoch. */
export type K3Ring = ReadonlyMap<number, Secret<Buffer>>;

/** Why a vault file was not opened; each cause has its own words. */
export class VaultFileError extends Error {
  override readonly name = "VaultFileError";
}

const FORMAT = "agentkeys-vault.v1";
// RFC 7914 parameters for interactive use at start-up: 128 MiB, about half a second
const SCRYPT = { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 1024 * 1024 } as const;

/**
 * Opens a sealed ring with its passphrase. Beside the file lies `<file>.seq` with the number of the last write: an
 * older file put back alone is refused; both put back together cannot be told from the truth here, and the chain's
 * commitments then say which epochs are missing.
 * @throws VaultFileError whose words name the cause
 */
export function openVaultFile(file: string, passphrase: Secret<Buffer>): K3Ring {
  const { sequence, expected, ring } = readVault(file, passphrase);
  if (sequence > expected) catchUp(file, sequence);
  return ring;
}

/**
 * Writes what `change` makes of the ring: the old file or the new one is there after a crash at any point. `isNew`
 * starts from an empty ring and makes the file. One writer at a time: what two of them drew would not both be kept.
 * @throws StoreUnavailable that names another writer at work; VaultFileError
 */
export function changeVaultFile(
  file: string,
  passphrase: Secret<Buffer>,
  isNew: boolean,
  change: (ring: K3Ring) => K3Ring,
): void {
  const lock = lockFolder(dirname(file));
  try {
    if (isNew && lstatSync(file, { throwIfNoEntry: false }) !== undefined) {
      throw new VaultFileError(`${file} exists already: no other keys are written over it`);
    }
    const before = isNew
      ? { sequence: readSequence(file), ring: new Map<number, Secret<Buffer>>() }
      : readVault(file, passphrase);
    const sequence = before.sequence + 1;
    writeFile(file, seal(sequence, passphrase, change(before.ring)));
    writeFile(sequenceFile(file), Buffer.from(String(sequence)));
  } finally {
    lock.release();
  }
}

function readVault(
  file: string,
  passphrase: Secret<Buffer>,
): { readonly sequence: number; readonly expected: number; readonly ring: K3Ring } {
  // before the file, which a writer replaces first: what is read here is never ahead of an honest file
  const expected = readSequence(file);
  const { sequence, ring } = unseal(file, readChecked(file), passphrase);
  if (sequence < expected) {
    throw new VaultFileError(
      `${file} is older than the last one written here (${String(sequence)} of ${String(expected)}): it was rolled back`,
    );
  }
  return { sequence, expected, ring };
}

/** A crash between the two writes left the number behind: the file is the newer truth. */
function catchUp(file: string, sequence: number): void {
  let lock: FolderLock;
  try {
    lock = lockFolder(dirname(file));
  } catch (error) {
    // a writer is at work, and writes the number itself
    if (error instanceof StoreUnavailable) return;
    throw error;
  }
  try {
    if (readSequence(file) < sequence) writeFile(sequenceFile(file), Buffer.from(String(sequence)));
  } finally {
    lock.release();
  }
}

function seal(sequence: number, passphrase: Secret<Buffer>, ring: K3Ring): Buffer {
  const salt = randomBytes(16);
  const iv = randomBytes(12);
  const head = JSON.stringify({ format: FORMAT, sequence, salt: toBase64url(salt), iv: toBase64url(iv) });
  const keys = Object.fromEntries([...ring].map(([epoch, k3]) => [String(epoch), toBase64url(k3.reveal())]));
  const cipher = createCipheriv("aes-256-gcm", scryptSync(passphrase.reveal(), salt, 32, SCRYPT), iv);
  cipher.setAAD(Buffer.from(head));
  const sealed = Buffer.concat([cipher.update(JSON.stringify(keys)), cipher.final(), cipher.getAuthTag()]);
  return Buffer.from(`${head}\n${toBase64url(sealed)}\n`);
}

function unseal(file: string, bytes: Buffer, passphrase: Secret<Buffer>): { sequence: number; ring: K3Ring } {
  const [headText, sealedText, end, ...more] = bytes.toString("latin1").split("\n");
  const head = readJsonObject(Buffer.from(headText ?? ""));
  const sealed = fromBase64url(sealedText);
  if (!head.ok || head.value["format"] !== FORMAT)
    throw new VaultFileError(`${file} is no vault file, or its start is cut off`);
  if (sealed === undefined || sealed.length < 16 || end === undefined) throw new VaultFileError(`${file} is cut off`);
  if (end !== "" || more.length > 0) throw new VaultFileError(`${file} has something behind its end`);
  const { sequence, salt, iv } = head.value;
  const [saltBytes, ivBytes] = [fromBase64url(salt), fromBase64url(iv)];
  if (!isWholeNumber(sequence) || saltBytes?.length !== 16 || ivBytes?.length !== 12) {
    throw new VaultFileError(`${file} has a damaged head`);
  }
  const key = scryptSync(passphrase.reveal(), saltBytes, 32, SCRYPT);
  const decipher = createDecipheriv("aes-256-gcm", key, ivBytes);
  decipher.setAAD(Buffer.from(headText ?? "")).setAuthTag(sealed.subarray(-16));
  let clear: Buffer;
  try {
    clear = Buffer.concat([decipher.update(sealed.subarray(0, -16)), decipher.final()]);
  } catch {
    throw new VaultFileError(`${file} does not open: the passphrase is wrong, or the file was changed`);
  }
  return { sequence, ring: readRing(file, clear) };
}

function readRing(file: string, clear: Buffer): K3Ring {
  const read = readJsonObject(clear);
  clear.fill(0);
  const ring = new Map<number, Secret<Buffer>>();
  if (!read.ok || !isJsonObject(read.value)) throw new VaultFileError(`${file} holds no keys`);
  for (const [epoch, text] of Object.entries(read.value)) {
    const k3 = fromBase64url(text);
    if (k3?.length !== 32) throw new VaultFileError(`${file} holds a key that is not 32 bytes`);
    ring.set(Number(epoch), new Secret(k3));
  }
  return ring;
}

/** One handle for the checks and the bytes, so that both are of the same file. */
function readChecked(file: string): Buffer {
  let handle: number;
  try {
    handle = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new VaultFileError(`${file} does not exist: make it with npm run signer:init`);
    if (code === "ELOOP") throw new VaultFileError(`${file} is a symbolic link: name the file itself`);
    throw new VaultFileError(`${file} cannot be opened (${String(code)})`);
  }
  try {
    const stat = fstatSync(handle);
    if (!stat.isFile()) throw new VaultFileError(`${file} is not a file`);
    if ((stat.mode & 0o077) !== 0) throw new VaultFileError(`${file} can be read by others: chmod 600 it`);
    if (process.getuid !== undefined && stat.uid !== process.getuid()) {
      throw new VaultFileError(`${file} belongs to another user`);
    }
    return readFileSync(handle);
  } finally {
    closeSync(handle);
  }
}

function sequenceFile(file: string): string {
  return `${file}.seq`;
}

function readSequence(file: string): number {
  try {
    const text = readFileSync(sequenceFile(file), "utf8");
    if (!/^[0-9]{1,15}$/.test(text)) throw new VaultFileError(`${sequenceFile(file)} is damaged`);
    return Number(text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}

function writeFile(file: string, bytes: Buffer): void {
  const temporary = `${file}.tmp`;
  // what a killed writer left, whatever it is
  rmSync(temporary, { force: true });
  const handle = openSync(temporary, "wx", 0o600);
  try {
    writeFileSync(handle, bytes);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(temporary, file);
  syncFolder(dirname(file));
}

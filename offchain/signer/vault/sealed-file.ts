import { createCipheriv, createDecipheriv, randomBytes, scryptSync } from "node:crypto";
import { closeSync, fsyncSync, lstatSync, openSync, readFileSync, renameSync, writeSync } from "node:fs";
import { dirname } from "node:path";

import { syncFolder } from "../../store/durable";
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
 */
export function openVaultFile(file: string, passphrase: Secret<Buffer>): K3Ring {
  checkFile(file);
  const { sequence, ring } = unseal(file, readFileSync(file), passphrase);
  const expected = readSequence(file);
  if (sequence < expected) {
    throw new VaultFileError(
      `${file} is older than the last one written here (${String(sequence)} of ${String(expected)}): it was rolled back`,
    );
  }
  // a crash between the two writes left the number behind: the file is the newer truth
  if (sequence > expected) writeFile(sequenceFile(file), Buffer.from(String(sequence)));
  return ring;
}

/** Writes a ring: the old file or the new one is there after a crash at any point. Makes the file where it is missing. */
export function writeVaultFile(file: string, passphrase: Secret<Buffer>, ring: K3Ring): void {
  const sequence = readSequence(file) + 1;
  writeFile(file, seal(sequence, passphrase, ring));
  writeFile(sequenceFile(file), Buffer.from(String(sequence)));
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
  const [headText, sealedText, end] = bytes.toString("latin1").split("\n");
  const head = readJsonObject(Buffer.from(headText ?? ""));
  const sealed = fromBase64url(sealedText);
  if (!head.ok || head.value["format"] !== FORMAT)
    throw new VaultFileError(`${file} is no vault file, or its start is cut off`);
  if (sealed === undefined || sealed.length < 16 || end !== "") throw new VaultFileError(`${file} is cut off`);
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

function checkFile(file: string): void {
  const stat = lstatSync(file, { throwIfNoEntry: false });
  if (stat === undefined) throw new VaultFileError(`${file} does not exist: make it with npm run signer:init`);
  if (stat.isSymbolicLink()) throw new VaultFileError(`${file} is a symbolic link: name the file itself`);
  if (!stat.isFile()) throw new VaultFileError(`${file} is not a file`);
  if ((stat.mode & 0o077) !== 0) throw new VaultFileError(`${file} can be read by others: chmod 600 it`);
  if (process.getuid !== undefined && stat.uid !== process.getuid()) {
    throw new VaultFileError(`${file} belongs to another user`);
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
  const handle = openSync(temporary, "w", 0o600);
  try {
    writeSync(handle, bytes);
    fsyncSync(handle);
  } finally {
    closeSync(handle);
  }
  renameSync(temporary, file);
  syncFolder(dirname(file));
}

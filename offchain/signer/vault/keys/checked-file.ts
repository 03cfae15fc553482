import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { dirname } from "node:path";

import { syncFolder } from "../../../store/durable";
import { VaultKeysError } from "./vault-keys";

/** Why a vault file was not opened; each cause has its own words. */
export class VaultFileError extends VaultKeysError {
  override readonly name = "VaultFileError";
}

/**
 * The bytes of a private file: one handle for the checks and the bytes, so that both are of the same file.
 * @throws VaultFileError: missing (`ifMissing` says what to do), a symbolic link, no file, readable by others, another
 * user's
 */
export function readCheckedFile(file: string, ifMissing: string): Buffer {
  let handle: number;
  try {
    handle = openSync(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new VaultFileError(`${file} does not exist: ${ifMissing}`);
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

/** Puts a file in place whole and durably, mode 0600: the old one or the new one is there after a crash. */
export function replaceFile(file: string, bytes: Buffer): void {
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

/** The number of a file's last write, in `<file>.seq` beside it; 0 where there is none. @throws VaultFileError */
export function readSequence(file: string): number {
  try {
    const text = readFileSync(sequenceFile(file), "utf8");
    if (!/^[0-9]{1,15}$/.test(text)) throw new VaultFileError(`${sequenceFile(file)} is damaged`);
    return Number(text);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return 0;
    throw error;
  }
}

/** Writes the number of a file's last write beside it. */
export function writeSequence(file: string, sequence: number): void {
  replaceFile(sequenceFile(file), Buffer.from(String(sequence)));
}

function sequenceFile(file: string): string {
  return `${file}.seq`;
}

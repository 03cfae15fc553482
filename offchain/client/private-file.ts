import { chmod, lstat, mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname } from "node:path";

/** A key file that others could read or replace. */
export class LooseKeyFile extends Error {
  override readonly name = "LooseKeyFile";
}

/** The text of a file that only its owner may read; undefined where there is none. */
export async function readPrivate(path: string): Promise<string | undefined> {
  const stats = await lstat(path).catch((error: unknown) => {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  });
  if (stats === undefined) return undefined;
  if (!stats.isFile()) throw new LooseKeyFile(`${path} is not a plain file`);
  if ((stats.mode & 0o077) !== 0) throw new LooseKeyFile(`${path} is readable by others: chmod 600 ${path}`);
  return readFile(path, "utf8");
}

/** Writes a file that only its owner may read, whole or not at all; its folder is made 0700 where it is missing. */
export async function writePrivate(path: string, text: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const draft = `${path}.${process.pid}.new`;
  const file = await open(draft, "w", 0o600);
  try {
    await file.writeFile(text);
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(draft, 0o600);
  await rename(draft, path);
}

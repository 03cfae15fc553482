import { mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";

import { readPrivate } from "./private-file";

/** Which names were re-encrypted in one epoch, for a run that goes on where another was broken off. */
export interface RotationRecord {
  has(name: string): boolean;
  /** Kept when this answers, also from a process that is killed next. */
  add(name: string): Promise<void>;
  close(): Promise<void>;
}

/**
 * A record in a file of mode 0600: a name a line, appended. It is not flushed to the disk each time: what a power cut
 * takes away is rotated twice, which changes nothing that is read.
 * @throws LooseKeyFile where others may read it or it is no plain file
 */
export async function fileRecord(path: string): Promise<RotationRecord> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const text = (await readPrivate(path)) ?? "";
  // a line that was cut off names nothing, or something else
  const whole = text.slice(0, text.lastIndexOf("\n") + 1);
  const done = new Set(whole.split("\n").filter((line) => line !== ""));
  const file = await open(path, "a", 0o600);
  if (whole.length < text.length) await file.truncate(Buffer.byteLength(whole));
  return {
    has: (name) => done.has(name),
    async add(name) {
      done.add(name);
      await file.appendFile(`${name}\n`);
    },
    async close() {
      await file.sync();
      await file.close();
    },
  };
}

/** A record that ends with the process. */
export function memoryRecord(): RotationRecord {
  const done = new Set<string>();
  return {
    has: (name) => done.has(name),
    add(name) {
      done.add(name);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
  };
}

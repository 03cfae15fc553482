import { closeSync, existsSync, ftruncateSync, fsyncSync, openSync, readFileSync } from "node:fs";
import { type FileHandle, open, rename } from "node:fs/promises";
import { dirname } from "node:path";

import { syncFolder } from "./durable";
import { StoreUnavailable } from "./unavailable";

/** An append-only file of lines. Many appends at once share one write and one flush (group commit). */
export interface Journal {
  /** Durable before it answers; throws `StoreUnavailable` when it could not be written. */
  append(line: string): Promise<void>;
  /** Puts other lines in place of all of them, atomically; appends wait meanwhile. */
  rewrite(lines: () => readonly string[]): Promise<void>;
  close(): Promise<void>;
}

/** What opening an existing journal found. */
export interface OpenedJournal {
  readonly journal: Journal;
  readonly lines: readonly string[];
}

/** Makes the lines of one write out of what was appended; `written` is called once they are durable. */
export type Encode = (appended: readonly string[]) => {
  readonly lines: readonly string[];
  readonly written: () => void;
};

const plainLines: Encode = (lines) => ({ lines, written: () => undefined });

interface Waiting {
  readonly line: string;
  readonly done: () => void;
  readonly failed: (error: Error) => void;
}

/**
 * Opens or makes a journal. A last line without its end is what a crash cut off: it was never acknowledged and is
 * dropped.
 */
export async function openJournal(file: string, encode: Encode = plainLines): Promise<OpenedJournal> {
  const lines = readWholeLines(file);
  let handle = await open(file, "a", 0o600);
  syncFolder(dirname(file));
  let goodBytes = (await handle.stat()).size;
  let waiting: Waiting[] = [];
  let busy: Promise<void> | undefined;
  // set while the file may hold, behind `goodBytes`, something of a write that failed
  let isDirty = false;

  async function writeAll(batch: readonly Waiting[]): Promise<void> {
    try {
      if (isDirty) await handle.truncate(goodBytes);
      isDirty = true;
      const encoded = encode(batch.map((one) => one.line));
      const bytes = Buffer.from(encoded.lines.map((line) => `${line}\n`).join(""));
      await handle.appendFile(bytes);
      await handle.datasync();
      goodBytes += bytes.length;
      isDirty = false;
      encoded.written();
    } catch (error) {
      const failed = new StoreUnavailable("the journal could not be written", { cause: error });
      for (const one of batch) one.failed(failed);
      return;
    }
    for (const one of batch) one.done();
  }

  function pump(): void {
    if (busy !== undefined || waiting.length === 0) return;
    const batch = waiting;
    waiting = [];
    busy = writeAll(batch).finally(() => {
      busy = undefined;
      pump();
    });
  }

  const journal: Journal = {
    append(line) {
      return new Promise((done, failed) => {
        waiting.push({ line, done, failed });
        // the rest of this turn's appends join the same flush
        setImmediate(pump);
      });
    },

    async rewrite(lines) {
      while (busy !== undefined) await busy;
      busy = replace(lines());
      try {
        await busy;
      } finally {
        busy = undefined;
        pump();
      }
    },

    async close() {
      pump();
      while (busy !== undefined) await busy;
      await handle.close();
    },
  };

  async function replace(kept: readonly string[]): Promise<void> {
    const temporary = `${file}.tmp`;
    let next: FileHandle | undefined;
    try {
      next = await open(temporary, "w", 0o600);
      await next.writeFile(kept.map((one) => `${one}\n`).join(""));
      await next.sync();
      await rename(temporary, file);
      syncFolder(dirname(file));
      await handle.close();
      handle = await open(file, "a", 0o600);
      goodBytes = (await handle.stat()).size;
      isDirty = false;
    } catch (error) {
      throw new StoreUnavailable("the journal could not be rewritten", { cause: error });
    } finally {
      await next?.close();
    }
  }

  return { journal, lines };
}

function readWholeLines(file: string): readonly string[] {
  if (!existsSync(file)) return [];
  const bytes = readFileSync(file);
  const end = bytes.lastIndexOf(0x0a) + 1;
  if (end < bytes.length) {
    const handle = openSync(file, "r+");
    ftruncateSync(handle, end);
    fsyncSync(handle);
    closeSync(handle);
  }
  return end === 0
    ? []
    : bytes
        .subarray(0, end - 1)
        .toString("utf8")
        .split("\n");
}

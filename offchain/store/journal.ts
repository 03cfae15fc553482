import { closeSync, existsSync, fsyncSync, ftruncateSync, openSync, readFileSync } from "node:fs";
import { type FileHandle, constants, open, rename, rm } from "node:fs/promises";
import { dirname } from "node:path";

import { flushFolder, syncFolder } from "./durable";
import { StoreUnavailable } from "./unavailable";

/** An append-only file of lines. Many appends at once share one write and one flush (group commit). */
export interface Journal {
  /** Durable before it answers; throws `StoreUnavailable` when it could not be written. */
  append(line: string): Promise<void>;
  /**
   * Puts other lines in place of all that were there when it was called, atomically; what is appended meanwhile
   * comes behind them. They are taken bit by bit while appends go on.
   */
  rewrite(lines: Iterable<string>): Promise<void>;
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

/** Lines that a rewrite takes before it lets others on. */
const REWRITE_STEP = 2_000;

/**
 * Opens or makes a journal. A last line without its end is what a crash cut off: it was never acknowledged and is
 * dropped. After a write that failed every append is tried anew, behind the last durable byte.
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
  // set while the file's name may not yet lead to it after a crash
  let isUnnamed = false;
  // for each rewrite from its call on, also while it waits for another: what is written, to be taken over
  const carried = new Set<string[]>();
  // the step that takes it over
  let swap: (() => Promise<void>) | undefined;
  let rewriting: Promise<void> = Promise.resolve();

  async function writeAll(batch: readonly Waiting[]): Promise<void> {
    try {
      if (isUnnamed) await flushFolder(dirname(file));
      isUnnamed = false;
      if (isDirty) await handle.truncate(goodBytes);
      isDirty = true;
      const encoded = encode(batch.map((one) => one.line));
      const bytes = bytesOf(encoded.lines);
      await handle.appendFile(bytes);
      await handle.datasync();
      goodBytes += bytes.length;
      isDirty = false;
      for (const behind of carried) behind.push(...encoded.lines);
      encoded.written();
    } catch (error) {
      const failed = new StoreUnavailable("the journal could not be written", { cause: error });
      for (const one of batch) one.failed(failed);
      return;
    }
    for (const one of batch) one.done();
  }

  function pump(): void {
    if (busy !== undefined) return;
    if (swap !== undefined) {
      busy = swap();
      swap = undefined;
    } else if (waiting.length > 0) {
      busy = writeAll(waiting);
      waiting = [];
    } else return;
    void busy.finally(() => {
      busy = undefined;
      pump();
    });
  }

  /** Runs between two writes. */
  function exclusively(act: () => Promise<void>): Promise<void> {
    return new Promise((done, failed) => {
      swap = () => act().then(done, failed);
      pump();
    });
  }

  async function rewrite(kept: Iterable<string>, behind: string[]): Promise<void> {
    const temporary = `${file}.tmp`;
    let next: FileHandle | undefined;
    try {
      await rm(temporary, { force: true });
      const { O_WRONLY, O_CREAT, O_EXCL, O_APPEND } = constants;
      const opened = await open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0o600);
      next = opened;
      for (const step of steps(kept)) await opened.appendFile(bytesOf(step));
      // most of the bytes are flushed while appends go on
      await opened.sync();
      await exclusively(async () => {
        await opened.appendFile(bytesOf(behind));
        await opened.sync();
        await rename(temporary, file);
        const old = handle;
        // the same handle goes on: nothing is ever appended to a file that has lost its name
        handle = opened;
        next = old;
        goodBytes = (await opened.stat()).size;
        isDirty = false;
        isUnnamed = true;
        await flushFolder(dirname(file));
        isUnnamed = false;
      });
    } catch (error) {
      await rm(temporary, { force: true }).catch(() => undefined);
      throw new StoreUnavailable("the journal could not be rewritten", { cause: error });
    } finally {
      carried.delete(behind);
      await next?.close();
    }
  }

  const journal: Journal = {
    append(line) {
      return new Promise((done, failed) => {
        // the rest of this turn's appends join the same flush
        if (waiting.length === 0) setImmediate(pump);
        waiting.push({ line, done, failed });
      });
    },
    rewrite(kept) {
      const behind: string[] = [];
      carried.add(behind);
      // one after the other
      rewriting = rewriting.catch(() => undefined).then(() => rewrite(kept, behind));
      return rewriting;
    },
    async close() {
      await rewriting.catch(() => undefined);
      pump();
      while (busy !== undefined) await busy;
      await handle.close();
    },
  };
  return { journal, lines };
}

function* steps(lines: Iterable<string>): Generator<readonly string[]> {
  let step: string[] = [];
  for (const line of lines) {
    if (step.push(line) < REWRITE_STEP) continue;
    yield step;
    step = [];
  }
  yield step;
}

function bytesOf(lines: readonly string[]): Buffer {
  return Buffer.from(lines.length === 0 ? "" : `${lines.join("\n")}\n`);
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
  if (end === 0) return [];
  return bytes
    .subarray(0, end - 1)
    .toString("utf8")
    .split("\n");
}

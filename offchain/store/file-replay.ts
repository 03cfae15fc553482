import { mkdirSync } from "node:fs";
import { dirname } from "node:path";

import { lockFolder } from "./folder-lock";
import { openJournal } from "./journal";
import type { ReplayStore } from "./replay";
import { FENCE_SECONDS, ReplaySet, keyOf } from "./replay-set";
import { StoreUnavailable } from "./unavailable";

const EXPIRE_MS = 30_000;
/** Lines below which the file is left as it is. */
const COMPACT_FROM = 10_000;
const LINE =
  /^(0|[1-9][0-9]{0,15}) ((?:broker|signer(?::audit)?|worker:[a-z]+)\/(?:proof|cap)\/[0-9a-f]{64}\/[0-9a-f]{64})$/;

/** Where the file is, and what time it is in whole Unix seconds. */
export interface FileReplayOptions {
  readonly file: string;
  readonly now: () => number;
  /** Lines from which the file is written anew when most are of no use any more; 10,000 by default. */
  readonly compactFrom?: number;
  /** Milliseconds between two looks for what may be forgotten; 30,000 by default. */
  readonly expireMs?: number;
}

/**
 * Replay memory in an append-only file, flushed before the answer; many requests at once share one flush. An entry
 * whose write failed stays set: refusing an honest repeat is safe, accepting a replay is not. A start fence is the
 * second line behind the file. The file's folder is locked for this process.
 */
export async function fileReplay(options: FileReplayOptions): Promise<ReplayStore> {
  const { file, now, compactFrom = COMPACT_FROM } = options;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const lock = lockFolder(dirname(file));
  try {
    const set = new ReplaySet(now() + FENCE_SECONDS);
    const { journal, lines } = await openJournal(file);
    for (const [index, line] of lines.entries()) {
      const [, keepUntil, key] = LINE.exec(line) ?? [];
      if (key === undefined) {
        await journal.close();
        throw new StoreUnavailable(`line ${String(index + 1)} of the replay file ${file} is damaged`);
      }
      set.restore(key, Number(keepUntil));
    }
    let inFile = lines.length;

    async function compact(): Promise<void> {
      set.expire(now());
      const live = set.size;
      if (inFile < compactFrom || live > inFile / 2) return;
      const before = inFile;
      await journal.rewrite(linesOf(set));
      inFile += live - before;
    }

    // one that fails changes nothing: the file is longer than it need be, and is tried again
    const timer = setInterval(() => void compact().catch(() => undefined), options.expireMs ?? EXPIRE_MS).unref();

    return {
      fence: set.fence,
      async setOnce(entries) {
        const keys = entries.map(keyOf);
        const answer = set.check(entries, keys);
        if (answer.outcome !== "fresh" || entries.length === 0) return answer;
        inFile += entries.length;
        await journal.append(entries.map((one, index) => `${String(one.keepUntil)} ${keys[index] ?? ""}`).join("\n"));
        return answer;
      },
      async close() {
        clearInterval(timer);
        await journal.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

function* linesOf(set: ReplaySet): Generator<string> {
  for (const [key, keepUntil] of set.entries()) yield `${String(keepUntil)} ${key}`;
}

import { mkdirSync } from "node:fs";
import { dirname } from "node:path";

import { type FolderLock, lockFolder } from "./folder-lock";
import { openJournal } from "./journal";
import type { ReplayStore } from "./replay";
import { FENCE_SECONDS, ReplaySet, keyOf } from "./replay-set";
import { StoreUnavailable } from "./unavailable";

const EXPIRE_MS = 30_000;
const LINE = /^([0-9]{1,16}) (\S+)$/;

/**
 * Replay memory in an append-only file, flushed before the answer; many requests at once share one flush. An entry
 * whose write failed stays set: refusing an honest repeat is safe, accepting a replay is not. A start fence is the
 * second line behind the file. The file's folder is locked for this process.
 */
export async function fileReplay(options: { readonly file: string; readonly now: () => number }): Promise<ReplayStore> {
  const { file, now } = options;
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  const lock: FolderLock = lockFolder(dirname(file));
  const set = new ReplaySet(now() + FENCE_SECONDS);
  const { journal, lines } = await openJournal(file);
  for (const [index, line] of lines.entries()) {
    const [, keepUntil, key] = LINE.exec(line) ?? [];
    if (key === undefined)
      throw new StoreUnavailable(`line ${String(index + 1)} of the replay file ${file} is damaged`);
    set.restore(key, Number(keepUntil));
  }
  let written = lines.length;

  async function compact(): Promise<void> {
    set.expire(now());
    if (written < 10_000 || set.size > written / 2) return;
    await journal.rewrite(() => {
      const kept = [...set.entries()].map(([key, keepUntil]) => `${String(keepUntil)} ${key}`);
      written = kept.length;
      return kept;
    });
  }

  const timer = setInterval(() => {
    compact().catch(() => undefined);
  }, EXPIRE_MS).unref();

  return {
    fence: set.fence,
    async setOnce(entries) {
      const answer = set.check(entries);
      if (answer.outcome !== "fresh") return answer;
      written += entries.length;
      await journal.append(entries.map((one) => `${String(one.keepUntil)} ${keyOf(one)}`).join("\n"));
      return answer;
    },
    async close() {
      clearInterval(timer);
      await journal.close();
      lock.release();
    },
  };
}

// Writes to one kind of store as fast as it can and says what was acknowledged, one line each, until it is killed.
import { randomBytes } from "node:crypto";
import { writeSync } from "node:fs";
import { join } from "node:path";

import { fileAudit } from "../../../offchain/store/file-audit";
import { fileReplay } from "../../../offchain/store/file-replay";
import { folderObjects } from "../../../offchain/store/folder-objects";
import { openJournal } from "../../../offchain/store/journal";
import { pgliteVersions } from "../../../offchain/store/pglite-versions";
import { toHex } from "../../../offchain/wire/bytes";

const [kind = "", dir = "", from = "0"] = process.argv.slice(2);
const acknowledged = (word: string): void => {
  writeSync(1, `${word}\n`);
};

async function journal(): Promise<void> {
  const { journal } = await openJournal(join(dir, "lines"));
  acknowledged("ready");
  for (let n = Number(from); ; n += 4) {
    const words = [n, n + 1, n + 2, n + 3].map((one) => `${String(one)}:${"x".repeat((one * 37) % 3_000)}`);
    await Promise.all(words.map((word) => journal.append(word)));
    for (const word of words) acknowledged(word.slice(0, word.indexOf(":")));
    if (n % 40 === 0) void journal.rewrite(everyLine(n + 4));
  }
}

function* everyLine(end: number): Generator<string> {
  for (let n = 0; n < end; n += 1) yield `${String(n)}:${"x".repeat((n * 37) % 3_000)}`;
}

async function replay(): Promise<void> {
  const store = await fileReplay({ file: join(dir, "seen"), now: () => 0 });
  acknowledged("ready");
  for (;;) {
    const nonces = Array.from({ length: 5 }, () => toHex(randomBytes(32)));
    await Promise.all(
      nonces.map((nonce) =>
        store.setOnce([{ receiver: "broker", kind: "cap", device: nonce, nonce, issuedAt: 100, keepUntil: 9_999 }]),
      ),
    );
    for (const nonce of nonces) acknowledged(nonce);
  }
}

async function objects(): Promise<void> {
  const store = folderObjects({ dir });
  acknowledged("ready");
  for (let n = Number(from); ; n += 1) {
    const path = `bots/actor/credentials/service-${String(n % 3)}.enc`;
    const bytes = Buffer.from(`${String(n)}:${"y".repeat((n * 7919) % 200_000)}:end`);
    const outcome = await store.put(path, bytes, (await store.get(path))?.tag);
    if (outcome !== "written") throw new Error(outcome);
    acknowledged(String(n));
  }
}

async function audit(): Promise<void> {
  const log = await fileAudit({ file: join(dir, "rows") });
  acknowledged("ready");
  for (let n = Number(from); ; n += 1) {
    await log.append({ n, what: "z".repeat((n * 37) % 500) });
    acknowledged(String(n));
  }
}

async function versions(): Promise<void> {
  const store = await pgliteVersions({ dir });
  acknowledged("ready");
  for (let n = Number(from) + 1; ; n += 1) {
    await store.set("path", { version: n, digest: toHex(Buffer.alloc(32, n % 256)) });
    acknowledged(String(n));
  }
}

const kinds: Readonly<Record<string, () => Promise<void>>> = { journal, replay, objects, audit, versions };
void kinds[kind]?.();

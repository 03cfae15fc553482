import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

import type { AuditLog } from "./audit";
import { lockFolder } from "./folder-lock";
import { openJournal } from "./journal";
import { StoreUnavailable } from "./unavailable";

const START = "0".repeat(64);

/** Audit rows as JSON lines, each with the SHA-256 of the line before it, so that none can be taken out unnoticed. */
export async function fileAudit(options: { readonly file: string }): Promise<AuditLog> {
  mkdirSync(dirname(options.file), { recursive: true, mode: 0o700 });
  const lock = lockFolder(dirname(options.file));
  let previous = START;
  // chained when it is written: what could not be written leaves no gap
  const { journal, lines } = await openJournal(options.file, (rows) => {
    let last = previous;
    const chained = rows.map((row) => {
      const line = `{"previous":"${last}",${row.slice(1)}`;
      last = digest(line);
      return line;
    });
    return {
      lines: chained,
      written: () => {
        previous = last;
      },
    };
  });
  previous = checkedEnd(lines);
  return {
    append: (row) => journal.append(JSON.stringify(row)),
    async close() {
      await journal.close();
      lock.release();
    },
  };
}

/** Throws `StoreUnavailable` naming the first line that does not follow from the one before it. */
export function verifyAuditFile(file: string): void {
  const text = readFileSync(file, "utf8");
  checkedEnd(text === "" ? [] : text.trimEnd().split("\n"));
}

function checkedEnd(lines: readonly string[]): string {
  let previous = START;
  for (const [index, line] of lines.entries()) {
    let row: { readonly previous?: unknown };
    try {
      row = JSON.parse(line) as { readonly previous?: unknown };
    } catch {
      row = {};
    }
    if (row.previous !== previous) {
      throw new StoreUnavailable(`line ${String(index + 1)} of the audit log does not follow from the one before it`);
    }
    previous = digest(line);
  }
  return previous;
}

function digest(line: string): string {
  return createHash("sha256").update(line).digest("hex");
}

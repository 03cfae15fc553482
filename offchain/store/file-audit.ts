import { createHash } from "node:crypto";
import { mkdirSync, readFileSync } from "node:fs";
import { dirname } from "node:path";

import type { AuditLog } from "./audit";
import { lockFolder } from "./folder-lock";
import { openJournal } from "./journal";
import { StoreUnavailable } from "./unavailable";

const START = "0".repeat(64);

/** What a whole audit file amounts to. */
export interface AuditFileSummary {
  readonly rows: number;
  /** SHA-256 of the last row, 64 hex digits (zeros for none): kept elsewhere, it shows a file that was cut short. */
  readonly head: string;
}

/** Audit rows as JSON lines, each with the SHA-256 of the line before it, so that none can be taken out unnoticed. */
export async function fileAudit(options: { readonly file: string }): Promise<AuditLog> {
  mkdirSync(dirname(options.file), { recursive: true, mode: 0o700 });
  const lock = lockFolder(dirname(options.file));
  try {
    let previous = START;
    // chained when it is written: what could not be written leaves no gap
    const { journal, lines } = await openJournal(options.file, (rows) => {
      let last = previous;
      const chained = rows.map((row) => {
        const line = chainedLine(last, row);
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
    try {
      previous = checkedEnd(lines);
    } catch (error) {
      await journal.close();
      throw error;
    }
    return {
      async append(row) {
        if (Object.hasOwn(row, "previous")) throw new RangeError("`previous` is the chain's own member");
        await journal.append(JSON.stringify(row));
      },
      async close() {
        await journal.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

/**
 * Throws `StoreUnavailable` naming the first line that does not follow from the one before it. A last line without
 * its end is what a crash cut off and does not count.
 */
export function verifyAuditFile(file: string): AuditFileSummary {
  const text = readFileSync(file, "utf8");
  const lines = text.split("\n").slice(0, -1);
  return { rows: lines.length, head: checkedEnd(lines) };
}

function chainedLine(previous: string, row: string): string {
  return row === "{}" ? `{"previous":"${previous}"}` : `{"previous":"${previous}",${row.slice(1)}`;
}

function checkedEnd(lines: readonly string[]): string {
  let previous = START;
  for (const [index, line] of lines.entries()) {
    if (previousOf(line) !== previous) {
      throw new StoreUnavailable(`line ${String(index + 1)} of the audit log does not follow from the one before it`);
    }
    previous = digest(line);
  }
  return previous;
}

function previousOf(line: string): unknown {
  try {
    return (JSON.parse(line) as { readonly previous?: unknown } | null)?.previous;
  } catch {
    return undefined;
  }
}

function digest(line: string): string {
  return createHash("sha256").update(line).digest("hex");
}

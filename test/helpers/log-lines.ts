import { PassThrough } from "node:stream";

import { pino } from "pino";

import type { Logger } from "../../offchain/http/log";

/** A log whose lines a test reads. */
export function logLines(): { readonly log: Logger; readonly lines: readonly Readonly<Record<string, unknown>>[] } {
  const lines: Record<string, unknown>[] = [];
  const sink = new PassThrough();
  sink.on("data", (chunk: Buffer) => {
    for (const line of chunk.toString().trim().split("\n")) lines.push(JSON.parse(line) as Record<string, unknown>);
  });
  return { log: pino({ base: {} }, sink), lines };
}

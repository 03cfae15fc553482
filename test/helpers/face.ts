import { PassThrough } from "node:stream";

import { pino } from "pino";

import { type Metrics, serviceMetrics } from "../../offchain/http/metrics";
import { type Route, type ServiceFace, serviceApp } from "../../offchain/http/routes";
import { type ListenOptions, type Listening, listen } from "../../offchain/http/server";

/** The HTTP face of a service with routes of a test, on a real socket, and what it logged. */
export interface TestFace extends Listening {
  readonly metrics: Metrics;
  /** Lines of its log. */
  readonly lines: Readonly<Record<string, unknown>>[];
}

/** Starts one on a free port of loopback. */
export async function testFace(
  routes: readonly Route[],
  change: Partial<ServiceFace> & Partial<ListenOptions> = {},
): Promise<TestFace> {
  const lines: Record<string, unknown>[] = [];
  const sink = new PassThrough();
  sink.on("data", (chunk: Buffer) => {
    for (const line of chunk.toString().trim().split("\n")) lines.push(JSON.parse(line) as Record<string, unknown>);
  });
  const { host = "127.0.0.1", port = 0, tls, drainMs, ...face } = change;
  const metrics = serviceMetrics("test");
  const app = serviceApp({ routes, log: pino({ base: {} }, sink), metrics, probes: {}, ...face });
  const listening = await listen(app, {
    host,
    port,
    ...(tls === undefined ? {} : { tls }),
    ...(drainMs === undefined ? {} : { drainMs }),
  });
  return { ...listening, metrics, lines };
}

import { Counter, Histogram, Registry, collectDefaultMetrics } from "prom-client";

/** What every service counts; scraped at `/metrics`. */
export interface Metrics {
  readonly registry: Registry;
  /** One finished request: route (as listed), status, code of its refusal or `ok`, seconds. */
  request(route: string, status: number, code: string, seconds: number): void;
  /** One decision's chain read: from the cache, from the chain, or refused. */
  chainRead(outcome: string): void;
  /** One replay that was refused. */
  replayRefused(kind: string): void;
}

/** A registry of its own per service, with Node's process metrics. */
export function serviceMetrics(service: string): Metrics {
  const registry = new Registry();
  registry.setDefaultLabels({ service });
  collectDefaultMetrics({ register: registry });
  const registers = [registry];
  const requests = new Counter({
    name: "agentkeys_requests_total",
    help: "Finished requests by route, status and code",
    labelNames: ["route", "status", "code"] as const,
    registers,
  });
  const latency = new Histogram({
    name: "agentkeys_request_seconds",
    help: "Time from the request line to the end of the answer",
    labelNames: ["route"] as const,
    buckets: [0.0005, 0.001, 0.002, 0.005, 0.01, 0.05, 0.1, 0.5, 1, 5],
    registers,
  });
  const reads = new Counter({
    name: "agentkeys_chain_reads_total",
    help: "Chain facts by where they came from: cached, read, refused",
    labelNames: ["outcome"] as const,
    registers,
  });
  const replays = new Counter({
    name: "agentkeys_replays_refused_total",
    help: "Proofs and caps refused because they were seen before",
    labelNames: ["kind"] as const,
    registers,
  });
  return {
    registry,
    request(route, status, code, seconds) {
      requests.inc({ route, status, code });
      latency.observe({ route }, seconds);
    },
    chainRead(outcome) {
      reads.inc({ outcome });
    },
    replayRefused(kind) {
      replays.inc({ kind });
    },
  };
}

import { type Logger, pino } from "pino";

export type { Logger } from "pino";

/** Structured log on standard output; what holds a secret prints as `[redacted]` by its own type (`Secret`). */
export function serviceLog(service: string, level: string): Logger {
  return pino(
    { level, base: { service }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 1, sync: true }),
  );
}

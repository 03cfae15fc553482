import { type Logger, pino } from "pino";

export type { Logger } from "pino";

/** Structured log on standard output, at `info` where the level is none (the configuration says so); what holds a secret prints as `[redacted]` by its own type (`Secret`). */
export function serviceLog(service: string, level: string): Logger {
  const isLevel = level === "silent" || Object.hasOwn(pino.levels.values, level);
  return pino(
    { level: isLevel ? level : "info", base: { service }, timestamp: pino.stdTimeFunctions.isoTime },
    pino.destination({ fd: 1, sync: true }),
  );
}

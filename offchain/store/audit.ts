/** Append-only record of what a worker is about to do and what came of it. Throws `StoreUnavailable`. */
export interface AuditLog {
  /** Durable before it answers. The row must hold no secret. */
  append(row: Readonly<Record<string, string | number>>): Promise<void>;
  close(): Promise<void>;
}

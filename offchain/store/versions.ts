import type { Hex } from "../wire/bytes";

/** What the worker itself remembers of an object: the second witness beside the object store. @see protocol 3.6 */
export interface VersionRecord {
  readonly version: number;
  /** SHA-256 of the stored bytes. */
  readonly digest: Hex;
}

/** Path → last version and digest. Throws `StoreUnavailable`. */
export interface VersionStore {
  get(path: string): Promise<VersionRecord | undefined>;
  /** Durable before it answers. Never lowers a version. */
  set(path: string, record: VersionRecord): Promise<void>;
  close(): Promise<void>;
}

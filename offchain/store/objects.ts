/** What is stored under one path, and the tag that names exactly these bytes for a later compare-and-swap. */
export interface StoredObject {
  readonly bytes: Buffer;
  /** Opaque; equal only for the same stored version. */
  readonly tag: string;
}

/**
 * One bucket of encrypted objects. Every method throws `StoreUnavailable` when the store cannot answer;
 * nothing is ever half written. @see protocol 3.6
 */
export interface ObjectStore {
  /** The current bytes, or undefined where nothing was ever stored. */
  get(path: string): Promise<StoredObject | undefined>;
  /**
   * Writes when the current tag is still `expected` (undefined: when nothing is there), atomically and durably,
   * keeping the previous version. `conflict` means that nothing was written.
   */
  put(path: string, bytes: Uint8Array, expected: string | undefined): Promise<"written" | "conflict">;
  /** Proves that the store answers and enforces compare-and-swap; throws otherwise. */
  probe(): Promise<void>;
  close(): Promise<void>;
}

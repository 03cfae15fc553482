import type { Result } from "../wire/result";

/** A credential in memory, with when it must go. */
interface Cached {
  readonly secret: Buffer;
  readonly until: number;
}

/** At most 256 credentials for at most 60 s, in memory only, zeroed when dropped. @see services note 4.4 */
export interface CredentialCache {
  /** The credential, from memory or by `load`; concurrent misses share one load. The caller must not keep it. */
  get(
    service: string,
    load: () => Promise<Result<Buffer>>,
  ): Promise<Result<{ readonly secret: Buffer; readonly isCold: boolean }>>;
  drop(service: string): void;
  clear(): void;
}

const MAX_ENTRIES = 256;
const LIFE_MS = 60_000;

/** A cache over a millisecond clock. */
export function credentialCache(nowMs: () => number): CredentialCache {
  const cached = new Map<string, Cached>();
  const loading = new Map<string, Promise<Result<Buffer>>>();

  function drop(service: string): void {
    cached.get(service)?.secret.fill(0);
    cached.delete(service);
  }

  return {
    drop,
    clear() {
      for (const service of [...cached.keys()]) drop(service);
    },
    async get(service, load) {
      const held = cached.get(service);
      if (held !== undefined && nowMs() < held.until)
        return { ok: true, value: { secret: held.secret, isCold: false } };
      drop(service);
      let pending = loading.get(service);
      if (pending === undefined) {
        pending = load().finally(() => loading.delete(service));
        loading.set(service, pending);
      }
      const loaded = await pending;
      if (!loaded.ok) return loaded;
      if (!cached.has(service)) {
        if (cached.size >= MAX_ENTRIES) drop(cached.keys().next().value ?? "");
        cached.set(service, { secret: loaded.value, until: nowMs() + LIFE_MS });
      }
      return { ok: true, value: { secret: loaded.value, isCold: true } };
    },
  };
}

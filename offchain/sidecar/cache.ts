import type { Result } from "../wire/result";

/** A credential in memory, with when it must go. */
interface Cached {
  readonly secret: Buffer;
  readonly until: number;
  readonly timer: NodeJS.Timeout;
}

/** A credential for one call. */
export interface Held {
  /** A copy of its own, that later drops do not reach; whoever asked for it zeroes it. */
  readonly secret: Buffer;
  /** Just fetched, with every check of the reader and the services. */
  readonly isCold: boolean;
}

/** At most 256 credentials for at most 60 s, in memory only, zeroed when dropped. @see services note 4.4 */
export interface CredentialCache {
  /** The credential, from memory or by `load`; concurrent misses share one load. */
  get(service: string, load: () => Promise<Result<Buffer>>): Promise<Result<Held>>;
  drop(service: string): void;
  /** Drops everything, and keeps nothing that is still being loaded. */
  clear(): void;
}

const MAX_ENTRIES = 256;
const LIFE_MS = 60_000;

/** A cache over a millisecond clock; what has reached its age is zeroed also when nobody asks. */
export function credentialCache(nowMs: () => number, lifeMs = LIFE_MS): CredentialCache {
  const cached = new Map<string, Cached>();
  const loading = new Map<string, Promise<Result<Buffer>>>();
  let isOpen = true;

  function drop(service: string): void {
    const gone = cached.get(service);
    if (gone === undefined) return;
    clearTimeout(gone.timer);
    gone.secret.fill(0);
    cached.delete(service);
  }

  function keep(service: string, secret: Buffer): void {
    drop(service);
    if (cached.size >= MAX_ENTRIES) drop(cached.keys().next().value ?? "");
    const timer = setTimeout(() => {
      drop(service);
    }, lifeMs).unref();
    cached.set(service, { secret, until: nowMs() + lifeMs, timer });
  }

  /** The buffer is the cache's, once it is in it; waiters copy it in the same turn of the loop. */
  async function loadOnce(service: string, load: () => Promise<Result<Buffer>>): Promise<Result<Buffer>> {
    try {
      const loaded = await load();
      if (loaded.ok && isOpen) keep(service, loaded.value);
      return loaded;
    } finally {
      loading.delete(service);
    }
  }

  return {
    drop,
    clear() {
      isOpen = false;
      for (const service of [...cached.keys()]) drop(service);
    },
    async get(service, load) {
      const held = cached.get(service);
      if (held !== undefined && nowMs() < held.until) {
        return { ok: true, value: { secret: Buffer.from(held.secret), isCold: false } };
      }
      drop(service);
      let pending = loading.get(service);
      if (pending === undefined) {
        pending = loadOnce(service, load);
        loading.set(service, pending);
      }
      const loaded = await pending;
      return loaded.ok ? { ok: true, value: { secret: Buffer.from(loaded.value), isCold: true } } : loaded;
    },
  };
}

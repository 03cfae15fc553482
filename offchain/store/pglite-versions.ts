import { join } from "node:path";

import { PGlite } from "@electric-sql/pglite";

import type { Hex } from "../wire/bytes";
import { lockFolder } from "./folder-lock";
import { StoreUnavailable } from "./unavailable";
import type { VersionRecord, VersionStore } from "./versions";

/** Numbered steps, applied once each and never changed afterwards. */
const MIGRATIONS: readonly string[] = [
  `CREATE TABLE object_versions (
     path text PRIMARY KEY,
     version bigint NOT NULL CHECK (version > 0),
     digest text NOT NULL
   )`,
];

/**
 * The worker's own record of versions in an embedded PostgreSQL (PGlite), all of it in memory as well: reading never
 * waits for the database. For the only replica; not safe against power loss.
 */
export async function pgliteVersions(options: { readonly dir: string }): Promise<VersionStore> {
  const lock = lockFolder(options.dir);
  try {
    const db = await openDatabase(join(options.dir, "pg"));
    const known = await readAll(db);
    return {
      get: (path) => Promise.resolve(known.get(path)),
      async set(path, record) {
        try {
          await db.query(
            `INSERT INTO object_versions VALUES ($1, $2, $3) ON CONFLICT (path) DO UPDATE
             SET version = excluded.version, digest = excluded.digest
             WHERE object_versions.version <= excluded.version`,
            [path, record.version, record.digest],
          );
        } catch (error) {
          throw new StoreUnavailable("the database of versions failed", { cause: error });
        }
        if ((known.get(path)?.version ?? 0) <= record.version) known.set(path, record);
      },
      async close() {
        await db.close();
        lock.release();
      },
    };
  } catch (error) {
    lock.release();
    throw error;
  }
}

async function readAll(db: PGlite): Promise<Map<string, VersionRecord>> {
  try {
    const { rows } = await db.query<{ path: string; version: string; digest: Hex }>("SELECT * FROM object_versions");
    return new Map(rows.map((row) => [row.path, { version: Number(row.version), digest: row.digest }]));
  } catch (error) {
    await db.close().catch(() => undefined);
    throw new StoreUnavailable("the database of versions cannot be read", { cause: error });
  }
}

async function openDatabase(dir: string): Promise<PGlite> {
  try {
    const db = await PGlite.create(dir);
    await db.exec("CREATE TABLE IF NOT EXISTS migrations (step integer PRIMARY KEY)");
    const done = await db.query<{ step: number }>("SELECT step FROM migrations");
    const applied = new Set(done.rows.map((row) => row.step));
    for (const [step, sql] of MIGRATIONS.entries()) {
      if (applied.has(step)) continue;
      await db.transaction(async (tx) => {
        await tx.exec(sql);
        await tx.query("INSERT INTO migrations VALUES ($1)", [step]);
      });
    }
    return db;
  } catch (error) {
    throw new StoreUnavailable("the database of versions cannot be opened", { cause: error });
  }
}

import { type KeyObject, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { chownSync, existsSync, mkdirSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { readSecretFile } from "../http/config";
import { syncFolder } from "../store/durable";
import { lockFolder } from "../store/folder-lock";
import { type Jwks, publicJwk } from "../wire/jwks";

/** Seconds that a key is published before it signs. @see protocol 3.3 */
export const PUBLISHED_BEFORE_SECONDS = 120;

/**
 * Seconds that a retired key stays published: the longest cap that it signed, dated up to 5 s ahead, at a receiver whose
 * clock is 5 s behind. @see protocol 3.1, 3.3
 */
export const RETIRED_SECONDS = 310;

/** A K1 that signs or will sign. */
interface RingKey {
  /** Unix seconds from which it signs. */
  readonly from: number;
  readonly kid: string;
  readonly key: KeyObject;
  readonly file: string;
}

/** The broker's K1 keys in a folder: one file `<from>.pem` a key, mode 0600, two live at most. */
export interface KeyRing {
  /** The key that signs at this time. */
  current(now: number): { readonly kid: string; readonly key: KeyObject };
  /** What is published at this time. */
  jwks(now: number): Jwks;
  /** Takes up keys that were added to the folder, and lets go of what has retired. */
  reload(now: number): void;
}

/**
 * Opens the ring; makes the first key where the folder is empty.
 * @param lastPublished Unix seconds at which the key set was last published, 0 where it never was. A key that was to
 * sign only after that was not published long enough: it signs `PUBLISHED_BEFORE_SECONDS` from now at the earliest.
 */
export function openKeyRing(dir: string, now: number, lastPublished = now): KeyRing {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (keyFiles(dir).length === 0) writeKey(dir, now);
  postpone(dir, now, lastPublished);
  let ring = readRing(dir);
  const currentOf = (at: number): RingKey => {
    const found = ring.findLast((one) => one.from <= at) ?? ring[0];
    if (found === undefined) throw new Error(`${dir} holds no broker key`);
    return found;
  };
  return {
    current: currentOf,
    jwks: (at) => ({ keys: live(ring, currentOf(at), at).map((one) => publicJwk(one.key)) }),
    reload(at) {
      const fresh = readRing(dir);
      const kept = live(
        fresh,
        fresh.findLast((one) => one.from <= at),
        at,
      );
      for (const one of fresh) if (!kept.includes(one)) rmSync(one.file);
      ring = kept;
    },
  };
}

/** What a rotation came to. */
export type Rotation =
  | {
      readonly outcome: "made" | "waiting";
      readonly kid: string;
      /** Unix seconds, or later where the broker was not running meanwhile. */
      readonly signsFrom: number;
    }
  | {
      /** The key before still answers for caps that it signed: two live at most. */
      readonly outcome: "not over";
      /** Unix seconds from which it can be asked again. */
      readonly overAt: number;
    }
  /** The broker has not let go of the key before, though it could: it is not running. */
  | { readonly outcome: "not taken up" }
  | { readonly outcome: "no key" };

/**
 * Adds the next key: published as soon as a running broker sees it, signing `publishedFor` seconds later. While one is
 * waiting to sign it is that one, and nothing is added. One rotation at a time: throws `StoreUnavailable` beside another.
 * @param publishedFor seconds, at least `PUBLISHED_BEFORE_SECONDS`
 */
export function rotateKey(dir: string, now: number, publishedFor = PUBLISHED_BEFORE_SECONDS): Rotation {
  if (publishedFor < PUBLISHED_BEFORE_SECONDS) throw new RangeError("a key is published 120 s before it signs");
  if (!existsSync(dir)) return { outcome: "no key" };
  const lock = lockFolder(dir);
  try {
    const ring = readRing(dir);
    const last = ring.at(-1);
    if (last === undefined) return { outcome: "no key" };
    if (ring.length > 1 && now < last.from) return { outcome: "waiting", kid: last.kid, signsFrom: last.from };
    const overAt = last.from + RETIRED_SECONDS;
    if (ring.length > 1) return now < overAt ? { outcome: "not over", overAt } : { outcome: "not taken up" };
    const signsFrom = now + publishedFor;
    return { outcome: "made", kid: writeKey(dir, signsFrom), signsFrom };
  } finally {
    lock.release();
  }
}

function postpone(dir: string, now: number, lastPublished: number): void {
  const [before, last] = readRing(dir).slice(-2);
  const earliest = now + PUBLISHED_BEFORE_SECONDS;
  if (before === undefined || last === undefined || last.from <= lastPublished || last.from >= earliest) return;
  renameSync(last.file, join(dir, `${String(earliest)}.pem`));
  syncFolder(dir);
}

/** The current key, the next one, and the one before for as long as a cap that it signed can live. */
function live(ring: readonly RingKey[], current: RingKey | undefined, now: number): RingKey[] {
  return ring.filter((one, i) => {
    const next = ring[i + 1];
    return one === current || next === undefined || now < next.from + RETIRED_SECONDS;
  });
}

function readRing(dir: string): RingKey[] {
  const ring = keyFiles(dir).map((name) => {
    const file = join(dir, name);
    const key = createPrivateKey(readSecretFile(file));
    return { from: Number(name.slice(0, -4)), kid: publicJwk(key).kid, key, file };
  });
  return ring.sort((a, b) => a.from - b.from);
}

function keyFiles(dir: string): string[] {
  return readdirSync(dir).filter((name) => /^[0-9]+\.pem$/.test(name));
}

function writeKey(dir: string, from: number): string {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const file = join(dir, `${String(from)}.pem`);
  if (existsSync(file)) throw new Error(`${file} exists already`);
  writeFileSync(`${file}.tmp`, privateKey.export({ type: "pkcs8", format: "pem" }), { mode: 0o600, flush: true });
  // made by root, it must still be the broker's to read
  const { uid, gid } = statSync(dir);
  if (process.getuid?.() === 0) chownSync(`${file}.tmp`, uid, gid);
  renameSync(`${file}.tmp`, file);
  syncFolder(dir);
  return publicJwk(privateKey).kid;
}

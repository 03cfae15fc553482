import { type KeyObject, createPrivateKey, generateKeyPairSync } from "node:crypto";
import { existsSync, mkdirSync, readdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { readSecretFile } from "../http/config";
import { syncFolder } from "../store/durable";
import { type Jwks, publicJwk } from "../wire/jwks";

/** Seconds that a key is published before it signs. @see protocol 3.3 */
export const PUBLISHED_BEFORE_SECONDS = 120;

/** Seconds that a retired key stays published: the longest cap that it signed. */
const RETIRED_SECONDS = 300;

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

/** Opens the ring; makes the first key where the folder is empty. */
export function openKeyRing(dir: string, now: number): KeyRing {
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (keyFiles(dir).length === 0) writeKey(dir, now);
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

/** Adds the next key: published at once, signing after `PUBLISHED_BEFORE_SECONDS`. Throws while one is already waiting. */
export function rotateKey(dir: string, now: number): { readonly kid: string; readonly signsFrom: number } {
  const ring = readRing(dir);
  const last = ring.at(-1);
  if (last !== undefined && ring.length > 1 && now < last.from + RETIRED_SECONDS) {
    throw new Error("the last rotation is not over: two keys live at most");
  }
  const signsFrom = now + PUBLISHED_BEFORE_SECONDS;
  return { kid: writeKey(dir, signsFrom), signsFrom };
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
  renameSync(`${file}.tmp`, file);
  syncFolder(dir);
  return publicJwk(privateKey).kid;
}

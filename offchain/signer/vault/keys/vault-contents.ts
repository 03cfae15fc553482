import { type KeyObject, createPrivateKey, generateKeyPairSync, randomBytes } from "node:crypto";

import { fromBase64url, toBase64url } from "../../../wire/bytes";
import { type JsonObject, type JsonValue, isJsonObject, isWholeNumber, readJsonObject } from "../../../wire/json";
import { Secret } from "../../../wire/secret";
import { VaultFileError } from "./checked-file";
import type { SigningUse, TokenSecret, VaultSeeds } from "./vault-keys";

/** Every K3 that this vault holds, by epoch. */
export type K3Ring = ReadonlyMap<number, Secret<Buffer>>;

/** A token secret with its 32 bytes. */
export interface TokenSecretKey extends TokenSecret {
  readonly key: Secret<Buffer>;
}

/** All that a sealed file holds. */
export interface VaultContents extends VaultSeeds {
  readonly tokenSecrets: readonly TokenSecretKey[];
  /** P-256 private keys. */
  readonly signing: Readonly<Record<SigningUse, Secret<KeyObject>>>;
}

const SECRET_BYTES = 32;

/** A text that names 16 random bytes. */
export function randomName(): string {
  return toBase64url(randomBytes(16));
}

/** Seeds of a new vault, without any epoch yet. */
export function drawSeeds(): VaultSeeds {
  return {
    epochs: new Map(),
    agentSeed: new Secret(randomBytes(SECRET_BYTES)),
    stateKey: new Secret(randomBytes(SECRET_BYTES)),
  };
}

/** A new file's contents around these seeds: signing keys are its own, token secrets come with the first opening. */
export function newContents(seeds: VaultSeeds): VaultContents {
  return { ...seeds, tokenSecrets: [], signing: { sts: drawSigningKey(), audit: drawSigningKey() } };
}

function drawSigningKey(): Secret<KeyObject> {
  return new Secret(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey);
}

/** The clear text of format v2. */
export function encodeContents(contents: VaultContents): Buffer {
  const { epochs, agentSeed, stateKey, tokenSecrets, signing, stateId } = contents;
  const text = {
    k3: Object.fromEntries([...epochs].map(([epoch, k3]) => [String(epoch), toBase64url(k3.reveal())])),
    agent_seed: toBase64url(agentSeed.reveal()),
    state_key: toBase64url(stateKey.reveal()),
    token_secrets: tokenSecrets.map(({ kid, createdAt, retiredAt, lastExpiry, key }) => ({
      kid,
      created_at: createdAt,
      ...(retiredAt === undefined ? {} : { retired_at: retiredAt }),
      last_expiry: lastExpiry,
      key: toBase64url(key.reveal()),
    })),
    sts_key: pkcs8(signing.sts),
    audit_key: pkcs8(signing.audit),
    ...(stateId === undefined ? {} : { state_id: stateId }),
  };
  return Buffer.from(JSON.stringify(text));
}

function pkcs8(key: Secret<KeyObject>): string {
  return toBase64url(key.reveal().export({ format: "der", type: "pkcs8" }));
}

/** Reads format v2, and zeroes what it read. @throws VaultFileError */
export function decodeContents(file: string, clear: Buffer): VaultContents {
  const read = readJsonObject(clear);
  clear.fill(0);
  if (!read.ok) throw new VaultFileError(`${file} holds no keys`);
  const { k3, agent_seed, state_key, token_secrets, sts_key, audit_key, state_id } = read.value;
  if (!isJsonObject(k3) || !Array.isArray(token_secrets)) throw new VaultFileError(`${file} holds no keys`);
  return {
    epochs: ringOf(file, k3),
    agentSeed: secretOf(file, agent_seed),
    stateKey: secretOf(file, state_key),
    tokenSecrets: (token_secrets as readonly JsonValue[]).map((one) => tokenSecretOf(file, one)),
    signing: { sts: signingKeyOf(file, sts_key), audit: signingKeyOf(file, audit_key) },
    ...(typeof state_id === "string" ? { stateId: state_id } : {}),
  };
}

/** Reads format v1, which held K3 alone: a map of epochs. @throws VaultFileError */
export function decodeRing(file: string, clear: Buffer): K3Ring {
  const read = readJsonObject(clear);
  clear.fill(0);
  if (!read.ok) throw new VaultFileError(`${file} holds no keys`);
  return ringOf(file, read.value);
}

function ringOf(file: string, keys: JsonObject): K3Ring {
  return new Map(Object.entries(keys).map(([epoch, text]) => [Number(epoch), secretOf(file, text)]));
}

function secretOf(file: string, text: JsonValue | undefined): Secret<Buffer> {
  const bytes = fromBase64url(text);
  if (bytes?.length !== SECRET_BYTES) throw new VaultFileError(`${file} holds a key that is not 32 bytes`);
  return new Secret(bytes);
}

function tokenSecretOf(file: string, value: JsonValue): TokenSecretKey {
  const { kid, created_at, retired_at, last_expiry, key } = isJsonObject(value) ? value : {};
  if (typeof kid !== "string" || !isWholeNumber(created_at) || !isWholeNumber(last_expiry)) {
    throw new VaultFileError(`${file} holds a token secret without its dates`);
  }
  return {
    kid,
    createdAt: created_at,
    ...(isWholeNumber(retired_at) ? { retiredAt: retired_at } : {}),
    lastExpiry: last_expiry,
    key: secretOf(file, key),
  };
}

function signingKeyOf(file: string, text: JsonValue | undefined): Secret<KeyObject> {
  try {
    return new Secret(createPrivateKey({ key: fromBase64url(text) ?? Buffer.of(), format: "der", type: "pkcs8" }));
  } catch {
    throw new VaultFileError(`${file} holds a signing key that does not read`);
  }
}

import type { Hex } from "../../../wire/bytes";
import type { Jwks } from "../../../wire/jwks";
import type { Secret } from "../../../wire/secret";
import type { ObjectName } from "../../../wire/stored-by";

/** Longest time that a retired token secret verifies, in seconds: seven days. @see services note 4.3 */
export const LONGEST_OVERLAP = 7 * 86_400;

/** A secret that credentials are signed by (HS256); its dates, not itself. Times are Unix seconds. */
export interface TokenSecret {
  /** What a credential's header names. */
  readonly kid: string;
  readonly createdAt: number;
  /** Absent while it is the one that signs. */
  readonly retiredAt?: number;
  /** The latest `exp` that it may have signed, rounded up to the hour; 0 while it has signed nothing. */
  readonly lastExpiry: number;
}

/** Which of the vault's ES256 keys: `sts` is K2, of tokens for object stores; `audit` signs audit rows. */
export type SigningUse = "sts" | "audit";

/** In the place of a state's id: these keys were made from others, and whatever state there was does not lie here. */
export const STATE_ELSEWHERE = "elsewhere";

/** Ties the vault's state to its keys, so that a state that is gone or was put back is noticed. */
export interface StateAnchor {
  /**
   * The one state that was ever written beside these keys; undefined before its first write, `STATE_ELSEWHERE` where
   * another vault of the same seeds may have written one.
   */
  id(): string | undefined;
  /** Keeps it for good. @throws VaultKeysError when these keys belong to another state already */
  bind(id: string): Promise<void>;
  /** The state's sequence number, where the back end keeps it out of reach of the disk; else it lies beside the file. */
  readonly sequence?: { value(): number; raise(to: number): Promise<void> };
}

/**
 * What the vault's secrets can do. No method gives a secret out, except keys that are derived for one object or one
 * operator, which the caller zeroes. Kept in a sealed file or in a PKCS#11 token, with one behaviour.
 * @see services note 4.3; docs/decisions/0004-vault-back-ends.md
 */
export interface VaultKeys {
  readonly backend: "sealed-file" | "pkcs11";
  /** Commitments of the epochs held, by epoch; each was computed when its K3 was drawn. @see contracts note 2.3 */
  commitments(): ReadonlyMap<number, Hex>;
  /** The 32-byte object key of protocol 3.6; undefined for an epoch that is not held. The caller zeroes it. */
  objectKey(epoch: number, name: ObjectName): Promise<Buffer | undefined>;
  /**
   * HKDF-SHA256(agent seed, salt "agentkeys.agent-seed.v1", info = operatorOmni(32) ‖ account(20)), 32 bytes; the
   * caller zeroes it.
   */
  operatorSeed(operatorOmni: Hex, account: Hex): Promise<Buffer>;
  /**
   * HMAC-SHA-256 of a credential's JWS signing input by the token secret of this kid, 32 bytes; undefined for a kid
   * that is unknown, forced out, or past its time.
   */
  macCredential(kid: string, signingInput: Uint8Array): Promise<Buffer | undefined>;
  /** All that are held, the one that signs last. */
  tokenSecrets(): readonly TokenSecret[];
  /**
   * Draws a new signing secret. The one before verifies on until its `lastExpiry`, at most `LONGEST_OVERLAP` after
   * now; with `force` all before it are gone at once. What is past its time is deleted.
   */
  rotateTokenSecret(now: number, force: boolean): Promise<TokenSecret>;
  /**
   * Records that this secret signs something that expires at `exp`; durable before it answers, and asked before
   * signing (`signCredential`). Rounded up to the hour, so that not each issue writes. An unknown kid is nothing.
   */
  noteExpiry(kid: string, exp: number): Promise<void>;
  /** ES256 (r ‖ s, 64 bytes) of a JWS signing input that the vault itself composed, and the key's `kid`. */
  signEs256(use: SigningUse, signingInput: Uint8Array): Promise<{ kid: string; signature: Buffer }>;
  /** The public half, as it is published. */
  publicJwks(use: SigningUse): Jwks;
  /** 32 bytes that seal the vault's state file. */
  stateKey(): Secret<Buffer>;
  stateAnchor(): StateAnchor;
  /** Draws the K3 of the epoch after the last one held, keeps it durably, and returns what to commit to. */
  prepareEpoch(): Promise<{ epoch: number; commitment: Hex }>;
  /**
   * Takes in a K3 that was drawn elsewhere and returns its commitment; for the local admin tool, never for the pipe.
   * @throws VaultKeysError where another K3 of this epoch is held: a key is never replaced
   */
  receiveEpoch(epoch: number, k3: Secret<Buffer>): Promise<Hex>;
  close(): Promise<void>;
}

/** What a vault was made of; the same seeds give the same object keys and the same agent keys. */
export interface VaultSeeds {
  /** K3 by epoch. */
  readonly epochs: ReadonlyMap<number, Secret<Buffer>>;
  /** 32 bytes. */
  readonly agentSeed: Secret<Buffer>;
  /** 32 bytes. */
  readonly stateKey: Secret<Buffer>;
  /** The state that belongs to them, or `STATE_ELSEWHERE`; absent while no agent key can have been made of them. */
  readonly stateId?: string;
}

/** What keys that are bound like this are bound to next. @throws VaultKeysError where they belong to another state */
export function nextBond(now: string | undefined, id: string): string {
  if (now === undefined || now === STATE_ELSEWHERE || now === id) return id;
  throw new VaultKeysError("another state belongs to these keys");
}

/** Why keys were not opened or changed; each cause has its own words. */
export class VaultKeysError extends Error {
  override readonly name: string = "VaultKeysError";
}

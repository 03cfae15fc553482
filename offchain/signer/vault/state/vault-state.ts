import type { Hex } from "../../../wire/bytes";

/** What the vault knows of one agent key. Times are Unix seconds. @see services note 4.3 */
export interface AgentKeyRecord {
  /** `<uuid>:<index>`. */
  readonly keyId: string;
  readonly operatorOmni: Hex;
  /** The operator's master account, 20 bytes. */
  readonly account: Hex;
  /** Last step of the derivation path; never used twice for one operator and account. */
  readonly index: number;
  readonly label: string;
  /** The one device that may use it. */
  readonly deviceKeyHash: Hex;
  readonly agentAddress: Hex;
  /** Raised by every refresh and by revocation; a credential of an earlier epoch is dead. */
  readonly epoch: number;
  /** SHA-256 of the current credential; absent when there is none. */
  readonly credentialHash?: Hex;
  readonly credentialExpiresAt?: number;
  readonly createdAt: number;
  /** Once set it stays. */
  readonly revokedAt?: number;
}

/** Whose indices are counted together. */
export interface KeyOwner {
  readonly operatorOmni: Hex;
  readonly account: Hex;
}

/**
 * The only record of agent keys: sealed, monotone, with one writer. Every change is durable before it answers;
 * changes that wait for the same write share it.
 */
export interface VaultState {
  agentKey(keyId: string): AgentKeyRecord | undefined;
  agentKeysOf(operatorOmni: Hex): readonly AgentKeyRecord[];
  all(): readonly AgentKeyRecord[];
  /**
   * Reserves the owner's next index (from 0) and stores what `make` builds with it, in one write.
   * @throws VaultStateError where the record is not the owner's, has another index, or its keyId is taken
   */
  create(owner: KeyOwner, make: (index: number) => AgentKeyRecord): Promise<AgentKeyRecord>;
  /**
   * Replaces a record by `change(current)`. What identifies it stays; its epoch never falls; what is revoked stays so.
   * @throws VaultStateError
   */
  update(keyId: string, change: (now: AgentKeyRecord) => AgentKeyRecord): Promise<AgentKeyRecord>;
  /**
   * A passkey's signature counter: true for 0 while none above 0 was seen, and for one above the last; false for a
   * repeated or lower one. @see WebAuthn Level 3 §6.1.1
   */
  acceptSignCount(credIdHash: Hex, count: number): Promise<boolean>;
  /** Waits for what is under way, and lets another writer in. */
  close(): Promise<void>;
}

/** A change that the state does not allow, or a state that is not opened; each cause has its own words. */
export class VaultStateError extends Error {
  override readonly name = "VaultStateError";
}

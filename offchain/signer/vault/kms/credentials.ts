import { createHash, randomBytes, timingSafeEqual } from "node:crypto";

import {
  AGENT_CREDENTIAL_AUDIENCE,
  type AgentCredentialClaims,
  type ParsedAgentCredential,
  agentCredentialIsOurs,
  encodeAgentCredential,
} from "../../../wire/agent-credential";
import { type Hex, fromHex, toHex } from "../../../wire/bytes";
import { type Failure, failure } from "../../../wire/result";
import { signing } from "../keys/token-secrets";
import { type VaultKeys, VaultKeysError } from "../keys/vault-keys";
import type { AgentKeyRecord } from "../state/vault-state";
import { rotateOnUse } from "./rotation";

/** A credential that is about to leave the vault, once: nothing but its hash stays. */
export interface IssuedCredential {
  readonly text: string;
  /** SHA-256 of the text. */
  readonly hash: Hex;
  /** Unix seconds. */
  readonly expiresAt: number;
}

/** What a credential is issued for. */
export interface CredentialWish {
  readonly record: AgentKeyRecord;
  readonly walletId: string;
  /** Actor of the device that it is issued to. */
  readonly actorOmni: Hex;
  /** The signer's public base URL. */
  readonly issuer: string;
  /** Unix seconds. */
  readonly now: number;
  readonly lifeSeconds: number;
}

// a forced rotation may take the secret away between two steps; each try takes the one that signs then
const TRIES = 8;

/** Composes and signs a credential for the record as it is; its expiry is on record before it is signed. */
export async function issueCredential(keys: VaultKeys, wish: CredentialWish): Promise<IssuedCredential> {
  const { record, walletId, actorOmni, issuer, now, lifeSeconds } = wish;
  await rotateOnUse(keys, now);
  const claims: AgentCredentialClaims = {
    iss: issuer,
    aud: AGENT_CREDENTIAL_AUDIENCE,
    sub: actorOmni,
    jti: toHex(randomBytes(32)),
    iat: now,
    exp: now + lifeSeconds,
    walletId,
    agentIndex: record.index,
    agentAddress: record.agentAddress,
    deviceKeyHash: record.deviceKeyHash,
    epoch: record.epoch,
  };
  for (let tries = 0; tries < TRIES; tries += 1) {
    const kid = signing(keys.tokenSecrets())?.kid;
    if (kid === undefined) continue;
    await keys.noteExpiry(kid, claims.exp);
    const text = await encodeAgentCredential(claims, kid, (...input) => keys.macCredential(...input));
    if (text !== undefined) return { text, hash: credentialDigest(text), expiresAt: claims.exp };
  }
  throw new VaultKeysError("no token secret stays long enough to sign by");
}

/** SHA-256 of a credential's ASCII text: all that the vault keeps of it. */
export function credentialDigest(text: string): Hex {
  return toHex(createHash("sha256").update(text, "latin1").digest());
}

/** A credential as it was presented. */
export interface PresentedCredential {
  readonly text: string;
  readonly parsed: ParsedAgentCredential;
}

/** What of a credential does not change: MAC, issuer, audience, times. Every failure is `credential_invalid`. */
export async function credentialFailure(
  keys: VaultKeys,
  { parsed }: PresentedCredential,
  issuer: string,
  now: number,
): Promise<Failure | undefined> {
  const { claims } = parsed;
  // the one answer for an unknown secret and for a wrong MAC: who forges learns nothing of which secrets there are
  if (!(await agentCredentialIsOurs(parsed, (...input) => keys.macCredential(...input)))) {
    return invalid("The vault did not sign this credential, or has retired the secret that it was signed by.");
  }
  if (claims.iss !== issuer || claims.aud !== AGENT_CREDENTIAL_AUDIENCE)
    return invalid("The credential is for another signer.");
  return now < claims.exp ? undefined : invalid("The credential has expired: refresh it.");
}

/**
 * What may change while a request is under way, without a pause in between: the key's record, and the secret. Asked
 * once when the credential is verified and once more at the moment of signing, so that what was revoked, refreshed or
 * forced out in between signs nothing.
 */
export function credentialIsCurrent(
  keys: VaultKeys,
  record: AgentKeyRecord | undefined,
  { text, parsed }: PresentedCredential,
): Failure | undefined {
  const { claims, kid } = parsed;
  if (record === undefined) return invalid("The credential's key is not known here.");
  if (record.revokedAt !== undefined) return invalid("The key was revoked.");
  if (record.credentialHash === undefined || record.epoch !== claims.epoch) return invalid(SUPERSEDED);
  if (!timingSafeEqual(fromHex(record.credentialHash), fromHex(credentialDigest(text)))) return invalid(SUPERSEDED);
  if (record.deviceKeyHash !== claims.deviceKeyHash || record.agentAddress !== claims.agentAddress) {
    return invalid("The credential names another device or key than the vault's own record.");
  }
  const isHeld = keys.tokenSecrets().some((one) => one.kid === kid);
  return isHeld ? undefined : invalid("The secret that signed the credential was retired.");
}

const SUPERSEDED = "The credential was superseded by a later one.";

function invalid(detail: string): Failure {
  return failure("credential_invalid", detail);
}

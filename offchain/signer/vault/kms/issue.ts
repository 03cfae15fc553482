import type { Hex } from "../../../wire/bytes";
import type { AgentCredentialAnswer } from "../../../wire/kms";
import { type Result, ok, refuse } from "../../../wire/result";
import type { AgentKeyRecord } from "../state/vault-state";
import { derivationPath, walletIdOf } from "./agent-key";
import { issueCredential } from "./credentials";
import type { KmsParts } from "./parts";
import { durably } from "./request";

/**
 * The credential of a record as it is, shown once: its hash is durable before the text leaves. Where a revocation or
 * another refresh came in between, nothing leaves: `version_conflict`.
 */
export async function issueFor(
  parts: KmsParts,
  record: AgentKeyRecord,
  actorOmni: Hex,
): Promise<Result<AgentCredentialAnswer>> {
  const { keys, state, settings } = parts;
  const { keyId, agentAddress, index } = record;
  const walletId = walletIdOf(record.operatorOmni, record.account);
  const { origin: issuer, credentialSeconds: lifeSeconds } = settings;
  const issued = await issueCredential(keys, { record, walletId, actorOmni, issuer, now: parts.now(), lifeSeconds });
  const kept = await durably(parts, () =>
    state.update(keyId, (now) => {
      if (now.epoch !== record.epoch || now.revokedAt !== undefined || now.credentialHash !== undefined) return now;
      return { ...now, credentialHash: issued.hash, credentialExpiresAt: issued.expiresAt };
    }),
  );
  if (!kept.ok) return kept;
  if (kept.value.credentialHash !== issued.hash) {
    return refuse("version_conflict", "The key was refreshed or revoked at the same time: this credential is dead.");
  }
  const { text: agentCredential, expiresAt } = issued;
  return ok({ keyId, agentAddress, derivationPath: derivationPath(index), agentCredential, expiresAt });
}

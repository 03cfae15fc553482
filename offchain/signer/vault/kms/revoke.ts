import { KMS_PATHS, type RevokeAnswer, parseRevokeAgentCredential } from "../../../wire/kms";
import { type Result, ok } from "../../../wire/result";
import { knownKey } from "./known-key";
import type { KmsParts, KmsRequest } from "./parts";
import { usePasskey } from "./passkey";
import { revokeRecord } from "./records";
import { burnProof, durably, proveCaller } from "./request";
import { activeDevice, standingOf } from "./standing";

/**
 * `POST /kms/revoke-agent-credential`, from any active device of the operator: the key signs nothing from the moment of
 * the answer on, in the vault itself. For good, and the same answer each time.
 */
export async function revokeAgentCredential(parts: KmsParts, request: KmsRequest): Promise<Result<RevokeAnswer>> {
  const body = parseRevokeAgentCredential(request.body);
  if (!body.ok) return body;
  const { keyId, ceremonyId, webAuthnAssertion } = body.value;
  const caller = proveCaller(parts, KMS_PATHS.revokeAgentCredential, request);
  if (!caller.ok) return caller;
  const { proof } = caller.value;
  const device = proof.deviceKeyHash;
  const standing = await standingOf(parts.chain, device, true);
  if (!standing.ok) return standing;
  const inactive = activeDevice(standing.value);
  if (inactive !== undefined) return { ok: false, failure: inactive };
  const key = knownKey(parts.state, standing.value, keyId, "revoke");
  if (!key.ok) return key;
  const burned = await burnProof(parts, proof);
  if (!burned.ok) return burned;
  const allowed = await usePasskey(parts, standing.value, {
    ceremonyId,
    webAuthnAssertion,
    device,
    isFor: (one) => one.operation === "revoke" && one.keyId === keyId,
  });
  if (!allowed.ok) return allowed;
  const now = parts.now();
  const revoked = await durably(parts, () => revokeRecord(parts.state, keyId, now));
  return revoked.ok ? ok({ success: true, revokedAt: revoked.value.revokedAt ?? now }) : revoked;
}

import { type AgentCredentialAnswer, KMS_PATHS, parseRefreshAgentCredential } from "../../../wire/kms";
import { type Result, refuse } from "../../../wire/result";
import { labelIsTheAgents } from "./begin";
import { issueFor } from "./issue";
import { knownKey } from "./known-key";
import type { KmsParts, KmsRequest } from "./parts";
import { usePasskey } from "./passkey";
import { withoutCredential } from "../state/records";
import { burnProof, credentialNamesKey, durably, proveCaller } from "./request";
import { activeAgentDevice, standingOf } from "./standing";

/**
 * `POST /kms/refresh-agent-credential`: a new credential for the same key, also where the old one has expired or was
 * lost, and also for another device of the same agent. The old one is dead from the first durable step on, whatever
 * becomes of the new one. A bearer may come along; it proves nothing and must only name this key: the secret that signed
 * it may be long gone.
 */
export async function refreshAgentCredential(
  parts: KmsParts,
  request: KmsRequest,
): Promise<Result<AgentCredentialAnswer>> {
  const body = parseRefreshAgentCredential(request.body);
  if (!body.ok) return body;
  const { keyId, ceremonyId, webAuthnAssertion } = body.value;
  const caller = proveCaller(parts, KMS_PATHS.refreshAgentCredential, request);
  if (!caller.ok) return caller;
  const { proof, bearer } = caller.value;
  const foreign = bearer === undefined ? undefined : credentialNamesKey(bearer, keyId);
  if (foreign !== undefined) return { ok: false, failure: foreign };
  const device = proof.deviceKeyHash;
  const standing = await standingOf(parts.chain, device, true);
  if (!standing.ok) return standing;
  const inactive = activeAgentDevice(standing.value);
  if (inactive !== undefined) return { ok: false, failure: inactive };
  const key = knownKey(parts.state, standing.value, keyId, "refresh");
  if (!key.ok) return key;
  const stranger = labelIsTheAgents(standing.value, key.value.label);
  if (stranger !== undefined) return { ok: false, failure: stranger };
  const burned = await burnProof(parts, proof);
  if (!burned.ok) return burned;
  const allowed = await usePasskey(parts, standing.value, {
    ceremonyId,
    webAuthnAssertion,
    device,
    isFor: (one) => one.operation === "refresh" && one.keyId === keyId && one.deviceKeyHash === device,
  });
  if (!allowed.ok) return allowed;
  const raised = await durably(parts, () =>
    parts.state.update(keyId, (now) => {
      if (now.revokedAt !== undefined) return now;
      return { ...withoutCredential(now), epoch: now.epoch + 1, deviceKeyHash: device };
    }),
  );
  if (!raised.ok) return raised;
  if (raised.value.revokedAt !== undefined) return refuse("agent_key_not_found", "The agent key was revoked.");
  return issueFor(parts, raised.value, standing.value.device.actorOmni);
}

import type { CeremonySubject } from "../../../wire/ceremony";
import type { Hex } from "../../../wire/bytes";
import { type BeginCeremonyAnswer, type BeginCeremonyBody, KMS_PATHS, parseBeginCeremony } from "../../../wire/kms";
import { actorOmni } from "../../../wire/names";
import { type Failure, type Result, failure, ok } from "../../../wire/result";
import { knownKey } from "./known-key";
import type { KmsParts, KmsRequest } from "./parts";
import { burnProof, proveCaller } from "./request";
import { type Standing, accountIsTheMaster, activeAgentDevice, activeDevice, standingOf } from "./standing";

/**
 * `POST /kms/begin-ceremony`: an active device of the operator says what a passkey shall allow, and is given a nonce,
 * never a challenge. What the ceremony is about is settled here and cannot be changed by who uses it.
 * @see protocol 3.8
 */
export async function beginCeremony(parts: KmsParts, request: KmsRequest): Promise<Result<BeginCeremonyAnswer>> {
  const body = parseBeginCeremony(request.body);
  if (!body.ok) return body;
  const caller = proveCaller(parts, KMS_PATHS.beginCeremony, request);
  if (!caller.ok) return caller;
  const { proof } = caller.value;
  const beganBy = proof.deviceKeyHash;
  const standing = await standingOf(parts.chain, beganBy, false);
  if (!standing.ok) return standing;
  const refused = mayBegin(parts, standing.value, body.value);
  if (refused !== undefined) return { ok: false, failure: refused };
  const burned = await burnProof(parts, proof);
  if (!burned.ok) return burned;
  const { settings, ceremonies } = parts;
  const begun = ceremonies.begin({
    subject: subjectOf(body.value, beganBy),
    operatorOmni: standing.value.device.operatorOmni,
    account: body.value.humanKeyId,
    signerOrigin: settings.origin,
    beganBy,
    now: parts.now(),
  });
  if (begun === undefined) return { ok: false, failure: failure("rate_limited", "Too many ceremonies are open.") };
  const { ceremonyId, nonce, ceremony } = begun;
  return ok({ ceremonyId, nonce, rpId: settings.rpId, expiresAt: ceremony.expiresAt });
}

/**
 * Whether this device may begin this: for a new key and for a new credential it is the device that will hold it, of the
 * agent whose label is shown; a key may be ended from any device of its operator.
 */
function mayBegin(parts: KmsParts, standing: Standing, body: BeginCeremonyBody): Failure | undefined {
  const refused = body.operation === "revoke" ? activeDevice(standing) : activeAgentDevice(standing);
  if (refused !== undefined) return refused;
  const stranger = accountIsTheMaster(standing, body.humanKeyId);
  if (stranger !== undefined) return stranger;
  if (body.operation === "create") return labelIsTheAgents(standing, body.label);
  const key = knownKey(parts.state, standing, body.keyId, body.operation);
  if (!key.ok) return key.failure;
  return body.operation === "refresh" ? labelIsTheAgents(standing, key.value.label) : undefined;
}

/** A key's label is that of the agent whose device holds its credential: the contracts made the actor from it. */
export function labelIsTheAgents({ device }: Standing, label: string): Failure | undefined {
  return device.actorOmni === actorOmni(device.operatorOmni, label)
    ? undefined
    : failure("device_binding_mismatch", "The device is of another agent than the one with this label.");
}

function subjectOf(body: BeginCeremonyBody, deviceKeyHash: Hex): CeremonySubject {
  switch (body.operation) {
    case "create":
      return { operation: "create", label: body.label, deviceKeyHash };
    case "refresh":
      return { operation: "refresh", keyId: body.keyId, deviceKeyHash };
    case "revoke":
      return { operation: "revoke", keyId: body.keyId };
  }
}

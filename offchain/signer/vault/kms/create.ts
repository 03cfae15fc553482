import type { Hex } from "../../../wire/bytes";
import { type AgentCredentialAnswer, KMS_PATHS, parseCreateAgentKey } from "../../../wire/kms";
import type { Result } from "../../../wire/result";
import type { AgentKeyRecord } from "../state/vault-state";
import { agentAddressOf, keyIdOf } from "./agent-key";
import { labelIsTheAgents } from "./begin";
import { issueFor } from "./issue";
import type { KmsParts, KmsRequest } from "./parts";
import { usePasskey } from "./passkey";
import { burnProof, durably, proveCaller } from "./request";
import { accountIsTheMaster, activeAgentDevice, standingOf } from "./standing";

/**
 * `POST /kms/create-agent-key`: the next key of the operator's account, and a credential for the device that asks. The
 * key is durable before the credential is made: a crash in between leaves a key without one, which a refresh gives it.
 * @see services note 4.3
 */
export async function createAgentKey(parts: KmsParts, request: KmsRequest): Promise<Result<AgentCredentialAnswer>> {
  const body = parseCreateAgentKey(request.body);
  if (!body.ok) return body;
  const caller = proveCaller(parts, KMS_PATHS.createAgentKey, request);
  if (!caller.ok) return caller;
  const { proof } = caller.value;
  const device = proof.deviceKeyHash;
  const standing = await standingOf(parts.chain, device, true);
  if (!standing.ok) return standing;
  const { humanKeyId: account, label, ceremonyId, webAuthnAssertion } = body.value;
  const refused =
    activeAgentDevice(standing.value) ??
    accountIsTheMaster(standing.value, account) ??
    labelIsTheAgents(standing.value, label);
  if (refused !== undefined) return { ok: false, failure: refused };
  const burned = await burnProof(parts, proof);
  if (!burned.ok) return burned;
  const allowed = await usePasskey(parts, standing.value, {
    ceremonyId,
    webAuthnAssertion,
    device,
    isFor: (one) => one.operation === "create" && one.label === label && one.deviceKeyHash === device,
  });
  if (!allowed.ok) return allowed;
  const { operatorOmni, actorOmni } = standing.value.device;
  const created = await makeKey(parts, { operatorOmni, account, label, deviceKeyHash: device });
  return created.ok ? issueFor(parts, created.value, actorOmni) : created;
}

interface NewKey {
  readonly operatorOmni: Hex;
  readonly account: Hex;
  readonly label: string;
  readonly deviceKeyHash: Hex;
}

/** Reserves the next index and derives its address in one durable step. */
async function makeKey(parts: KmsParts, { operatorOmni, account, ...rest }: NewKey): Promise<Result<AgentKeyRecord>> {
  const owner = { operatorOmni, account };
  const seed = await parts.keys.operatorSeed(operatorOmni, account);
  try {
    return await durably(parts, () =>
      parts.state.create(owner, (index) => ({
        ...owner,
        ...rest,
        keyId: keyIdOf(operatorOmni, account, index),
        index,
        agentAddress: agentAddressOf(seed, index),
        epoch: 0,
        createdAt: parts.now(),
      })),
    );
  } finally {
    seed.fill(0);
  }
}

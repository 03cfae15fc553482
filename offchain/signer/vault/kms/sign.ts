import { verifySessionOperation } from "../../../verify/session-operation";
import { signAsAgent } from "../../../wire/agent-signature";
import { type Hex, fromHex } from "../../../wire/bytes";
import { KMS_PATHS, type SignAgentAnswer, type SignAgentBody, parseSignAgent } from "../../../wire/kms";
import { type Failure, type Result, failure, ok, refuse } from "../../../wire/result";
import { userOperationHash } from "../../../wire/user-operation";
import type { AgentKeyRecord } from "../state/vault-state";
import { keyIdOf, withAgentKey } from "./agent-key";
import { type PresentedCredential, credentialFailure, credentialIsCurrent } from "./credentials";
import type { KmsParts, KmsRequest } from "./parts";
import { burnProof, credentialNamesKey, proveRequest, readBearer } from "./request";
import { type Standing, accountIsTheMaster, activeAgentDevice, payloadIsGranted, standingOf } from "./standing";

/**
 * `POST /kms/sign-agent`. Shape, proof, credential, chain, what a session would refuse, replay, limits; then one
 * signature. Limits are counted last: whoever has no proof by the credential's own device counts against nobody.
 * @see protocol 3.8
 */
export async function signAgent(parts: KmsParts, request: KmsRequest): Promise<Result<SignAgentAnswer>> {
  const body = parseSignAgent(request.body);
  if (!body.ok) return body;
  const bearer = readBearer(request);
  if (!bearer.ok) return bearer;
  if (bearer.value === undefined) return refuse("credential_invalid", "There is no Authorization header.");
  const credential = bearer.value;
  const device = credential.parsed.claims.deviceKeyHash;
  const proof = proveRequest(parts, KMS_PATHS.signAgent, request, credential, device);
  if (!proof.ok) return proof;
  const found = await keyOfCredential(parts, credential, body.value.keyId);
  if (!found.ok) return found;
  const record = found.value;
  const standing = await standingOf(parts.chain, device, false);
  if (!standing.ok) return standing;
  const refused = mayUse(standing.value, record, credential);
  if (refused !== undefined) return { ok: false, failure: refused };
  const bytes32 = whatIsSigned(parts, standing.value, record, body.value);
  if (!bytes32.ok) return bytes32;
  const burned = await burnProof(parts, proof.value);
  if (!burned.ok) return burned;
  const wait = parts.limits.takeSignature({ keyId: record.keyId, deviceKeyHash: device });
  if (wait !== undefined) {
    const tooMany = failure("rate_limited", "The credential, or its device, signs more often than it may.");
    return { ok: false, failure: { ...tooMany, retryAfter: wait } };
  }
  return signWith(parts, record, credential, bytes32.value);
}

/** The one key that the credential is for, if the vault made it, it has not ended, and it is the current one. */
async function keyOfCredential(
  parts: KmsParts,
  credential: PresentedCredential,
  keyId: string,
): Promise<Result<AgentKeyRecord>> {
  const refused = await credentialFailure(parts.keys, credential, parts.settings.origin, parts.now());
  if (refused !== undefined) return { ok: false, failure: refused };
  const foreign = credentialNamesKey(credential, keyId);
  if (foreign !== undefined) return { ok: false, failure: foreign };
  const record = parts.state.agentKey(keyId);
  if (record === undefined) return refuse("agent_key_not_found", "The vault's state has no such agent key.");
  const ended = credentialIsCurrent(parts.keys, record, credential);
  return ended === undefined ? ok(record) : { ok: false, failure: ended };
}

/** The device is an active one of the actor and operator that the credential was issued for. */
function mayUse(standing: Standing, record: AgentKeyRecord, { parsed }: PresentedCredential): Failure | undefined {
  const inactive = activeAgentDevice(standing);
  if (inactive !== undefined) return inactive;
  const { operatorOmni, actorOmni } = standing.device;
  if (operatorOmni !== record.operatorOmni || actorOmni !== parsed.claims.sub) {
    return failure("device_binding_mismatch", "The device does not act for the operator and actor of this key.");
  }
  return accountIsTheMaster(standing, record.account);
}

/** The 32 bytes that EIP-191 wraps: the hash of an operation, computed here; or a payload, where a grant allows it. */
function whatIsSigned(
  parts: KmsParts,
  standing: Standing,
  { account }: AgentKeyRecord,
  body: SignAgentBody,
): Result<Hex> {
  if (body.kind === "payload") {
    if (body.accountAddress !== account) {
      return refuse("payload_invalid", "The payload is for another account than the key's.");
    }
    const refused = payloadIsGranted(standing, parts.now());
    return refused === undefined ? ok(body.payload) : { ok: false, failure: refused };
  }
  const { userOperation, entryPoint, chainId } = body;
  const { sessionRules } = parts.settings;
  const verified = verifySessionOperation({ userOperation, entryPoint, chainId, account }, sessionRules);
  return verified.ok ? ok(userOperationHash(userOperation, sessionRules.domain)) : verified;
}

/** From the check that the credential is still the current one to the signature there is no pause. */
async function signWith(
  parts: KmsParts,
  record: AgentKeyRecord,
  credential: PresentedCredential,
  bytes32: Hex,
): Promise<Result<SignAgentAnswer>> {
  const { keyId, operatorOmni, account, index, agentAddress } = record;
  const seed = await parts.keys.operatorSeed(operatorOmni, account);
  try {
    const ended = credentialIsCurrent(parts.keys, parts.state.agentKey(keyId), credential);
    if (ended !== undefined) return { ok: false, failure: ended };
    return withAgentKey(seed, index, ({ secret, address }) => {
      if (address !== agentAddress || keyIdOf(operatorOmni, account, index) !== keyId) {
        throw new Error("the state's record of an agent key is not that of the key it names");
      }
      return ok({ keyId, agentAddress, signature: signAsAgent(account, fromHex(bytes32), secret) });
    });
  } finally {
    seed.fill(0);
  }
}

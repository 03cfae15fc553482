import { parseAgentCredential } from "../wire/agent-credential";
import { isAgentSignature } from "../wire/agent-signature";
import { type Hex, fromHex, isAddressHex, isBytes32, toBase64url } from "../wire/bytes";
import { type Ceremony, type CeremonySubject, ceremonyChallenge, ceremonyDigest, ceremonyOf } from "../wire/ceremony";
import { type Domain, domainSeparator } from "../wire/eip712";
import { type JsonObject, isWholeNumber, readJsonObject } from "../wire/json";
import { keccakReady } from "../wire/keccak";
import {
  type AgentCredentialAnswer,
  KMS_PATHS,
  PAYLOAD_ALGORITHM,
  type RevokeAnswer,
  type SignAgentAnswer,
  readKeyId,
} from "../wire/kms";
import { isOrigin } from "../wire/origin";
import { type Result, ok, refuse } from "../wire/result";
import {
  type EntryPointDomain,
  type PackedUserOperation,
  encodeUserOperation,
  userOperationHash,
} from "../wire/user-operation";
import type { Authenticator } from "./authenticator";
import type { DeviceKey } from "./device-key-file";
import { httpExchange } from "./http-exchange";
import { proveRequest } from "./request-proof";

/** What the agents' side of the signer is called with; nothing that the signer answers changes any of it. */
export interface AgentKeysOptions {
  /** This machine's K10. */
  readonly device: DeviceKey;
  readonly operatorOmni: Hex;
  /** The operator's master account, lowercase: `humanKeyId` of the signer's routes. */
  readonly account: Hex;
  readonly domain: Domain;
  /** The signer's public base URL. */
  readonly signer: string;
  /** Where operations are valid. */
  readonly entryPoint: EntryPointDomain;
  /** PEM, in place of the system's roots. */
  readonly ca?: string | Buffer;
  /** Milliseconds for one exchange; 30,000 by default. */
  readonly timeoutMs?: number;
  /** Unix seconds. */
  readonly now: () => number;
}

/** A key in the vault, and what lets this device use it. */
export interface AgentKeyHandle {
  readonly keyId: string;
  readonly agentAddress: Hex;
  readonly agentCredential: string;
}

/**
 * Typed calls of an agent's device to the signer. Where a passkey is needed, this side builds what its owner is shown and
 * computes the challenge from it by itself: the signer contributes a nonce and a time, and an answer of its that holds a
 * `challenge` is refused before anybody is asked. @see protocol 3.8, drill D18
 */
export interface AgentKeysClient {
  /** The next key of the account, for this device of the agent with this label. */
  create(label: string, authenticator: Authenticator): Promise<Result<AgentCredentialAnswer>>;
  /** A new credential for the same key, for this device; the old one may be expired or lost. */
  refresh(
    key: Pick<AgentKeyHandle, "keyId" | "agentAddress">,
    authenticator: Authenticator,
  ): Promise<Result<AgentCredentialAnswer>>;
  /** Ends the key for good. */
  revoke(keyId: string, authenticator: Authenticator): Promise<Result<RevokeAnswer>>;
  /** The operation with its signature, which was checked to be the key's over the hash computed here. */
  signOperation(key: AgentKeyHandle, operation: PackedUserOperation): Promise<Result<PackedUserOperation>>;
  /** 106 bytes over 32 bytes, wrapped by EIP-191; needs the operator's grant. */
  signPayload(key: AgentKeyHandle, payload: Hex): Promise<Result<Hex>>;
  close(): Promise<void>;
}

/** Seconds that a ceremony lives, and that the clocks of signer and device may differ. */
const CEREMONY_SECONDS = 300;
const CLOCK_SECONDS = 60;

/** A client over the wire. Throws where the signer's origin is neither https nor loopback. */
export async function agentKeysClient(options: AgentKeysOptions): Promise<AgentKeysClient> {
  await keccakReady();
  if (!isOrigin(options.signer)) throw new RangeError(`${options.signer} is no origin: https, no trailing slash`);
  const { device, operatorOmni, account, signer, now, entryPoint } = options;
  const separator = domainSeparator(options.domain);
  const exchange = httpExchange(options.ca, options.timeoutMs);

  /** One request with a proof of its own. */
  async function call(path: string, body: object, bearer?: string): Promise<Result<JsonObject> | "unreachable"> {
    const text = JSON.stringify(body);
    const target = signer + path;
    const { headers } = proveRequest({ device, separator, target, body: text, credential: bearer, now: now() });
    const answer = await exchange.post(target, text, headers);
    if (answer === "unreachable") return answer;
    if (!answer.ok) return answer;
    const read = readJsonObject(answer.value);
    return read.ok ? read : noAnswer();
  }

  async function once(path: string, body: object): Promise<Result<JsonObject>> {
    const answer = await call(path, body);
    return answer === "unreachable" ? unreachable("it may have happened: look, then begin anew") : answer;
  }

  /** Begins, shows, asks the passkey, and returns what the signer is told. */
  async function perform(
    subject: CeremonySubject,
    authenticator: Authenticator,
  ): Promise<Result<{ readonly ceremonyId: string; readonly webAuthnAssertion: object }>> {
    const { operation } = subject;
    const about = subject.operation === "create" ? { label: subject.label } : { keyId: subject.keyId };
    const begun = await once(KMS_PATHS.beginCeremony, { operation, humanKeyId: account, ...about });
    if (!begun.ok) return begun;
    const { credential } = authenticator;
    const opened = readBegun(begun.value, credential.rpId, now());
    if (!opened.ok) return opened;
    const { ceremonyId, nonce, expiresAt } = opened.value;
    const ceremony = ceremonyOf(subject, { operatorOmni, account, signerOrigin: signer, expiresAt });
    const challenge = ceremonyChallenge(nonce, ceremonyDigest(separator, ceremony));
    const assertion = await authenticator.getAssertion(challenge, describeCeremony(ceremony));
    if (!assertion.ok) return assertion;
    const { authenticatorData, clientDataJSON, signature } = assertion.value;
    const webAuthnAssertion = {
      credentialId: toBase64url(credential.credentialId),
      authenticatorData: toBase64url(authenticatorData),
      clientDataJSON: toBase64url(clientDataJSON),
      signature: toBase64url(signature),
    };
    return ok({ ceremonyId, webAuthnAssertion });
  }

  /** Signing twice does no harm: the same bytes give the same signature. */
  async function sign(key: AgentKeyHandle, what: object, bytes32: Hex): Promise<Result<Hex>> {
    const body = { keyId: key.keyId, ...what };
    let answer = await call(KMS_PATHS.signAgent, body, key.agentCredential);
    if (answer === "unreachable") answer = await call(KMS_PATHS.signAgent, body, key.agentCredential);
    if (answer === "unreachable") return unreachable("is its URL right?");
    if (!answer.ok) return answer;
    const { keyId, agentAddress, signature } = answer.value as Partial<SignAgentAnswer>;
    const expected = { account, key: key.agentAddress, bytes32: fromHex(bytes32) };
    const isIts = keyId === key.keyId && agentAddress === key.agentAddress && isAgentSignature(signature, expected);
    return isIts && signature !== undefined
      ? ok(signature)
      : refuse("internal_error", "The signer's answer is not the agent key's signature over what was asked for.");
  }

  /** A credential must be this device's, for the key that the answer names, and from this signer. */
  function readCredential(answer: JsonObject): Result<AgentCredentialAnswer> {
    const { keyId, agentAddress, derivationPath, agentCredential, expiresAt } = answer;
    const key = readKeyId(keyId);
    if (typeof keyId !== "string" || typeof agentCredential !== "string" || key === undefined) return noAnswer();
    if (!isAddressHex(agentAddress) || typeof derivationPath !== "string" || !isWholeNumber(expiresAt))
      return noAnswer();
    const parsed = parseAgentCredential(agentCredential);
    if (!parsed.ok) return noAnswer();
    const { claims } = parsed.value;
    const isMine =
      claims.iss === signer &&
      claims.deviceKeyHash === device.deviceKeyHash &&
      claims.walletId === key.walletId &&
      claims.agentIndex === key.index &&
      claims.agentAddress === agentAddress &&
      claims.exp === expiresAt;
    return isMine ? ok({ keyId, agentAddress, derivationPath, agentCredential, expiresAt }) : noAnswer();
  }

  return {
    async create(label, authenticator) {
      const subject = { operation: "create", label, deviceKeyHash: device.deviceKeyHash } as const;
      const tapped = await perform(subject, authenticator);
      if (!tapped.ok) return tapped;
      const answer = await once(KMS_PATHS.createAgentKey, { humanKeyId: account, label, ...tapped.value });
      return answer.ok ? readCredential(answer.value) : answer;
    },

    async refresh({ keyId, agentAddress }, authenticator) {
      const subject = { operation: "refresh", keyId, deviceKeyHash: device.deviceKeyHash } as const;
      const tapped = await perform(subject, authenticator);
      if (!tapped.ok) return tapped;
      const answer = await once(KMS_PATHS.refreshAgentCredential, { keyId, ...tapped.value });
      const read = answer.ok ? readCredential(answer.value) : answer;
      if (!read.ok) return read;
      return read.value.keyId === keyId && read.value.agentAddress === agentAddress ? read : noAnswer();
    },

    async revoke(keyId, authenticator) {
      const tapped = await perform({ operation: "revoke", keyId }, authenticator);
      if (!tapped.ok) return tapped;
      const answer = await once(KMS_PATHS.revokeAgentCredential, { keyId, ...tapped.value });
      if (!answer.ok) return answer;
      const { success, revokedAt } = answer.value;
      return success === true && isWholeNumber(revokedAt) ? ok({ success, revokedAt }) : noAnswer();
    },

    async signOperation(key, operation) {
      const { chainId, entryPoint: address } = entryPoint;
      const what = { userOperation: encodeUserOperation(operation), entryPoint: address, chainId };
      const signed = await sign(key, what, userOperationHash(operation, entryPoint));
      return signed.ok ? ok({ ...operation, signature: signed.value }) : signed;
    },

    signPayload(key, payload) {
      return sign(key, { payload, algorithm: PAYLOAD_ALGORITHM, accountAddress: account }, payload);
    },

    close: () => exchange.close(),
  };
}

/** What a passkey is about to allow, one line each, for its owner's eyes. */
export function describeCeremony(ceremony: Ceremony): readonly string[] {
  const { operation, account, keyId, label, deviceKeyHash, signerOrigin, expiresAt } = ceremony;
  const device = `for the device ${deviceKeyHash}`;
  const what = {
    create: [`a new agent key for the agent "${label}"`, device],
    refresh: [`a new credential for the agent key ${keyId}`, device, "the credential before it ends"],
    revoke: [`the end of the agent key ${keyId}, for good`],
  }[operation];
  const until = new Date(expiresAt * 1_000).toISOString();
  return [...what, `of the account ${account}`, `at the signer ${signerOrigin}, until ${until}`];
}

interface Begun {
  readonly ceremonyId: string;
  readonly nonce: Hex;
  readonly expiresAt: number;
}

/** A nonce and a time, nothing else: `request_malformed` before anybody is asked. */
function readBegun(answer: JsonObject, passkeyRpId: string, now: number): Result<Begun> {
  const refused = (why: string): Result<never> =>
    refuse("request_malformed", `The signer's ceremony was not begun, and no passkey was asked: ${why}.`);
  if (holdsChallenge(answer)) return refused("it sent a challenge, which only this side may compute");
  const { ceremonyId, nonce, rpId, expiresAt } = answer;
  if (typeof ceremonyId !== "string" || !isBytes32(nonce)) return refused("its answer has no id or nonce");
  if (rpId !== passkeyRpId) return refused("it is for the passkeys of another relying party");
  if (!isWholeNumber(expiresAt)) return refused("its answer has no end");
  if (expiresAt <= now - CLOCK_SECONDS || expiresAt > now + CEREMONY_SECONDS + CLOCK_SECONDS) {
    return refused("it ends at another time than within five minutes");
  }
  return ok({ ceremonyId, nonce, expiresAt });
}

/** At any depth: a page might hand the whole answer to its authenticator. */
function holdsChallenge(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  return Object.entries(value).some(([name, inner]) => /challenge/i.test(name) || holdsChallenge(inner));
}

function noAnswer(): Result<never> {
  return refuse("internal_error", "The signer's answer is none, or is for something that was not asked for.");
}

function unreachable(hint: string): Result<never> {
  return refuse("upstream_unavailable", `The signer did not answer; ${hint}.`);
}

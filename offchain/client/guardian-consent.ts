import { isAddressHex, isBytes32, fromHex, type Hex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import { type Authenticator, type ContractPasskey, encodeAssertion } from "./authenticator";
import type { DeviceKey } from "./device-key-file";
import { type GuardianMessage, type GuardianRequest, describeRequest, guardianDigest } from "./guardian-messages";

/** One guardian's consent to one message. */
export interface Consent {
  readonly request: GuardianRequest;
  /** ERC-7913 signer, lowercase. */
  readonly guardian: Hex;
  /** 65 bytes of a key, or what ERC-1271 or the ERC-7913 verifier takes. */
  readonly signature: Hex;
}

/** The consent of a guardian that is a key. */
export function consentByKey(request: GuardianRequest, key: DeviceKey): Consent {
  return { request, guardian: key.address, signature: key.sign(fromHex(guardianDigest(request))) };
}

/**
 * The consent of a guardian that is a passkey, by one tap.
 * @param guardian WebAuthnGuardian's address ‖ x ‖ y of this passkey
 */
export async function consentByPasskey(
  request: GuardianRequest,
  guardian: Hex,
  authenticator: Authenticator,
): Promise<Result<Consent>> {
  const digest = fromHex(guardianDigest(request));
  const assertion = await authenticator.getAssertion(digest, describeRequest(request));
  if (!assertion.ok) return assertion;
  const signature = encodeAssertion(authenticator.credential, digest, assertion.value);
  // the account's form names the credential in a first word, which a guardian has no use for
  return signature.ok ? ok({ request, guardian, signature: `0x${signature.value.slice(66)}` }) : signature;
}

/** A request or a consent as text: one object of JSON, everything that is signed in it. */
export function consentText(
  request: GuardianRequest,
  more: Readonly<Record<string, string | readonly string[]>> = {},
): string {
  const { message, ...place } = request;
  return `${JSON.stringify({ ...place, ...message, ...more }, null, 2)}\n`;
}

/** Reads a request; what else the text has is not looked at. */
export function parseRequest(text: string): Result<GuardianRequest> {
  const { chainId, recovery, account, ...rest } = objectOf(text);
  const message = messageOf(rest);
  if (!isCount(chainId) || !isAddressHex(recovery) || !isAddressHex(account) || message === undefined) {
    return refuse("request_malformed", "This is no request to guardians, as `recovery request` writes it.");
  }
  return ok({ chainId, recovery, account, message });
}

/** The guardians that a request names, which are not signed: what the chain had when it was made. */
export function guardiansIn(text: string): readonly Hex[] {
  const { guardians } = objectOf(text);
  return Array.isArray(guardians) ? guardians.filter(isGuardian) : [];
}

/** Reads a consent. Whether it counts is the chain's to say. */
export function parseConsent(text: string): Result<Consent> {
  const request = parseRequest(text);
  if (!request.ok) return request;
  const { guardian, signature } = objectOf(text);
  if (!isGuardian(guardian) || !isBytes(signature)) {
    return refuse("request_malformed", "This is a request that no guardian has signed: it is for `recovery consent`.");
  }
  return ok({ request: request.value, guardian, signature });
}

/** True for an ERC-7913 signer, lowercase: 20 bytes or more. */
export function isGuardian(value: unknown): value is Hex {
  return isBytes(value) && value.length >= 42;
}

function messageOf(value: Readonly<Record<string, unknown>>): GuardianMessage | undefined {
  const { kind, newPasskeys, recoveryNonce, notBefore, change, readyAt } = value;
  if (kind === "start" && isCount(recoveryNonce) && isCount(notBefore) && Array.isArray(newPasskeys)) {
    const passkeys = newPasskeys.map(passkeyOf);
    return passkeys.every((one) => one !== undefined) && passkeys.length > 0
      ? { kind, newPasskeys: passkeys, recoveryNonce, notBefore }
      : undefined;
  }
  if (kind === "cancel" && isCount(recoveryNonce)) return { kind, recoveryNonce };
  if (kind === "cancel-change" && isBytes32(change) && isCount(readyAt)) return { kind, change, readyAt };
  return undefined;
}

function passkeyOf(value: unknown): ContractPasskey | undefined {
  const { credIdHash, rpIdHash, x, y } = (value ?? {}) as Record<string, unknown>;
  return isBytes32(credIdHash) && isBytes32(rpIdHash) && isBytes32(x) && isBytes32(y)
    ? { credIdHash, rpIdHash, x, y }
    : undefined;
}

function objectOf(text: string): Readonly<Record<string, unknown>> {
  try {
    return (JSON.parse(text) ?? {}) as Record<string, unknown>;
  } catch {
    return {};
  }
}

function isCount(value: unknown): value is number {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
}

function isBytes(value: unknown): value is Hex {
  return typeof value === "string" && /^0x([0-9a-f]{2})+$/.test(value);
}

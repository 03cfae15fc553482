import {
  type AuthenticationResponseJSON,
  type PublicKeyCredentialCreationOptionsJSON,
  type PublicKeyCredentialRequestOptionsJSON,
  type RegistrationResponseJSON,
  generateAuthenticationOptions,
  generateRegistrationOptions,
  verifyAuthenticationResponse,
  verifyRegistrationResponse,
} from "@simplewebauthn/server";

import type { Assertion, PasskeyCredential } from "../../offchain/client/authenticator";
import { type Hex, fromHex, toBase64url, toHex } from "../../offchain/wire/bytes";
import { type Result, ok, refuse } from "../../offchain/wire/result";

const RP_ID = "localhost";
const ES256 = -7;

/** What a browser is asked to make: an ES256 passkey for this machine, whose use is verified. */
export function creationOptions(): Promise<PublicKeyCredentialCreationOptionsJSON> {
  return generateRegistrationOptions({
    rpName: "AgentKeys",
    rpID: RP_ID,
    userName: "AgentKeys operator",
    attestationType: "none",
    supportedAlgorithmIDs: [ES256],
    authenticatorSelection: { residentKey: "preferred", userVerification: "required" },
  });
}

/** What a browser is asked to sign: just this challenge, by just this passkey. */
export function assertionOptions(
  credential: PasskeyCredential,
  challenge: Uint8Array,
): Promise<PublicKeyCredentialRequestOptionsJSON> {
  return generateAuthenticationOptions({
    rpID: credential.rpId,
    challenge: Uint8Array.from(challenge),
    allowCredentials: [{ id: toBase64url(credential.credentialId) }],
    userVerification: "required",
  });
}

/** The passkey that a browser made, once everything about its answer has been verified. */
export async function readCreation(
  response: RegistrationResponseJSON,
  expectedChallenge: string,
  expectedOrigin: string,
): Promise<Result<PasskeyCredential>> {
  try {
    const verified = await verifyRegistrationResponse({
      response,
      expectedChallenge,
      expectedOrigin,
      expectedRPID: RP_ID,
      requireUserVerification: true,
      supportedAlgorithmIDs: [ES256],
    });
    const point = verified.verified ? readCoseKey(verified.registrationInfo.credential.publicKey) : undefined;
    if (!verified.verified || point === undefined) return refused("it did not verify");
    return ok({
      credentialId: Buffer.from(verified.registrationInfo.credential.id, "base64url"),
      rpId: RP_ID,
      ...point,
    });
  } catch (error) {
    return refused((error as Error).message);
  }
}

/** The assertion that a browser answered, once everything about it has been verified. */
export async function readAssertion(
  response: AuthenticationResponseJSON,
  credential: PasskeyCredential,
  expectedChallenge: string,
  expectedOrigin: string,
): Promise<Result<Assertion>> {
  try {
    const { verified } = await verifyAuthenticationResponse({
      response,
      expectedChallenge,
      expectedOrigin,
      expectedRPID: credential.rpId,
      requireUserVerification: true,
      // no counter is kept here: synced passkeys answer 0, and the account's nonce already refuses repetition
      credential: { id: toBase64url(credential.credentialId), publicKey: coseKey(credential), counter: 0 },
    });
    if (!verified) return refused("it did not verify");
    const { authenticatorData, clientDataJSON, signature } = response.response;
    const bytes = (text: string): Buffer => Buffer.from(text, "base64url");
    return ok({
      authenticatorData: bytes(authenticatorData),
      clientDataJSON: bytes(clientDataJSON),
      signature: bytes(signature),
    });
  } catch (error) {
    return refused((error as Error).message);
  }
}

function refused(why: string): Result<never> {
  return refuse("caller_not_allowed", `The browser's answer cannot be used: ${why}.`);
}

// COSE_Key {1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y}, canonical CBOR (RFC 9052, RFC 8949)
const COSE_HEAD = Buffer.from("a5010203262001215820", "hex");
const COSE_Y = Buffer.from("225820", "hex");

function coseKey({ x, y }: PasskeyCredential): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Buffer.concat([COSE_HEAD, fromHex(x), COSE_Y, fromHex(y)]));
}

/** WebAuthn requires canonical CBOR for credential keys, so an ES256 key has just one form. */
function readCoseKey(key: Uint8Array): { readonly x: Hex; readonly y: Hex } | undefined {
  const bytes = Buffer.from(key);
  const point = { x: toHex(bytes.subarray(10, 42)), y: toHex(bytes.subarray(45, 77)) };
  const again = coseKey({ credentialId: bytes, rpId: RP_ID, ...point });
  return bytes.equals(again) ? point : undefined;
}

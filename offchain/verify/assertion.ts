import { type JsonWebKey, createHash, createPublicKey, verify } from "node:crypto";

import type { Passkey } from "../chain/passkeys";
import { type Hex, fromBase64url, fromHex, toBase64url } from "../wire/bytes";
import type { AssertionText } from "../wire/ceremony";
import { type JsonObject, readJsonObject } from "../wire/json";
import { keccak256Hex } from "../wire/keccak";
import { type Failure, type Result, failure, ok } from "../wire/result";
import { type Check, firstFailure } from "./check";
import { type EcdsaSignature, isOnP256, readDerSignature } from "./p256";

/** What an assertion is judged by. */
export interface AssertionQuestion {
  readonly assertion: AssertionText;
  /** The bytes that the authenticator must have been handed, computed by the verifier itself. @see protocol 3.8 */
  readonly challenge: Uint8Array;
  /** Relying party id, such as `example.org`. */
  readonly rpId: string;
  /** The only origins whose pages may ask, as browsers write them. */
  readonly origins: readonly string[];
  /** Of the operator's master account, from the chain. */
  readonly passkeys: readonly Passkey[];
}

/** Whose assertion it was. */
export interface VerifiedAssertion {
  /** keccak256 of the raw credential id. */
  readonly credIdHash: Hex;
  /** The authenticator's counter; 0 for ever at synced passkeys. Whether it went back is for who remembers it. */
  readonly signCount: number;
}

/** Everything that the checks look at, read from the texts; undefined where there is nothing to read. */
interface AssertionFacts {
  readonly question: AssertionQuestion;
  readonly credentialId: Buffer | undefined;
  readonly authenticatorData: Buffer | undefined;
  readonly clientDataJSON: Buffer | undefined;
  readonly signatureBytes: Buffer | undefined;
  readonly passkey: Passkey | undefined;
  readonly rpIdHash: Buffer;
  readonly flags: number;
  readonly clientData: JsonObject | undefined;
  readonly signature: EcdsaSignature | undefined;
}

// https://www.w3.org/TR/webauthn-3/#authdata-flags
const FLAG = { UP: 0x01, UV: 0x04, BE: 0x08, BS: 0x10, AT: 0x40, ED: 0x80 } as const;
const MIN_AUTHENTICATOR_DATA = 37;
// https://www.w3.org/TR/webauthn-3/#credential-id
const MAX_CREDENTIAL_ID = 1023;

/**
 * The order is cheap before costly; everything is about one signature, so none of it tells a stranger anything.
 *
 * Not checked, and why: the attestation (only registration has one; the chain holds the key); the content of
 * extensions (none is asked for); which half of the order `s` is in (authenticators give either, and a ceremony is
 * used once); the counter (see `VerifiedAssertion`).
 * @see https://www.w3.org/TR/webauthn-3/#sctn-verifying-assertion
 */
const ASSERTION_CHECKS: readonly Check<AssertionFacts>[] = [
  textsAreBase64url,
  credentialIsOfTheAccount,
  credentialIsOfTheRelyingParty,
  authenticatorDataAreWhole,
  authenticatorServedTheRelyingParty,
  userWasPresent,
  userWasVerified,
  backupIsEligible,
  clientDataAreJson,
  clientDataAreOfAnAssertion,
  challengeIsThisOne,
  originIsListed,
  pageWasNotFramed,
  signatureIsStrictDer,
  publicKeyIsOnTheCurve,
  passkeySigned,
];

/** Judges one assertion; every refusal is `payload_invalid`. Pure: nothing is remembered. */
export function verifyAssertion(question: AssertionQuestion): Result<VerifiedAssertion> {
  const facts = readFacts(question);
  const refused = firstFailure(ASSERTION_CHECKS, facts);
  if (refused !== undefined) return { ok: false, failure: refused };
  const { passkey, authenticatorData } = facts;
  if (passkey === undefined || authenticatorData === undefined) throw new Error("the checks let a missing fact pass");
  return ok({ credIdHash: passkey.credIdHash, signCount: authenticatorData.readUInt32BE(33) });
}

function readFacts(question: AssertionQuestion): AssertionFacts {
  const { assertion, passkeys } = question;
  const credentialId = fromBase64url(assertion.credentialId);
  const authenticatorData = fromBase64url(assertion.authenticatorData);
  const clientDataJSON = fromBase64url(assertion.clientDataJSON);
  const signatureBytes = fromBase64url(assertion.signature);
  const credIdHash = credentialId === undefined ? undefined : keccak256Hex(credentialId);
  const clientData = clientDataJSON === undefined ? undefined : readJsonObject(clientDataJSON);
  return {
    question,
    credentialId,
    authenticatorData,
    clientDataJSON,
    signatureBytes,
    passkey: passkeys.find((one) => one.credIdHash === credIdHash),
    rpIdHash: sha256(question.rpId),
    flags: authenticatorData?.[32] ?? 0,
    clientData: clientData?.ok === true ? clientData.value : undefined,
    signature: signatureBytes === undefined ? undefined : readDerSignature(signatureBytes),
  };
}

function textsAreBase64url(facts: AssertionFacts): Failure | undefined {
  const { credentialId, authenticatorData, clientDataJSON, signatureBytes } = facts;
  if (credentialId === undefined || credentialId.length === 0 || credentialId.length > MAX_CREDENTIAL_ID)
    return refused("its credential id is not base64url of 1 to 1,023 bytes");
  if (authenticatorData === undefined) return refused("its authenticator data are not base64url");
  if (clientDataJSON === undefined) return refused("its client data are not base64url");
  return signatureBytes === undefined ? refused("its signature is not base64url") : undefined;
}

function credentialIsOfTheAccount({ passkey }: AssertionFacts): Failure | undefined {
  return passkey === undefined ? refused("no passkey of the account has its credential id") : undefined;
}

function credentialIsOfTheRelyingParty({ passkey, rpIdHash }: AssertionFacts): Failure | undefined {
  const isIts = passkey !== undefined && fromHex(passkey.rpIdHash).equals(rpIdHash);
  return isIts ? undefined : refused("its passkey belongs to another relying party");
}

/** At least 37 bytes, and more only where a flag announces extensions; attested credential data are for registrations. */
function authenticatorDataAreWhole({ authenticatorData, flags }: AssertionFacts): Failure | undefined {
  const length = authenticatorData?.length ?? 0;
  if (length < MIN_AUTHENTICATOR_DATA) return refused("its authenticator data are shorter than 37 bytes");
  if ((flags & FLAG.AT) !== 0) return refused("it carries the data of a new credential");
  const hasMore = length > MIN_AUTHENTICATOR_DATA;
  const announced = (flags & FLAG.ED) !== 0;
  return hasMore === announced ? undefined : refused("its authenticator data are not as long as its flags say");
}

function authenticatorServedTheRelyingParty({ authenticatorData, rpIdHash }: AssertionFacts): Failure | undefined {
  const isIts = authenticatorData?.subarray(0, 32).equals(rpIdHash) === true;
  return isIts ? undefined : refused("it was made for another relying party");
}

function userWasPresent({ flags }: AssertionFacts): Failure | undefined {
  return (flags & FLAG.UP) === 0 ? refused("the user was not present") : undefined;
}

function userWasVerified({ flags }: AssertionFacts): Failure | undefined {
  return (flags & FLAG.UV) === 0 ? refused("the user was not verified") : undefined;
}

function backupIsEligible({ flags }: AssertionFacts): Failure | undefined {
  const isBackedUp = (flags & FLAG.BS) !== 0;
  return isBackedUp && (flags & FLAG.BE) === 0 ? refused("it is backed up without being eligible") : undefined;
}

function clientDataAreJson({ clientData }: AssertionFacts): Failure | undefined {
  return clientData === undefined ? refused("its client data are not a JSON object of protocol 3.1") : undefined;
}

function clientDataAreOfAnAssertion({ clientData }: AssertionFacts): Failure | undefined {
  return clientData?.["type"] === "webauthn.get" ? undefined : refused("its client data are not of an assertion");
}

function challengeIsThisOne({ clientData, question }: AssertionFacts): Failure | undefined {
  const isIt = clientData?.["challenge"] === toBase64url(question.challenge);
  return isIt ? undefined : refused("it is for another challenge");
}

function originIsListed({ clientData, question }: AssertionFacts): Failure | undefined {
  const origin = clientData?.["origin"];
  return question.origins.some((one) => one === origin) ? undefined : refused("it was made at another origin");
}

function pageWasNotFramed({ clientData }: AssertionFacts): Failure | undefined {
  const crossOrigin = clientData?.["crossOrigin"];
  const isAlone = crossOrigin === undefined || crossOrigin === false;
  return isAlone && clientData?.["topOrigin"] === undefined
    ? undefined
    : refused("it was made inside a page of another origin");
}

function signatureIsStrictDer({ signature }: AssertionFacts): Failure | undefined {
  return signature === undefined ? refused("its signature is not the DER of an ECDSA signature on P-256") : undefined;
}

/** The account refuses such keys too; a chain that answers one all the same is not believed. */
function publicKeyIsOnTheCurve({ passkey }: AssertionFacts): Failure | undefined {
  return passkey !== undefined && isOnP256(passkey) ? undefined : refused("its passkey's public key is not on P-256");
}

function passkeySigned(facts: AssertionFacts): Failure | undefined {
  const { passkey, authenticatorData, clientDataJSON, signature } = facts;
  if (passkey === undefined || authenticatorData === undefined) return refused("there is nothing to verify");
  if (clientDataJSON === undefined || signature === undefined) return refused("there is nothing to verify");
  const signed = Buffer.concat([authenticatorData, sha256(clientDataJSON)]);
  const key = createPublicKey({ key: jwkOf(passkey), format: "jwk" });
  const isSigned = verify("sha256", signed, { key, dsaEncoding: "ieee-p1363" }, signature.bytes);
  return isSigned ? undefined : refused("its passkey did not sign it");
}

function jwkOf({ x, y }: Passkey): JsonWebKey {
  return { kty: "EC", crv: "P-256", x: toBase64url(fromHex(x)), y: toBase64url(fromHex(y)) };
}

function sha256(data: string | Uint8Array): Buffer {
  return createHash("sha256").update(data).digest();
}

function refused(why: string): Failure {
  return failure("payload_invalid", `The assertion cannot be used: ${why}.`);
}

import { createHash, createPublicKey, verify } from "node:crypto";

import { AbiCoder } from "ethers";

import { type Hex, toBase64url, toHex } from "../wire/bytes";
import { readDerSignature } from "../verify/p256";
import { keccak256Hex } from "../wire/keccak";
import { type Result, ok, refuse } from "../wire/result";

/** The public half of one passkey (K11). */
export interface PasskeyCredential {
  /** Raw credential id. */
  readonly credentialId: Uint8Array;
  /** Relying party id that the credential belongs to. */
  readonly rpId: string;
  /** Affine coordinates of the P-256 key, 32 bytes each. */
  readonly x: Hex;
  readonly y: Hex;
}

/** What an authenticator answers to `navigator.credentials.get`. */
export interface Assertion {
  readonly authenticatorData: Uint8Array;
  /** The exact bytes that were signed. */
  readonly clientDataJSON: Uint8Array;
  /** ASN.1 DER, s in either half. */
  readonly signature: Uint8Array;
}

/** Something that holds a passkey and asks its owner before it signs. */
export interface Authenticator {
  readonly credential: PasskeyCredential;
  /** True for a key in a file: refused on production chains. */
  readonly isSoftware: boolean;
  /**
   * @param challenge the user-operation hash, 32 bytes
   * @param shown what the signature allows, one line per call, for the owner's eyes
   */
  getAssertion(challenge: Uint8Array, shown: readonly string[]): Promise<Result<Assertion>>;
}

/** A passkey as the contracts take it. @see contracts/interfaces/IMasterAccount.sol */
export interface ContractPasskey {
  readonly credIdHash: Hex;
  readonly rpIdHash: Hex;
  readonly x: Hex;
  readonly y: Hex;
}

/** keccak256 of the id, SHA-256 of the relying party, and the key. */
export function contractPasskey({ credentialId, rpId, x, y }: PasskeyCredential): ContractPasskey {
  return { credIdHash: keccak256Hex(credentialId), rpIdHash: toHex(sha256(rpId)), x, y };
}

const N = BigInt("0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
const USER_PRESENT_AND_VERIFIED = 0x05;

/**
 * An assertion as the account wants it: `credIdHash ‖ abi.encode(r, s, 23, 1, authenticatorData, clientDataJSON)`, s in
 * the lower half. Everything that the account will check is checked here first, so that a wrong authenticator is
 * named before anything is paid for.
 */
export function encodeAssertion(
  credential: PasskeyCredential,
  challenge: Uint8Array,
  assertion: Assertion,
): Result<Hex> {
  const { authenticatorData, clientDataJSON, signature } = assertion;
  const wrong = (what: string): Result<never> =>
    refuse("caller_not_allowed", `The authenticator's answer cannot be used: ${what}.`);
  const clientData = Buffer.from(clientDataJSON).toString("utf8");
  if (!clientData.startsWith(`{"type":"webauthn.get","challenge":"${toBase64url(challenge)}"`)) {
    return wrong("it is for another challenge or purpose");
  }
  if (authenticatorData.length < 37) return wrong("its authenticator data are too short");
  const data = Buffer.from(authenticatorData);
  if (!data.subarray(0, 32).equals(sha256(credential.rpId))) return wrong("it is for another relying party");
  const flags = data.readUInt8(32);
  if ((flags & USER_PRESENT_AND_VERIFIED) !== USER_PRESENT_AND_VERIFIED) return wrong("the user was not verified");
  if ((flags & 0x18) === 0x10) return wrong("it is backed up without being eligible");
  const signed = Buffer.concat([data, createHash("sha256").update(clientDataJSON).digest()]);
  if (!verify("sha256", signed, publicKey(credential), signature)) return wrong("another key signed it");
  const pair = readDerSignature(signature)?.bytes;
  if (pair === undefined) return wrong("its signature is not DER");
  const [r, s] = [pair.subarray(0, 32), pair.subarray(32)].map((one) => BigInt(toHex(one))) as [bigint, bigint];
  const lowS = s > N / 2n ? N - s : s;
  return ok(accountSignature(credential, { r, s: lowS, authenticatorData, clientData }));
}

/** A well-formed wrong signature: it costs validation what a right one costs, so gas can be estimated with it. */
export function dummySignature(credential: PasskeyCredential): Hex {
  const clientData = `{"type":"webauthn.get","challenge":"${"A".repeat(43)}","origin":"https://${credential.rpId}","crossOrigin":false}`;
  const authenticatorData = Buffer.concat([
    sha256(credential.rpId),
    Buffer.from([USER_PRESENT_AND_VERIFIED, 0, 0, 0, 0]),
  ]);
  return accountSignature(credential, { r: N - 1n, s: N / 2n, authenticatorData, clientData });
}

function accountSignature(
  credential: PasskeyCredential,
  parts: {
    readonly r: bigint;
    readonly s: bigint;
    readonly authenticatorData: Uint8Array;
    readonly clientData: string;
  },
): Hex {
  const encoded = AbiCoder.defaultAbiCoder().encode(
    ["bytes32", "bytes32", "uint256", "uint256", "bytes", "string"],
    [word(parts.r), word(parts.s), 23, 1, parts.authenticatorData, parts.clientData],
  );
  return `${contractPasskey(credential).credIdHash}${encoded.slice(2)}`;
}

function publicKey({ x, y }: PasskeyCredential): ReturnType<typeof createPublicKey> {
  const coordinate = (hex: Hex): string => Buffer.from(hex.slice(2), "hex").toString("base64url");
  return createPublicKey({ key: { kty: "EC", crv: "P-256", x: coordinate(x), y: coordinate(y) }, format: "jwk" });
}

function word(value: bigint): Hex {
  return `0x${value.toString(16).padStart(64, "0")}`;
}

function sha256(data: string): Buffer {
  return createHash("sha256").update(data).digest();
}

import { type KeyObject, createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto";

import type { Passkey } from "../../offchain/chain/passkeys";
import { fromBase64url, toBase64url, toHex } from "../../offchain/wire/bytes";
import type { AssertionText } from "../../offchain/wire/ceremony";
import { keccak256Hex } from "../../offchain/wire/keccak";

/** Order of P-256. */
export const P256_ORDER = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;

/** Flags of the authenticator data. @see https://www.w3.org/TR/webauthn-3/#authdata-flags */
export const FLAG = { UP: 0x01, UV: 0x04, BE: 0x08, BS: 0x10, AT: 0x40, ED: 0x80 } as const;

/** An authenticator with one passkey, in a test's hands. */
export interface TestAuthenticator {
  readonly credentialId: Buffer;
  readonly rpId: string;
  readonly key: KeyObject;
  /** As the account holds it. */
  readonly passkey: Passkey;
}

/** What an assertion says and how it is written; all members have the honest value by default. */
export interface AssertionWish {
  readonly credentialId?: Uint8Array;
  readonly rpId?: string;
  readonly flags?: number;
  readonly signCount?: number;
  /** CBOR behind the 37 bytes. */
  readonly extensions?: Uint8Array;
  readonly authenticatorData?: Uint8Array;
  readonly type?: string;
  readonly origin?: string;
  readonly crossOrigin?: boolean;
  /** Changes the text before it is signed. */
  readonly clientData?: (text: string) => string | Uint8Array;
  /** Who signs, where it is not this authenticator. */
  readonly key?: KeyObject;
  /** Changes the signature after it was made. */
  readonly signature?: (der: Buffer) => Uint8Array;
}

/** A new authenticator with a new passkey. */
export function testAuthenticator(rpId = "example.org", credentialId = randomBytes(32)): TestAuthenticator {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const { x, y } = privateKey.export({ format: "jwk" });
  const word = (text: string | undefined): Buffer => fromBase64url(text) ?? Buffer.alloc(0);
  const passkey = {
    credIdHash: keccak256Hex(credentialId),
    rpIdHash: toHex(sha256(rpId)),
    x: toHex(word(x)),
    y: toHex(word(y)),
  };
  return { credentialId, rpId, key: privateKey, passkey };
}

/** What `navigator.credentials.get` answers over `challenge`, honest but for the wish. */
export function makeAssertion(
  authenticator: TestAuthenticator,
  challenge: Uint8Array,
  wish: AssertionWish = {},
): AssertionText {
  const data = wish.authenticatorData ?? authenticatorData(authenticator.rpId, wish);
  const origin = wish.origin ?? `https://${authenticator.rpId}`;
  const text = `{"type":"${wish.type ?? "webauthn.get"}","challenge":"${toBase64url(challenge)}","origin":"${origin}","crossOrigin":${wish.crossOrigin ?? false}}`;
  const clientData = Buffer.from(wish.clientData?.(text) ?? text);
  const signed = Buffer.concat([data, sha256(clientData)]);
  const der = sign("sha256", signed, wish.key ?? authenticator.key);
  return {
    credentialId: toBase64url(wish.credentialId ?? authenticator.credentialId),
    authenticatorData: toBase64url(data),
    clientDataJSON: toBase64url(clientData),
    signature: toBase64url(wish.signature?.(der) ?? der),
  };
}

/** Authenticator data of a relying party: UP and UV, counter 0, nothing behind, unless the wish says otherwise. */
export function authenticatorData(rpId: string, wish: AssertionWish = {}): Buffer {
  const fixed = Buffer.alloc(5);
  fixed.writeUInt8(wish.flags ?? FLAG.UP | FLAG.UV);
  fixed.writeUInt32BE(wish.signCount ?? 0, 1);
  return Buffer.concat([sha256(wish.rpId ?? rpId), fixed, wish.extensions ?? Buffer.alloc(0)]);
}

/** The two numbers of a good DER signature. */
export function numbersOf(der: Buffer): { readonly r: bigint; readonly s: bigint } {
  const rEnd = 4 + der.readUInt8(3);
  return { r: unsigned(der.subarray(4, rEnd)), s: unsigned(der.subarray(rEnd + 2)) };
}

/** DER of a signature: SEQUENCE of two INTEGERs, each as short as it can be. */
export function derOf(r: bigint, s: bigint): Buffer {
  return sequence(integer(content(r)), integer(content(s)));
}

/**
 * Every way to write a signature that is not its DER, and numbers that no signature has, made from a good one.
 * @see RFC 3279 section 2.2.3, X.690 sections 8.3 and 10
 */
export function malformedDer(good: Buffer): readonly { readonly name: string; readonly der: Buffer }[] {
  const { r, s } = numbersOf(good);
  const [cr, cs] = [content(r), content(s)];
  const [ir, is] = [integer(cr), integer(cs)];
  const body = good.subarray(2);
  const word = (value: bigint): Buffer => Buffer.from(value.toString(16).padStart(64, "0"), "hex");
  const zeroFirst = (bytes: Buffer): Buffer => Buffer.concat([Buffer.from([0]), bytes]);
  const rows: Readonly<Record<string, Buffer>> = {
    empty: Buffer.alloc(0),
    "r ‖ s, 64 bytes": Buffer.concat([word(r), word(s)]),
    "a SET": tlv(0x31, body),
    "a SEQUENCE in the wrong class": tlv(0x70, body),
    "a primitive SEQUENCE": tlv(0x10, body),
    "a SEQUENCE of indefinite length": Buffer.concat([Buffer.from([0x30, 0x80]), body, Buffer.from([0, 0])]),
    "a SEQUENCE whose length takes two bytes": Buffer.concat([Buffer.from([0x30, 0x81, body.length]), body]),
    "a SEQUENCE whose length takes three bytes": Buffer.concat([Buffer.from([0x30, 0x82, 0, body.length]), body]),
    "a SEQUENCE whose length is one more": Buffer.concat([Buffer.from([0x30, body.length + 1]), body]),
    "a SEQUENCE whose length is one less": Buffer.concat([Buffer.from([0x30, body.length - 1]), body]),
    "a byte behind": Buffer.concat([good, Buffer.from([0])]),
    "a byte behind, inside the SEQUENCE": sequence(ir, is, Buffer.from([0])),
    "NULL behind, inside the SEQUENCE": sequence(ir, is, Buffer.from([5, 0])),
    "three numbers": sequence(ir, is, is),
    "one number": sequence(ir),
    "no number": sequence(),
    "r as a BIT STRING": sequence(tlv(0x03, cr), is),
    "r as an OCTET STRING": sequence(tlv(0x04, cr), is),
    "r as a constructed INTEGER": sequence(tlv(0x22, cr), is),
    "s as an ENUMERATED": sequence(ir, tlv(0x0a, cs)),
    "r's length in two bytes": sequence(Buffer.concat([Buffer.from([2, 0x81, cr.length]), cr]), is),
    "s's length in two bytes": sequence(ir, Buffer.concat([Buffer.from([2, 0x81, cs.length]), cs])),
    "r's length beyond the end": sequence(Buffer.concat([Buffer.from([2, 0x7f]), cr]), is),
    "s's length beyond the end": sequence(ir, Buffer.concat([Buffer.from([2, cs.length + 1]), cs])),
    "r without bytes": sequence(integer(Buffer.alloc(0)), is),
    "s without bytes": sequence(ir, integer(Buffer.alloc(0))),
    "a needless zero before r": sequence(integer(zeroFirst(cr)), is),
    "a needless zero before s": sequence(ir, integer(zeroFirst(cs))),
    "a negative r": sequence(integer(Buffer.from([0x80 | (cr[0] ?? 0), ...cr.subarray(1)])), is),
    "a negative s": sequence(ir, integer(Buffer.from([0x80 | (cs[0] ?? 0), ...cs.subarray(1)]))),
    "r zero": derOf(0n, s),
    "s zero": derOf(r, 0n),
    "r the order": derOf(P256_ORDER, s),
    "s the order": derOf(r, P256_ORDER),
    "s its own value plus the order": derOf(r, s + P256_ORDER),
    "r of 33 bytes": sequence(integer(Buffer.concat([Buffer.from([1]), word(r)])), is),
    "s all ones": derOf(r, 2n ** 256n - 1n),
    PEM: Buffer.from(good.toString("base64")),
  };
  const cuts = good.subarray(1).map((_, at) => at + 1);
  return [
    ...Object.entries(rows).map(([name, der]) => ({ name, der })),
    ...Array.from(cuts, (end) => ({ name: `cut after ${end} bytes`, der: good.subarray(0, end) })),
  ];
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return tlv(0x30, Buffer.concat(parts));
}

function integer(bytes: Buffer): Buffer {
  return tlv(0x02, bytes);
}

function tlv(tag: number, bytes: Buffer): Buffer {
  return Buffer.concat([Buffer.from([tag, bytes.length]), bytes]);
}

/** Big-endian, a zero first where the number would otherwise read as negative. */
function content(value: bigint): Buffer {
  const hex = value.toString(16);
  const bytes = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex");
  return (bytes[0] ?? 0) >= 0x80 ? Buffer.concat([Buffer.from([0]), bytes]) : bytes;
}

function unsigned(bytes: Buffer): bigint {
  return BigInt(`0x${bytes.toString("hex")}`);
}

function sha256(data: string | Uint8Array): Buffer {
  return createHash("sha256").update(data).digest();
}

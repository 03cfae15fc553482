import { Aes256Gcm, CipherSuite, HkdfSha256 } from "@hpke/core";
import { DhkemX25519HkdfSha256 } from "@hpke/dhkem-x25519";

import { type Hex, fromHex, toHex } from "./bytes";

const ENC_BYTES = 32;

/** RFC 9180 base mode: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-256-GCM; no additional data. @see protocol 3.4 */
const suite = new CipherSuite({ kem: new DhkemX25519HkdfSha256(), kdf: new HkdfSha256(), aead: new Aes256Gcm() });

/** An X25519 key pair for one request (`sealTo`) or one worker (sealed stores). */
export interface SealKeyPair {
  /** 32 bytes, public. */
  readonly publicKey: Hex;
  readonly privateKey: CryptoKey;
}

/** A fresh pair. */
export async function generateSealKeyPair(): Promise<SealKeyPair> {
  return withPublicHex(await suite.kem.generateKeyPair());
}

/** The pair of a 32-byte X25519 secret. */
export async function sealKeyPairFrom(secret: Uint8Array): Promise<SealKeyPair> {
  const privateKey = await suite.kem.deserializePrivateKey(exact(secret));
  const { createPrivateKey, createPublicKey } = await import("node:crypto");
  const pkcs8 = Buffer.concat([Buffer.from("302e020100300506032b656e04220420", "hex"), secret]);
  const jwk = createPublicKey(createPrivateKey({ key: pkcs8, format: "der", type: "pkcs8" })).export({ format: "jwk" });
  return { publicKey: toHex(Buffer.from(jwk.x ?? "", "base64url")), privateKey };
}

/** `enc ‖ ciphertext`. Throws on a public key of small order. */
export async function hpkeSeal(recipient: Hex, info: Uint8Array, plaintext: Uint8Array): Promise<Buffer> {
  const recipientPublicKey = await suite.kem.deserializePublicKey(exact(fromHex(recipient)));
  const sealed = await suite.seal({ recipientPublicKey, info: exact(info) }, exact(plaintext));
  return Buffer.concat([Buffer.from(sealed.enc), Buffer.from(sealed.ct)]);
}

/** The plaintext, or undefined when it was not sealed to this key with this `info`. */
export async function hpkeOpen(
  recipient: SealKeyPair,
  info: Uint8Array,
  sealed: Uint8Array,
): Promise<Buffer | undefined> {
  if (sealed.length < ENC_BYTES) return undefined;
  try {
    const enc = exact(sealed.subarray(0, ENC_BYTES));
    const opened = await suite.open(
      { recipientKey: recipient.privateKey, enc, info: exact(info) },
      exact(sealed.subarray(ENC_BYTES)),
    );
    return Buffer.from(opened);
  } catch {
    return undefined;
  }
}

async function withPublicHex(pair: CryptoKeyPair): Promise<SealKeyPair> {
  const publicKey = await suite.kem.serializePublicKey(pair.publicKey);
  return { publicKey: toHex(new Uint8Array(publicKey)), privateKey: pair.privateKey };
}

/** A copy with a buffer of its own: Node's pooled buffers expose their neighbours through `.buffer`. */
function exact(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

import { createDecipheriv, createHmac, createPrivateKey, createPublicKey, diffieHellman } from "node:crypto";

// RFC 9180 section 7: DHKEM(X25519, HKDF-SHA256) 0x0020, HKDF-SHA256 0x0001, AES-256-GCM 0x0002
const KEM = Buffer.from("KEM\x00\x20", "latin1");
const SUITE = Buffer.from("HPKE\x00\x20\x00\x01\x00\x02", "latin1");
const PKCS8 = Buffer.from("302e020100300506032b656e04220420", "hex");
const SPKI = Buffer.from("302a300506032b656e032100", "hex");

function hmac(key: Uint8Array, ...data: readonly (Uint8Array | string)[]): Buffer {
  const mac = createHmac("sha256", key);
  for (const one of data) mac.update(one);
  return mac.digest();
}

function extract(suite: Buffer, salt: Uint8Array, label: string, ikm: Uint8Array): Buffer {
  return hmac(salt.length === 0 ? Buffer.alloc(32) : salt, "HPKE-v1", suite, label, ikm);
}

/** One block of HKDF-Expand is enough for every length that base mode needs here (at most 32). */
function expand(suite: Buffer, prk: Buffer, label: string, info: Uint8Array, length: number): Buffer {
  const size = Buffer.from([0, length]);
  return hmac(prk, size, "HPKE-v1", suite, label, info, Buffer.from([1])).subarray(0, length);
}

/**
 * Opens `enc ‖ ciphertext` in base mode with node:crypto alone, written from RFC 9180 and apart from what the services
 * use.
 * Throws where anything does not fit.
 * @param secret X25519 secret, 32 bytes
 */
export function openByHand(secret: Uint8Array, info: Uint8Array, sealed: Uint8Array): Buffer {
  const privateKey = createPrivateKey({ key: Buffer.concat([PKCS8, secret]), format: "der", type: "pkcs8" });
  const own = createPublicKey(privateKey).export({ format: "der", type: "spki" }).subarray(SPKI.length);
  const enc = sealed.subarray(0, 32);
  const publicKey = createPublicKey({ key: Buffer.concat([SPKI, enc]), format: "der", type: "spki" });
  // section 4.1, Decap
  const prk = extract(KEM, Buffer.alloc(0), "eae_prk", diffieHellman({ privateKey, publicKey }));
  const shared = expand(KEM, prk, "shared_secret", Buffer.concat([enc, own]), 32);
  // section 5.1, KeySchedule in mode_base without a pre-shared key
  const none = Buffer.alloc(0);
  const context = Buffer.concat([
    Buffer.from([0]),
    extract(SUITE, none, "psk_id_hash", none),
    extract(SUITE, none, "info_hash", info),
  ]);
  const secretKey = extract(SUITE, shared, "secret", none);
  const key = expand(SUITE, secretKey, "key", context, 32);
  const nonce = expand(SUITE, secretKey, "base_nonce", context, 12);
  const body = sealed.subarray(32);
  const decipher = createDecipheriv("aes-256-gcm", key, nonce).setAuthTag(body.subarray(-16));
  return Buffer.concat([decipher.update(body.subarray(0, -16)), decipher.final()]);
}

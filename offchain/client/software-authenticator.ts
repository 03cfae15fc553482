import { type KeyObject, createHash, createPrivateKey, generateKeyPairSync, randomBytes, sign } from "node:crypto";

import { fromBase64url, toBase64url, toHex } from "../wire/bytes";
import { ok } from "../wire/result";
import type { Authenticator, PasskeyCredential } from "./authenticator";
import { readPrivate, writePrivate } from "./private-file";

/** A passkey as the file holds it; the scalar is the secret. */
export interface StoredPasskey {
  readonly credentialId: string;
  readonly rpId: string;
  /** Private JWK, ES256. */
  readonly key: {
    readonly kty: string;
    readonly crv: string;
    readonly x: string;
    readonly y: string;
    readonly d: string;
  };
}

/**
 * An ES256 authenticator whose key lies in a file (0600), for development and tests: nobody is asked, so programs
 * refuse it on production chains. The assertion itself is a real one, as a platform authenticator makes it.
 * @see https://www.w3.org/TR/webauthn-3/#sctn-op-get-assertion
 */
export function softwareAuthenticator(stored: StoredPasskey): Authenticator {
  const key = createPrivateKey({ key: { ...stored.key }, format: "jwk" });
  const credential: PasskeyCredential = {
    credentialId: bytes(stored.credentialId),
    rpId: stored.rpId,
    x: toHex(bytes(stored.key.x)),
    y: toHex(bytes(stored.key.y)),
  };
  return {
    credential,
    isSoftware: true,
    getAssertion: (challenge) => Promise.resolve(ok(assert(key, credential.rpId, challenge))),
  };
}

/** A new passkey, not yet in any file. */
export function newSoftwarePasskey(rpId = "localhost"): StoredPasskey {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const key = privateKey.export({ format: "jwk" }) as unknown as StoredPasskey["key"];
  return { credentialId: toBase64url(randomBytes(32)), rpId, key };
}

/** The passkey in a file, made there first where the file is missing. */
export async function softwareAuthenticatorAt(path: string): Promise<Authenticator> {
  const text = await readPrivate(path);
  if (text !== undefined) return softwareAuthenticator(JSON.parse(text) as StoredPasskey);
  const made = newSoftwarePasskey();
  await writePrivate(path, `${JSON.stringify(made)}\n`);
  return softwareAuthenticator(made);
}

// user present, user verified; neither eligible for backup nor backed up
const FLAGS = 0x05;

function assert(
  key: KeyObject,
  rpId: string,
  challenge: Uint8Array,
): { authenticatorData: Buffer; clientDataJSON: Buffer; signature: Buffer } {
  const sha256 = (data: string | Uint8Array): Buffer => createHash("sha256").update(data).digest();
  const clientDataJSON = Buffer.from(
    `{"type":"webauthn.get","challenge":"${toBase64url(challenge)}","origin":"http://${rpId}","crossOrigin":false}`,
  );
  // counter 0, as synced passkeys answer
  const authenticatorData = Buffer.concat([sha256(rpId), Buffer.from([FLAGS, 0, 0, 0, 0])]);
  const signature = sign("sha256", Buffer.concat([authenticatorData, sha256(clientDataJSON)]), key);
  return { authenticatorData, clientDataJSON, signature };
}

function bytes(text: string): Buffer {
  const decoded = fromBase64url(text);
  if (decoded === undefined) throw new Error("the passkey file is not one of ours");
  return decoded;
}

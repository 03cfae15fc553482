import { type KeyObject, randomBytes } from "node:crypto";

import { type Hex, ZERO32, toHex } from "../../offchain/wire/bytes";
import { capAudience, encodeCap } from "../../offchain/wire/cap";
import { type CapRequest, capRequestDigest } from "../../offchain/wire/cap-request";
import { sha256Hex } from "../../offchain/wire/content-hash";
import { encodeMint } from "../../offchain/wire/mint";
import { deviceKeyHash } from "../../offchain/wire/names";
import { credentialHash, encodeProofHeader, requestProofDigest } from "../../offchain/wire/request-proof";
import { addressOf, signDigest } from "../../offchain/wire/secp256k1";

/** A K10 that a test holds. */
export interface TestDevice {
  readonly secret: Buffer;
  readonly address: Hex;
  readonly hash: Hex;
}

/** A fresh K10, or that of a given secret. */
export function testDevice(secret: Buffer = randomBytes(32)): TestDevice {
  const address = addressOf(secret);
  return { secret, address, hash: deviceKeyHash(address) };
}

/** 32 random bytes. */
export function nonce(): Hex {
  return toHex(randomBytes(32));
}

/** The present as the services count it. */
export function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

/** Who asks for what; the rest of a cap is filled in. */
export type CapWish = Pick<CapRequest, "operatorOmni" | "actorOmni" | "service" | "op"> & Partial<CapRequest>;

/** A cap as an honest device writes it, with whatever the test changes. */
export function capRequest(device: TestDevice, wish: CapWish): CapRequest {
  const issuedAt = wish.issuedAt ?? nowSeconds();
  return {
    deviceKeyHash: device.hash,
    dataClass: "credentials",
    contentHash: ZERO32,
    k3Epoch: 1,
    expiresAt: issuedAt + 300,
    nonce: nonce(),
    ...wish,
    issuedAt,
  };
}

/** The device's signature over a cap. */
export function signCap(separator: Uint8Array, device: TestDevice, cap: CapRequest): Hex {
  return signDigest(capRequestDigest(separator, cap), device.secret);
}

/** A mint body that the device signed. */
export function mintBody(separator: Uint8Array, device: TestDevice, cap: CapRequest): string {
  return encodeMint(cap, signCap(separator, device, cap));
}

/** A cap countersigned with a broker key that the test holds: what a thief of the broker can make. */
export function countersign(
  broker: { readonly key: KeyObject; readonly kid: string; readonly origin: string },
  request: CapRequest,
  clientSig: Hex,
  aud: string = capAudience(request.op, request.dataClass),
): string {
  return encodeCap({ iss: broker.origin, aud, request, clientSig }, broker.kid, broker.key);
}

/** What a proof is made for. */
export interface ProofWish {
  readonly target: string;
  readonly body: string | Uint8Array;
  readonly credential?: string;
  readonly method?: string;
  readonly sealTo?: Hex;
  readonly nonce?: Hex;
  readonly issuedAt?: number;
  /** The device that the header names, where it is not the one that signs. */
  readonly claims?: Hex;
}

/** The `AgentKeys-Proof` header and the digest under it. */
export function makeProof(
  separator: Uint8Array,
  device: TestDevice,
  wish: ProofWish,
): { readonly header: string; readonly digest: Buffer } {
  const proof = {
    deviceKeyHash: wish.claims ?? device.hash,
    method: wish.method ?? "POST",
    target: wish.target,
    bodyHash: sha256Hex(Buffer.from(wish.body)),
    credentialHash: wish.credential === undefined ? ZERO32 : credentialHash(wish.credential),
    sealTo: wish.sealTo ?? ZERO32,
    nonce: wish.nonce ?? nonce(),
    issuedAt: wish.issuedAt ?? nowSeconds(),
  };
  const digest = requestProofDigest(separator, proof);
  return { header: encodeProofHeader({ ...proof, sig: signDigest(digest, device.secret) }), digest };
}

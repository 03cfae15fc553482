import { randomBytes } from "node:crypto";

import { type Hex, ZERO32, toHex } from "../wire/bytes";
import { sha256Hex } from "../wire/content-hash";
import { PROOF_HEADER, credentialHash, encodeProofHeader, requestProofDigest } from "../wire/request-proof";
import type { DeviceKey } from "./device-key-file";

/** One POST that a device makes. */
export interface ProvedPost {
  readonly device: DeviceKey;
  /** EIP-712 domain separator. */
  readonly separator: Uint8Array;
  /** The receiver's configured base URL and its listed path. */
  readonly target: string;
  readonly body: string;
  /** The cap or bearer credential that goes with it. */
  readonly credential?: string | undefined;
  /** X25519 public key that the answer is sealed to; zero, or left out, for none. */
  readonly sealTo?: Hex;
  /** Unix seconds. */
  readonly now: number;
}

/** The headers of a request with a proof of its own, and the proof's digest, which binds a sealed answer. @see protocol 3.2 */
export function proveRequest(post: ProvedPost): { readonly headers: Record<string, string>; readonly digest: Buffer } {
  const { device, separator, target, body, credential, sealTo = ZERO32, now } = post;
  const proof = {
    deviceKeyHash: device.deviceKeyHash,
    method: "POST",
    target,
    bodyHash: sha256Hex(Buffer.from(body)),
    credentialHash: credential === undefined ? ZERO32 : credentialHash(credential),
    sealTo,
    nonce: toHex(randomBytes(32)),
    issuedAt: now,
  };
  const digest = requestProofDigest(separator, proof);
  const authorization = credential === undefined ? {} : { authorization: `AgentKeys ${credential}` };
  return {
    headers: { ...authorization, [PROOF_HEADER]: encodeProofHeader({ ...proof, sig: device.sign(digest) }) },
    digest,
  };
}

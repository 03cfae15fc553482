import type { Hex } from "../wire/bytes";
import { deviceKeyHash } from "../wire/names";
import type { ReplayEntry } from "../wire/replay-entry";
import { type ProofHeader, parseProofHeader, requestProofDigest } from "../wire/request-proof";
import { type Result, ok, refuse } from "../wire/result";
import { recoverAddress } from "../wire/secp256k1";
import { PROOF_KEPT_SECONDS, isFresh } from "./times";

/** What a proof is judged by: the device's words as they arrived, and what the receiver knows by itself. */
export interface ProofCase {
  /** The value of `AgentKeys-Proof`. */
  readonly proofText: string;
  readonly method: string;
  /** The receiver's configured public base URL and listed path. */
  readonly target: string;
  /** SHA-256 of the exact body bytes. */
  readonly bodyHash: Hex;
  /** keccak256 of the cap or bearer credential that came with it; zero where none did. */
  readonly credentialHash: Hex;
  /** The device that the cap or credential names; absent where none came, and the proof's own word is all there is. */
  readonly device?: Hex;
  /** EIP-712 domain separator of chain and registry. */
  readonly separator: Uint8Array;
  /** Unix seconds. */
  readonly now: number;
}

/** A proof that its device made for this request, just now. Whether it was seen before is for the replay store. */
export interface VerifiedProof {
  readonly proof: ProofHeader;
  /** Digest of the `RequestProof`, which binds a sealed answer. */
  readonly proofDigest: Buffer;
}

/** Form, then device, then times, then the signature. @see protocol 3.2, 3.11 "Codes" */
export function verifyProof(one: ProofCase): Result<VerifiedProof> {
  const parsed = parseProofHeader(one.proofText);
  if (!parsed.ok) return parsed;
  const proof = parsed.value;
  if (one.device !== undefined && proof.deviceKeyHash !== one.device) {
    return refuse("proof_invalid", "The proof is by another device than what it came with.", "mismatch");
  }
  if (!isFresh(proof.issuedAt, one.now)) return refuse("proof_invalid", "The proof was not made just now.", "stale");
  const proofDigest = requestProofDigest(one.separator, {
    deviceKeyHash: proof.deviceKeyHash,
    method: one.method,
    target: one.target,
    bodyHash: one.bodyHash,
    credentialHash: one.credentialHash,
    sealTo: proof.sealTo,
    nonce: proof.nonce,
    issuedAt: proof.issuedAt,
  });
  const signer = recoverAddress(proofDigest, proof.sig);
  if (signer === undefined || deviceKeyHash(signer) !== proof.deviceKeyHash) {
    return refuse("proof_invalid", "The proof is not the device's signature over this request.", "forged");
  }
  return ok({ proof, proofDigest });
}

/** What must be fresh at the receiver. @see protocol 3.2 */
export function proofEntry(receiver: ReplayEntry["receiver"], proof: ProofHeader): ReplayEntry {
  const { deviceKeyHash: device, nonce, issuedAt } = proof;
  return { receiver, kind: "proof", device, nonce, issuedAt, keepUntil: issuedAt + PROOF_KEPT_SECONDS };
}

import { type Hex, ZERO32, fromBase64url, isBytes32, isSignatureHex, toBase64url } from "./bytes";
import { bytes32Word, stringWord, typedDigest, typeHash, uintWord } from "./eip712";
import { isWholeNumber, readJsonObject } from "./json";
import { keccak256Hex } from "./keccak";
import { type Result, ok, refuse } from "./result";

/** Header that carries the proof. */
export const PROOF_HEADER = "agentkeys-proof";

/** What a device signs for one request. @see protocol 3.2; RFC 9449 is its nearest relative */
export interface RequestProof {
  readonly deviceKeyHash: Hex;
  readonly method: string;
  /** The receiver's public base URL and the listed path. */
  readonly target: string;
  /** SHA-256 of the exact body bytes. */
  readonly bodyHash: Hex;
  /** keccak256 of the ASCII bytes of the cap or bearer credential sent with it; zero when there is none. */
  readonly credentialHash: Hex;
  /** X25519 public key that the answer is sealed to, or zero. */
  readonly sealTo: Hex;
  readonly nonce: Hex;
  /** Unix seconds. */
  readonly issuedAt: number;
}

/** What travels of a proof; the rest the receiver knows by itself. */
export interface ProofHeader {
  readonly deviceKeyHash: Hex;
  readonly sealTo: Hex;
  readonly nonce: Hex;
  readonly issuedAt: number;
  readonly sig: Hex;
}

/** The EIP-712 type of a proof. */
export const REQUEST_PROOF_TYPE =
  "RequestProof(bytes32 deviceKeyHash,string method,string target,bytes32 bodyHash,bytes32 credentialHash,bytes32 sealTo,bytes32 nonce,uint64 issuedAt)";

const TYPE_HASH = typeHash(REQUEST_PROOF_TYPE);

// u-coordinates of the points of small order on Curve25519 and its twist, non-canonical twins included (RFC 7748
// section 6.1 asks for a check); the top bit, which X25519 masks, is cleared before comparing.
const SMALL_ORDER: ReadonlySet<string> = new Set([
  "0000000000000000000000000000000000000000000000000000000000000000",
  "0100000000000000000000000000000000000000000000000000000000000000",
  "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
  "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
  "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
  "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
]);

/** Zero (no sealing), or an X25519 public key that is not of small order. */
export function isSealTo(value: unknown): value is Hex {
  if (!isBytes32(value)) return false;
  if (value === ZERO32) return true;
  const top = parseInt(value.slice(64), 16) & 0x7f;
  return !SMALL_ORDER.has(value.slice(2, 64) + top.toString(16).padStart(2, "0"));
}

/** The 32 bytes that the device signs. */
export function requestProofDigest(separator: Uint8Array, proof: RequestProof): Buffer {
  return typedDigest(separator, TYPE_HASH(), [
    bytes32Word(proof.deviceKeyHash),
    stringWord(proof.method),
    stringWord(proof.target),
    bytes32Word(proof.bodyHash),
    bytes32Word(proof.credentialHash),
    bytes32Word(proof.sealTo),
    bytes32Word(proof.nonce),
    uintWord(proof.issuedAt),
  ]);
}

/** keccak256 of the ASCII bytes of a cap or bearer credential. */
export function credentialHash(credential: string): Hex {
  return keccak256Hex(Buffer.from(credential, "latin1"));
}

/** The value of the `AgentKeys-Proof` header. */
export function encodeProofHeader(proof: ProofHeader): string {
  return toBase64url(
    JSON.stringify({
      device_key_hash: proof.deviceKeyHash,
      seal_to: proof.sealTo,
      nonce: proof.nonce,
      issued_at: proof.issuedAt,
      sig: proof.sig,
    }),
  );
}

/** Reads the header: all five members, in any order; otherwise `proof_invalid`, reason `malformed`. */
export function parseProofHeader(text: string): Result<ProofHeader> {
  const bytes = fromBase64url(text);
  const read = bytes === undefined ? undefined : readJsonObject(bytes);
  if (!read?.ok) return malformed("The proof is not base64url of a JSON object.");
  const { device_key_hash, seal_to, nonce, issued_at, sig } = read.value;
  if (!isBytes32(device_key_hash)) return malformed("The proof's device_key_hash is not 32 bytes.");
  if (!isSealTo(seal_to)) return malformed("The proof's seal_to is not an X25519 public key or zero.");
  if (!isBytes32(nonce)) return malformed("The proof's nonce is not 32 bytes.");
  if (!isWholeNumber(issued_at)) return malformed("The proof's issued_at is not a whole number.");
  if (!isSignatureHex(sig)) return malformed("The proof's sig is not 65 bytes.");
  return ok({ deviceKeyHash: device_key_hash, sealTo: seal_to, nonce, issuedAt: issued_at, sig });
}

function malformed(detail: string): Result<never> {
  return refuse("proof_invalid", detail, "malformed");
}

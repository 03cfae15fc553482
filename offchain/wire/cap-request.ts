import type { Hex } from "./bytes";
import { bytes32Word, stringWord, typedDigest, typeHash, uintWord } from "./eip712";
import type { DataClass, Op } from "./names";

/** The cap itself, as a device writes and signs it. @see protocol 3.2 */
export interface CapRequest {
  readonly operatorOmni: Hex;
  readonly actorOmni: Hex;
  readonly deviceKeyHash: Hex;
  readonly service: string;
  readonly op: Op;
  readonly dataClass: DataClass;
  /** HMAC-SHA-256(content salt, plaintext) for `store`, zero otherwise. */
  readonly contentHash: Hex;
  readonly k3Epoch: number;
  /** Unix seconds. */
  readonly issuedAt: number;
  /** Unix seconds, at most 300 later. */
  readonly expiresAt: number;
  /** 32 random bytes. */
  readonly nonce: Hex;
}

/** The EIP-712 type of a cap. */
export const CAP_REQUEST_TYPE =
  "CapRequest(bytes32 operatorOmni,bytes32 actorOmni,bytes32 deviceKeyHash,string service,string op,string dataClass,bytes32 contentHash,uint64 k3Epoch,uint64 issuedAt,uint64 expiresAt,bytes32 nonce)";

const TYPE_HASH = typeHash(CAP_REQUEST_TYPE);

/** The 32 bytes that the device signs. `separator` comes from `domainSeparator`. */
export function capRequestDigest(separator: Uint8Array, cap: CapRequest): Buffer {
  return typedDigest(separator, TYPE_HASH(), [
    bytes32Word(cap.operatorOmni),
    bytes32Word(cap.actorOmni),
    bytes32Word(cap.deviceKeyHash),
    stringWord(cap.service),
    stringWord(cap.op),
    stringWord(cap.dataClass),
    bytes32Word(cap.contentHash),
    uintWord(cap.k3Epoch),
    uintWord(cap.issuedAt),
    uintWord(cap.expiresAt),
    bytes32Word(cap.nonce),
  ]);
}

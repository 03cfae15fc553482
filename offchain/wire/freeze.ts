import type { Hex } from "./bytes";
import { bytes32Word, typedDigest, typeHash, uintWord } from "./eip712";

/** A master device's order to stop its operator. @see protocol 3.2, contracts note 2.1 */
export interface Freeze {
  readonly operatorOmni: Hex;
  readonly deviceKeyHash: Hex;
  readonly freezeNonce: number;
  /** Unix seconds, at most an hour ahead. */
  readonly deadline: number;
}

const TYPE_HASH = typeHash("Freeze(bytes32 operatorOmni,bytes32 deviceKeyHash,uint64 freezeNonce,uint256 deadline)");

/** The 32 bytes that the master device signs. */
export function freezeDigest(separator: Uint8Array, freeze: Freeze): Buffer {
  return typedDigest(separator, TYPE_HASH(), [
    bytes32Word(freeze.operatorOmni),
    bytes32Word(freeze.deviceKeyHash),
    uintWord(freeze.freezeNonce),
    uintWord(freeze.deadline),
  ]);
}

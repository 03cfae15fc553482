import type { Hex } from "./bytes";
import { addressWord, bytes32Word, typedDigest, typeHash, uintWord } from "./eip712";

/** A device's consent to serve one operator and actor. @see protocol 3.2, contracts note 2.1 */
export interface DeviceBinding {
  readonly operatorOmni: Hex;
  readonly actorOmni: Hex;
  /** The K10 address. */
  readonly deviceKey: Hex;
  /** CAP_MINT 1 | RECOVERY 2 | SCOPE_MGMT 4. */
  readonly roles: number;
  readonly attestationHash: Hex;
  /** Unix seconds, at most a day ahead. */
  readonly deadline: number;
}

const TYPE_HASH = typeHash(
  "DeviceBinding(bytes32 operatorOmni,bytes32 actorOmni,address deviceKey,uint8 roles,bytes32 attestationHash,uint256 deadline)",
);

/** The 32 bytes that the new device signs. */
export function deviceBindingDigest(separator: Uint8Array, binding: DeviceBinding): Buffer {
  return typedDigest(separator, TYPE_HASH(), [
    bytes32Word(binding.operatorOmni),
    bytes32Word(binding.actorOmni),
    addressWord(binding.deviceKey),
    uintWord(binding.roles),
    bytes32Word(binding.attestationHash),
    uintWord(binding.deadline),
  ]);
}

import { isSignatureHex } from "../wire/bytes";
import { deviceKeyHash } from "../wire/names";
import { type CapRequest, capRequestDigest } from "../wire/cap-request";
import { recoverAddress } from "../wire/secp256k1";

/** The digest of a cap that its own device signed, or undefined. @see protocol 3.2 */
export function digestSignedByDevice(separator: Uint8Array, cap: CapRequest, clientSig: unknown): Buffer | undefined {
  if (!isSignatureHex(clientSig)) return undefined;
  const digest = capRequestDigest(separator, cap);
  const signer = recoverAddress(digest, clientSig);
  return signer !== undefined && deviceKeyHash(signer) === cap.deviceKeyHash ? digest : undefined;
}

import { randomBytes } from "node:crypto";

import { type Hex, fromHex, isBytes32, toHex } from "../wire/bytes";
import { deviceKeyHash } from "../wire/names";
import { addressOf, signDigest } from "../wire/secp256k1";
import { LooseKeyFile, readPrivate, writePrivate } from "./private-file";

/** A machine's K10, able to sign and silent about its secret. */
export interface DeviceKey {
  /** Lowercase. */
  readonly address: Hex;
  readonly deviceKeyHash: Hex;
  /** `r ‖ s ‖ v` over a 32-byte digest. @see protocol 3.2 */
  sign(digest: Uint8Array): Hex;
}

/** A device key from its 32-byte secret. */
export function deviceKey(secret: Uint8Array): DeviceKey {
  const address = addressOf(secret);
  return { address, deviceKeyHash: deviceKeyHash(address), sign: (digest) => signDigest(digest, secret) };
}

/**
 * The device key in a file: one line, the secret as `0x` and 64 hex digits, mode 0600. Made there where it is missing.
 * @throws LooseKeyFile when others could read it or it is no key file
 */
export async function deviceKeyAt(path: string): Promise<DeviceKey> {
  const text = (await readPrivate(path))?.trim();
  if (text !== undefined) {
    if (!isBytes32(text)) throw new LooseKeyFile(`${path} is not a device key file`);
    return deviceKey(fromHex(text));
  }
  const secret = randomBytes(32);
  await writePrivate(path, `${toHex(secret)}\n`);
  return deviceKey(secret);
}

import { verifyAssertion } from "../../verify/assertion";
import type { Hex } from "../../wire/bytes";
import { ceremonyChallenge, ceremonyDigest } from "../../wire/ceremony";
import { deviceKeyHash } from "../../wire/names";
import { type Result, ok, refuse } from "../../wire/result";
import { recoverAddress } from "../../wire/secp256k1";
import { parseK10Question, parseK11Question } from "../../wire/verify-routes";
import type { VaultParts } from "./parts";

/**
 * Whether a K10 made a signature over one of the device's messages, whose digest is computed here. Says nothing of the
 * chain: whether the device is registered is for whoever asks. @see protocol 3.7
 */
export function verifyK10(
  parts: VaultParts,
  _caller: string,
  body: Buffer,
): Promise<Result<{ readonly device_key_hash: Hex }>> {
  const parsed = parseK10Question(body);
  if (!parsed.ok) return Promise.resolve(parsed);
  const { digest, sig, deviceKey, deviceKeyHash: named } = parsed.value;
  const signer = recoverAddress(digest(parts.separator), sig);
  const hash = signer === undefined ? undefined : deviceKeyHash(signer);
  const isTheNamed = signer !== undefined && (deviceKey === undefined ? hash === named : signer === deviceKey);
  if (hash === undefined || !isTheNamed) {
    return Promise.resolve(refuse("cap_pop_invalid", "The signature is not the device's over this message."));
  }
  return Promise.resolve(ok({ device_key_hash: hash }));
}

/**
 * Whether a passkey of the account made the assertion over a ceremony, by the passkeys that the chain names now. Uses
 * nothing up and changes nothing: a ceremony is begun and used at `/kms/*` alone. @see protocol 3.7, 3.8
 */
export async function verifyK11(
  parts: VaultParts,
  _caller: string,
  body: Buffer,
): Promise<Result<{ readonly cred_id_hash: Hex }>> {
  const parsed = parseK11Question(body);
  if (!parsed.ok) return parsed;
  const { ceremony, nonce, assertion } = parsed.value;
  const master = await parts.chain.masterOf(ceremony.operatorOmni);
  if (!master.ok) return master;
  if (master.value !== ceremony.account) {
    return refuse("device_binding_mismatch", "The account is not the master of this operator.");
  }
  const passkeys = await parts.chain.passkeysOf(ceremony.account);
  if (!passkeys.ok) return passkeys;
  const challenge = ceremonyChallenge(nonce, ceremonyDigest(parts.separator, ceremony));
  const { rpId, rpOrigins: origins } = parts.kms.settings;
  const verified = verifyAssertion({ assertion, challenge, rpId, origins, passkeys: passkeys.value });
  return verified.ok ? ok({ cred_id_hash: verified.value.credIdHash }) : verified;
}

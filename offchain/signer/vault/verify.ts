import { atOneHead } from "../../chain/one-head";
import type { Passkey } from "../../chain/passkeys";
import type { ChainReader } from "../../chain/reader";
import { verifyAssertion } from "../../verify/assertion";
import type { Hex } from "../../wire/bytes";
import { ceremonyChallenge, ceremonyDigest } from "../../wire/ceremony";
import { deviceKeyHash } from "../../wire/names";
import { type Result, ok, refuse } from "../../wire/result";
import { recoverAddress } from "../../wire/secp256k1";
import { parseK10Question, parseK11Question } from "../../wire/verify-routes";
import type { KmsSettings } from "./kms/parts";
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

/** What the question about a passkey is answered with. */
export interface K11Parts extends Pick<VaultParts, "separator"> {
  readonly chain: Pick<ChainReader, "masterOf" | "passkeysOf" | "head">;
  readonly kms: { readonly settings: Pick<KmsSettings, "rpId" | "rpOrigins"> };
}

/**
 * Whether a passkey of the account made the assertion over a ceremony, by the master and the passkeys that the chain
 * names at one block. Uses nothing up and changes nothing: a ceremony is begun and used at `/kms/*` alone.
 * @see protocol 3.7, 3.8
 */
export async function verifyK11(
  parts: K11Parts,
  _caller: string,
  body: Buffer,
): Promise<Result<{ readonly cred_id_hash: Hex }>> {
  const parsed = parseK11Question(body);
  if (!parsed.ok) return parsed;
  const { ceremony, nonce, assertion } = parsed.value;
  const { operatorOmni, account } = ceremony;
  const read = await atOneHead(parts.chain, () => passkeysOfMaster(parts.chain, operatorOmni, account));
  if (!read.ok) return read;
  const passkeys = read.value;
  if (passkeys === undefined) {
    return refuse("device_binding_mismatch", "The account is not the master of this operator.");
  }
  const challenge = ceremonyChallenge(nonce, ceremonyDigest(parts.separator, ceremony));
  const { rpId, rpOrigins: origins } = parts.kms.settings;
  const verified = verifyAssertion({ assertion, challenge, rpId, origins, passkeys });
  return verified.ok ? ok({ cred_id_hash: verified.value.credIdHash }) : verified;
}

/** Undefined where the account is not the operator's master; its passkeys are not asked for then. */
async function passkeysOfMaster(
  chain: K11Parts["chain"],
  operatorOmni: Hex,
  account: Hex,
): Promise<Result<readonly Passkey[] | undefined>> {
  const master = await chain.masterOf(operatorOmni);
  if (!master.ok) return master;
  return master.value === account ? chain.passkeysOf(account) : ok(undefined);
}

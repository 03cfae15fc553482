import { verifyAssertion } from "../../../verify/assertion";
import type { Hex } from "../../../wire/bytes";
import { type AssertionText, type Ceremony, ceremonyChallenge, ceremonyDigest } from "../../../wire/ceremony";
import { type Result, ok, refuse } from "../../../wire/result";
import type { KmsParts } from "./parts";
import { durably } from "./request";
import type { Standing } from "./standing";

/** What somebody brings back from a ceremony. */
export interface CeremonyUse {
  readonly ceremonyId: string;
  readonly webAuthnAssertion: AssertionText;
  /** The device whose proof came with it. */
  readonly device: Hex;
  /** True for the ceremony that this request is about. */
  readonly isFor: (ceremony: Ceremony) => boolean;
}

/**
 * Uses a ceremony up and judges its assertion. Used up means: whatever comes of it, and at once, so that neither a second
 * request beside this one nor a second guess after it has the same nonce. A ceremony that was begun for something else
 * is used up too; the owner taps again. Every refusal is `payload_invalid`, before any state of a key changes.
 *
 * The challenge is computed here, of what the vault itself knew when the ceremony was begun; the account's passkeys are
 * those of `standing`, read from the chain for this very request.
 * @see protocol 3.8
 */
export async function usePasskey(parts: KmsParts, standing: Standing, use: CeremonyUse): Promise<Result<Ceremony>> {
  const open = parts.ceremonies.take(use.ceremonyId, use.device, parts.now());
  if (open === undefined)
    return refuse("payload_invalid", "The ceremony is not open: it was used, has ended, or never was.");
  const { ceremony, nonce } = open;
  const isStill = ceremony.operatorOmni === standing.device.operatorOmni && ceremony.account === standing.master;
  if (!isStill || !use.isFor(ceremony)) return refuse("payload_invalid", "The ceremony was begun for something else.");
  const { rpId, rpOrigins } = parts.settings;
  const challenge = ceremonyChallenge(nonce, ceremonyDigest(parts.separator, ceremony));
  const { webAuthnAssertion: assertion } = use;
  const verified = verifyAssertion({ assertion, challenge, rpId, origins: rpOrigins, passkeys: standing.passkeys });
  if (!verified.ok) return verified;
  const { credIdHash, signCount } = verified.value;
  const accepted = await durably(parts, () => parts.state.acceptSignCount(credIdHash, signCount));
  if (!accepted.ok) return accepted;
  if (accepted.value) return ok(ceremony);
  return refuse("payload_invalid", "The assertion cannot be used: the passkey's counter went back, as a copy's would.");
}

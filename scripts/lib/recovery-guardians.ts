import { writeFile } from "node:fs/promises";

import { contractPasskey } from "../../offchain/client/authenticator";
import { consentText } from "../../offchain/client/guardian-consent";
import {
  type GuardianMessage,
  type GuardianRequest,
  describeRequest,
  guardianDigest,
  passkeyGuardian,
} from "../../offchain/client/guardian-messages";
import { START_WINDOW } from "../../offchain/client/recovery";
import {
  type RecoveryChain,
  type RecoveryStatus,
  readyAtOf,
  recoveryStatus,
} from "../../offchain/client/recovery-status";
import { keccakReady } from "../../offchain/wire/keccak";
import { UsageError } from "./networks";
import { type Place, findPlace } from "./operator-program";
import { openPasskey } from "./passkeys";
import { type Values, type Voice, Refused, orRefuse, required } from "./program";
import { withChain } from "./recovery-chain";
import { accountIn, durationIn, hashIn } from "./recovery-options";

/** Shows the passkey of the state folder as a guardian, made where it is missing. */
export async function showGuardian(values: Values, voice: Voice): Promise<void> {
  await keccakReady();
  const place = await findPlace(values, false);
  const passkey = await openPasskey({ values, voice, place, mayMake: true });
  const guardian = passkeyGuardian(place.deployment.contracts.WebAuthnGuardian, passkey.authenticator.credential);
  await passkey.close("Done. This page can be closed.");
  voice.finish({ ok: true, guardian }, [`This passkey guards an account as --guardian ${guardian}`]);
}

/** Writes what guardians are to sign; for a start, with the passkey of the state folder, made where it is missing. */
export async function makeRequest(values: Values, voice: Voice): Promise<void> {
  const account = accountIn(values);
  const out = required(values, "out");
  const place = await findPlace(values, false);
  await withChain(place, async (chain) => {
    const status = orRefuse(await recoveryStatus(chain, account));
    if (!status.isConfigured) throw new Refused("caller_not_allowed", `The account ${account} has no guardians.`);
    const message = await messageFor(values, voice, place, chain, status);
    const { chainId, contracts } = place.deployment;
    const request: GuardianRequest = { chainId, recovery: contracts.AccountRecovery, account, message };
    const digest = guardianDigest(request);
    await writeFile(out, consentText(request, { guardians: status.guardians }));
    voice.finish({ ok: true, file: out, digest, threshold: status.threshold, ...message }, [
      ...describeRequest(request),
      `${status.threshold} of ${status.guardians.length} guardians sign ${out}: recovery consent --request FILE`,
    ]);
  });
}

async function messageFor(
  values: Values,
  voice: Voice,
  place: Place,
  chain: RecoveryChain,
  status: RecoveryStatus,
): Promise<GuardianMessage> {
  const wanted = required(values, "for");
  if (wanted === "start") {
    const collect = durationIn(values, "collect", "24h");
    if (collect > START_WINDOW) throw new UsageError("--collect is at most 7d");
    if (status.pending !== undefined) throw new Refused("caller_not_allowed", "A recovery is pending already.");
    const { authenticator, ...page } = await openPasskey({ values, voice, place, mayMake: true });
    await page.close("Your new passkey is made. This page can be closed.");
    const newPasskeys = [contractPasskey(authenticator.credential)];
    const notBefore = status.now + status.delay + collect;
    return { kind: wanted, newPasskeys, recoveryNonce: status.recoveryNonce, notBefore };
  }
  if (wanted === "cancel") {
    if (status.pending === undefined)
      throw new Refused("caller_not_allowed", "No recovery of this account is pending.");
    return { kind: wanted, recoveryNonce: status.pending.recoveryNonce };
  }
  if (wanted !== "cancel-change") throw new UsageError("--for is one of start, cancel, cancel-change");
  const change = hashIn(values, "change");
  const readyAt = orRefuse(await readyAtOf(chain, status.account, change));
  if (readyAt === 0) throw new Refused("caller_not_allowed", "This change is not announced, or was dropped.");
  return { kind: wanted, change, readyAt };
}

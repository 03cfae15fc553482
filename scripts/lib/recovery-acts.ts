import { type ContractPasskey, contractPasskey } from "../../offchain/client/authenticator";
import { callsToEnd, leftoversOf } from "../../offchain/client/after-recovery";
import {
  type Sent,
  type Sender,
  cancelByGuardians,
  cancelChangeByGuardians,
  finishRecovery,
  startRecovery,
  startedWith,
  untilFinish,
} from "../../offchain/client/recovery";
import { type RecoveryStatus, recoveryStatus, spanInWords } from "../../offchain/client/recovery-status";
import { connectAccount } from "../../offchain/chain/connect";
import type { Consent } from "../../offchain/client/guardian-consent";
import { hashPasskeys } from "../../offchain/client/guardian-messages";
import type { Hex } from "../../offchain/wire/bytes";
import type { Result } from "../../offchain/wire/result";
import { type Place, findPlace, rememberAccount, senderKey, withOperator } from "./operator-program";
import { hasPasskey, openPasskey } from "./passkeys";
import { type Values, type Voice, orRefuse } from "./program";
import { withChain } from "./recovery-chain";
import { accountIn, consentsIn, fromBlockIn } from "./recovery-options";

/** What the chain says about an account's recovery. */
export async function showStatus(values: Values, voice: Voice): Promise<void> {
  const account = accountIn(values);
  const place = await findPlace(values, false);
  const status = await withChain(place, async (chain) => orRefuse(await recoveryStatus(chain, account)));
  voice.finish({ ok: true, ...status }, linesOf(status));
}

/** Starts a recovery with the consents of enough guardians. */
export function start(values: Values, voice: Voice): Promise<void> {
  return byGuardians(values, voice, startRecovery);
}

/** Cancels the pending recovery with the consents of enough guardians. */
export function cancelRecovery(values: Values, voice: Voice): Promise<void> {
  return byGuardians(values, voice, cancelByGuardians);
}

/** Withdraws a change with the consents of enough guardians. */
export function withdrawChange(values: Values, voice: Voice): Promise<void> {
  return byGuardians(values, voice, cancelChangeByGuardians);
}

/**
 * Finishes a recovery whose time has come; then, where the state folder has the account's new passkey, ends what others
 * may have left there in one operation, and keeps the account. Run again, it does what is left of that.
 */
export async function finish(values: Values, voice: Voice): Promise<void> {
  const account = accountIn(values);
  const fromBlock = fromBlockIn(values);
  const place = await findPlace(values);
  const finished = await withChain(place, async (chain) => {
    const status = orRefuse(await recoveryStatus(chain, account));
    const isOwner = status.pending === undefined && (await isOurs(values, voice, place, chain, account));
    if (isOwner) return {};
    const own = await ownPasskey(values, voice, place);
    const isOwn = own !== undefined && hashPasskeys([own]) === status.pending?.newPasskeysHash;
    const passkeys = isOwn ? [own] : orRefuse(await startedWith(chain, status, fromBlock));
    const sent = orRefuse(await finishRecovery({ ...chain, ...senderKey(place) }, account, passkeys));
    voice.say("The recovery is finished: the account has its new passkeys, and no other.");
    return sent;
  });
  const isOwner = await withChain(place, (chain) => isOurs(values, voice, place, chain, account));
  if (!isOwner) {
    const next = "The owner of the new passkey runs the same with the --state that holds it.";
    voice.finish({ ok: true, account, ...finished, cleaned: false }, [next]);
    return;
  }
  await rememberAccount(place, account);
  await endLeftovers(values, voice, place, account, fromBlock, finished);
}

async function endLeftovers(
  values: Values,
  voice: Voice,
  place: Place,
  account: Hex,
  fromBlock: number,
  finished: Partial<Sent>,
): Promise<void> {
  await withOperator(values, voice, ({ operator }) =>
    withChain(place, async (chain) => {
      const found = orRefuse(await leftoversOf(chain, account, fromBlock));
      const { masterDevices, auditors, isFrozen, agents } = found;
      voice.say(`Master devices: ${masterDevices.join(", ") || "none"}.`);
      voice.say(`Auditors: ${auditors.join(", ") || "none"}. ${isFrozen ? "Frozen." : "Not frozen."}`);
      const done = orRefuse(await operator.perform(callsToEnd(chain, found)));
      voice.finish({ ok: true, ...finished, ...done, ...found, cleaned: true }, [
        done.changed ? "These devices and auditors are ended, and a freeze is lifted." : "There was nothing to end.",
        ...agents.map(({ label, actorOmni }) => `Look at agent ${label}: revoke-device --actor ${actorOmni} ends it.`),
      ]);
    }),
  );
}

/** Whether the state folder holds a passkey of the account. */
async function isOurs(
  values: Values,
  voice: Voice,
  place: Place,
  { provider }: Sender,
  account: Hex,
): Promise<boolean> {
  const own = await ownPasskey(values, voice, place);
  return own !== undefined && connectAccount(account, provider).isPasskey(own.credIdHash);
}

async function ownPasskey(values: Values, voice: Voice, place: Place): Promise<ContractPasskey | undefined> {
  if (!(await hasPasskey(place.stateDir))) return undefined;
  const { authenticator } = await openPasskey({ values, voice, place, mayMake: false });
  return contractPasskey(authenticator.credential);
}

async function byGuardians(
  values: Values,
  voice: Voice,
  act: (sender: Sender, account: Hex, consents: readonly Consent[]) => Promise<Result<Sent>>,
): Promise<void> {
  const account = accountIn(values);
  const consents = await consentsIn(values);
  const place = await findPlace(values);
  await withChain(place, async (chain) => {
    const sent = orRefuse(await act({ ...chain, ...senderKey(place) }, account, consents));
    const status = orRefuse(await recoveryStatus(chain, account));
    voice.finish({ ok: true, ...sent, ...status }, linesOf(status));
  });
}

function linesOf(status: RecoveryStatus): readonly string[] {
  const { account, guardians, threshold, delay, now, cancellableAt, isConfigured, pending } = status;
  return [
    `Account ${account}: ${isConfigured ? `${threshold} of ${guardians.length} guardians, ${spanInWords(delay)}` : "no guardians"}.`,
    ...guardians.map((one, i) => `  ${i}  ${one}`),
    pending === undefined ? "No recovery is pending." : `A recovery is pending: ${untilFinish(status)}.`,
    ...(now < cancellableAt ? [`A passkey can cancel one in ${spanInWords(cancellableAt - now)}.`] : []),
  ];
}

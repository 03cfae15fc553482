import type { AccountCall } from "../../offchain/client/account-calls";
import { configurationId, removalId } from "../../offchain/client/guardian-messages";
import { refusalToCancel } from "../../offchain/client/recovery";
import { type RecoveryCalls, recoveryCalls } from "../../offchain/client/recovery-calls";
import {
  type RecoveryChain,
  type RecoveryStatus,
  readyAtOf,
  recoveryStatus,
  spanInWords,
} from "../../offchain/client/recovery-status";
import type { Hex } from "../../offchain/wire/bytes";
import { withOperator } from "./operator-program";
import { type Values, type Voice, Refused, orRefuse } from "./program";
import { withChain } from "./recovery-chain";
import { configurationOf, hashIn } from "./recovery-options";

/** What an act of the account comes to: a call, or none where it is so already. */
interface Outcome {
  readonly call?: AccountCall;
  readonly say: string;
  readonly change?: Hex;
  /** Unix seconds. */
  readonly readyAt?: number;
}

type Decide = (status: RecoveryStatus, chain: RecoveryChain, calls: RecoveryCalls) => Outcome | Promise<Outcome>;

/** Guardians, threshold and delay: at once while there are none, else announced, and with --execute put into force. */
export function configure(values: Values, voice: Voice): Promise<void> {
  const next = configurationOf(values);
  const change = configurationId(next);
  return byAccount(values, voice, (status, chain, calls) => {
    if (configurationId(status) === change) return { say: "This configuration is in force.", change };
    if (!status.isConfigured) {
      return { call: calls.configure(next), say: "The guardians guard the account from now on.", change };
    }
    const both = [calls.scheduleConfiguration(next), calls.executeConfiguration(next)] as const;
    return scheduled(values, status, chain, change, both);
  });
}

/** The end of one passkey of a guarded account: announced, and with --execute done. */
export function removePasskey(values: Values, voice: Voice): Promise<void> {
  const credIdHash = hashIn(values, "credential");
  return byAccount(values, voice, (status, chain, calls) => {
    const both = [calls.scheduleRemoval(credIdHash), calls.executeRemoval(credIdHash)] as const;
    return scheduled(values, status, chain, removalId(credIdHash), both);
  });
}

/** Withdraws an announced change by a live passkey. */
export function cancelChange(values: Values, voice: Voice): Promise<void> {
  const change = hashIn(values, "change");
  return byAccount(values, voice, (_, __, calls) => ({
    call: calls.cancelChange(change),
    say: "The change is withdrawn.",
    change,
  }));
}

/** Cancels the pending recovery by a live passkey. */
export function cancelByPasskey(values: Values, voice: Voice): Promise<void> {
  return byAccount(values, voice, (status, _, calls) => {
    const refusal = refusalToCancel(status);
    if (refusal !== undefined) return orRefuse(refusal);
    return { call: calls.cancel(), say: "The recovery is cancelled; a passkey cancels again in 30 days." };
  });
}

/** Announces the change, or puts it into force where that is asked for and its time has come. */
async function scheduled(
  values: Values,
  { account, now, delay }: RecoveryStatus,
  chain: RecoveryChain,
  change: Hex,
  [announce, execute]: readonly [AccountCall, AccountCall],
): Promise<Outcome> {
  const readyAt = orRefuse(await readyAtOf(chain, account, change));
  const left = spanInWords(readyAt - now);
  if (values["execute"] === true) {
    if (now < readyAt) throw new Refused("caller_not_allowed", `Too early: the change can take effect in ${left}.`);
    return { call: execute, say: "The change is in effect.", change };
  }
  if (readyAt === 0) {
    const when = `in ${spanInWords(delay)}`;
    return { call: announce, say: `Announced; ${when}, run the same with --execute.`, change, readyAt: now + delay };
  }
  const when = now < readyAt ? `it can take effect in ${left}` : "run the same with --execute";
  return { say: `The change is announced: ${when}.`, change, readyAt };
}

function byAccount(values: Values, voice: Voice, decide: Decide): Promise<void> {
  return withOperator(values, voice, ({ operator, place }) =>
    withChain(place, async (chain) => {
      const { account } = orRefuse(await operator.identity());
      voice.say(`Master account ${account} on chain ${place.deployment.chainId}.`);
      const status = orRefuse(await recoveryStatus(chain, account));
      const { call, say, ...more } = await decide(status, chain, recoveryCalls(place.deployment));
      const done = orRefuse(await operator.perform(call === undefined ? [] : [call]));
      voice.finish({ ok: true, ...done, ...more }, [
        say,
        ...(more.change === undefined ? [] : [`Change ${more.change}.`]),
      ]);
    }),
  );
}

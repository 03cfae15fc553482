import { IAccountRecovery__factory } from "../../typechain-types";
import type { Deployment } from "../chain/deployment";
import type { Hex } from "../wire/bytes";
import type { AccountCall } from "./account-calls";
import type { Configuration } from "./guardian-messages";

const RECOVERY = IAccountRecovery__factory.createInterface();

/** The account's own calls of AccountRecovery. */
export interface RecoveryCalls {
  /** Switches recovery on, at once. */
  configure(next: Configuration): AccountCall;
  /** Announces another configuration; nothing and zeros for off. */
  scheduleConfiguration(next: Configuration): AccountCall;
  executeConfiguration(next: Configuration): AccountCall;
  /** Announces the end of a passkey, by keccak256 of its raw credential id. */
  scheduleRemoval(credIdHash: Hex): AccountCall;
  executeRemoval(credIdHash: Hex): AccountCall;
  /** Withdraws an announced change. */
  cancelChange(change: Hex): AccountCall;
  /** Stops the pending recovery; once in 30 days. */
  cancel(): AccountCall;
}

/** The calls, for one deployment. */
export function recoveryCalls({ contracts }: Deployment): RecoveryCalls {
  const call = (data: string): AccountCall => ({ to: contracts.AccountRecovery, value: 0n, data: data as Hex });
  const args = ({ guardians, threshold, delay }: Configuration): [Hex[], number, number] => [
    [...guardians],
    threshold,
    delay,
  ];
  return {
    configure: (next) => call(RECOVERY.encodeFunctionData("configure", args(next))),
    scheduleConfiguration: (next) => call(RECOVERY.encodeFunctionData("scheduleConfiguration", args(next))),
    executeConfiguration: (next) => call(RECOVERY.encodeFunctionData("executeConfiguration", args(next))),
    scheduleRemoval: (credIdHash) => call(RECOVERY.encodeFunctionData("scheduleRemoval", [credIdHash])),
    executeRemoval: (credIdHash) => call(RECOVERY.encodeFunctionData("executeRemoval", [credIdHash])),
    cancelChange: (change) => call(RECOVERY.encodeFunctionData("cancelChange", [change])),
    cancel: () => call(RECOVERY.encodeFunctionData("cancel")),
  };
}

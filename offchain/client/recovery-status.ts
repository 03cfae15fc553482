import type { JsonRpcProvider } from "ethers";

import { connectContracts } from "../chain/connect";
import type { Deployment } from "../chain/deployment";
import type { Hex } from "../wire/bytes";
import { type Result, ok } from "../wire/result";
import type { Configuration } from "./guardian-messages";
import { refusalFor } from "./send-operation";

/** Where recovery happens. */
export interface RecoveryChain {
  readonly provider: JsonRpcProvider;
  readonly deployment: Deployment;
}

/** What the chain says about an account's recovery. Times are Unix seconds. */
export interface RecoveryStatus extends Configuration {
  readonly account: Hex;
  readonly isConfigured: boolean;
  /** The latest block's time: delays are the chain's. */
  readonly now: number;
  /** What the next start signs. */
  readonly recoveryNonce: number;
  /** The recovery that was started and is neither finished nor cancelled. */
  readonly pending?: {
    readonly recoveryNonce: number;
    /** It can be finished from here on. */
    readonly notBefore: number;
    readonly newPasskeysHash: Hex;
  };
  /** From here on a live passkey may cancel; 0 for always. */
  readonly cancellableAt: number;
}

/** Reads everything about an account's recovery, at one block. */
export async function recoveryStatus(chain: RecoveryChain, account: Hex): Promise<Result<RecoveryStatus>> {
  const { recovery } = connectContracts(chain.deployment, chain.provider);
  try {
    const block = await chain.provider.getBlock("latest");
    const at = { blockTag: block?.number ?? "latest" };
    const [configuration, nonce, pending, cancellableAt] = await Promise.all([
      recovery.configurationOf(account, at),
      recovery.recoveryNonce(account, at),
      recovery.pendingOf(account, at),
      recovery.cancellableAt(account, at),
    ]);
    return ok({
      account,
      isConfigured: configuration.threshold !== 0n,
      guardians: configuration.guardians.map((one) => one.toLowerCase() as Hex),
      threshold: Number(configuration.threshold),
      delay: Number(configuration.delay),
      now: block?.timestamp ?? 0,
      recoveryNonce: Number(nonce),
      ...(pending.notBefore === 0n
        ? {}
        : {
            pending: {
              recoveryNonce: Number(pending.nonce),
              notBefore: Number(pending.notBefore),
              newPasskeysHash: pending.newPasskeysHash as Hex,
            },
          }),
      cancellableAt: Number(cancellableAt),
    });
  } catch (error) {
    return refusalFor(error);
  }
}

/** When a scheduled change can be executed, Unix seconds; 0 where it is not scheduled, or was dropped. */
export async function readyAtOf(chain: RecoveryChain, account: Hex, change: Hex): Promise<Result<number>> {
  try {
    return ok(Number(await connectContracts(chain.deployment, chain.provider).recovery.readyAt(account, change)));
  } catch (error) {
    return refusalFor(error);
  }
}

/** A time span for people, rounded up to a minute: `47 h 59 min`. */
export function spanInWords(seconds: number): string {
  const minutes = Math.ceil(seconds / 60);
  const [days, hours] = [Math.floor(minutes / 1_440), Math.floor((minutes % 1_440) / 60)];
  const parts = [days > 0 ? `${days} d` : "", hours > 0 ? `${hours} h` : "", `${minutes % 60} min`];
  return parts.filter((part) => part !== "").join(" ");
}

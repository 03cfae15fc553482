import { setTimeout as pause } from "node:timers/promises";

import type { ProblemCode } from "../wire/problem";
import { type Failure, type Result, ok } from "../wire/result";
import type { Client, ObjectWish } from "./client";
import { nameOf } from "./object-names";
import type { RotationRecord } from "./rotation-record";

/** What re-encrypts an operator's objects, by the `rotate` caps of one of its master devices. */
export interface EagerRotation {
  readonly client: Pick<Client, "rotate">;
  /** The epoch that the chain says is current. */
  readonly currentEpoch: () => Promise<Result<number>>;
  /** What earlier runs have done in this epoch. */
  readonly recordOf: (epoch: number) => Promise<RotationRecord>;
  /** Each once. */
  readonly names: readonly ObjectWish[];
  /** How many at a time. */
  readonly concurrency: number;
  /** Aborted, nothing new is begun; what is under way ends and is recorded. */
  readonly signal: AbortSignal;
  readonly onProgress?: (progress: RotationProgress) => void;
  /** Milliseconds before the first repetition; 250 by default, doubled each time. */
  readonly patienceMs?: number;
}

/** How far a run is. */
export interface RotationProgress {
  readonly epoch: number;
  readonly total: number;
  /** By earlier runs. */
  readonly before: number;
  readonly rotated: number;
  readonly missing: number;
  readonly failed: number;
}

/** What a run came to. */
export interface RotationReport {
  readonly epoch: number;
  /** Objects that this run re-encrypted. */
  readonly rotated: number;
  /** Objects that earlier runs had done in this epoch. */
  readonly before: number;
  /** Names under which nothing is stored. */
  readonly missing: readonly ObjectWish[];
  readonly failed: readonly { readonly wish: ObjectWish; readonly failure: Failure }[];
  /** Names that were not tried, or not to the end. */
  readonly left: number;
  /** Why not every name was tried; absent when each was. */
  readonly stopped?: "interrupted" | Failure;
}

/** Another write came first, or the cap met a change of epoch: a fresh cap finds the new state. */
const FRESH_CAP: readonly string[] = ["version_conflict", "k3_epoch_mismatch", "cap_already_used", "cap_expired"];

/** Nothing was decided about this name: it passes, or it is an outage. */
const PASSING: readonly string[] = [
  ...["upstream_unavailable", "signer_unavailable", "chain_unavailable", "replay_store_unavailable"],
  ...["storage_unavailable", "audit_unavailable", "rate_limited"],
];

/** What every other name would be answered too. */
const OF_THE_DEVICE: readonly ProblemCode[] = [
  ...(["device_not_active", "device_revoked", "device_role_missing", "operator_frozen", "cap_pop_invalid"] as const),
];

const FRESH_TRIES = 20;
const PASSING_TRIES = 6;
/** So many names in a row that ended in what should pass are an outage. */
const OUTAGE = 5;

/**
 * Re-encrypts every name under the current epoch, and again where the epoch turned meanwhile. A rotation is idempotent
 * in effect (same plaintext, same evidence of who stored it), so a name whose outcome is not known is simply done
 * again: a device with `parent` rights may not fetch, and so cannot ask which epoch an object has. Beside live writes
 * the store's compare-and-swap decides; what loses is begun anew with a fresh cap.
 * @returns the refusal where the chain does not say its epoch, before anything was done. @see services note 4.3
 */
export async function rotateEagerly(rotation: EagerRotation): Promise<Result<RotationReport>> {
  let rotated = 0;
  let epoch = await rotation.currentEpoch();
  for (;;) {
    if (!epoch.ok) return epoch;
    const report = await rotateInEpoch(rotation, epoch.value);
    rotated += report.rotated;
    const whole = { ...report, rotated };
    if (report.stopped !== undefined) return ok(whole);
    const now = await rotation.currentEpoch();
    if (!now.ok) return ok({ ...whole, stopped: now.failure });
    if (now.value === epoch.value) return ok(whole);
    epoch = now;
  }
}

/** One pass. A name that is recorded was rotated by a cap that was minted after `epoch` began, so it has it or a later one. */
async function rotateInEpoch(rotation: EagerRotation, epoch: number): Promise<RotationReport> {
  const { names, signal, onProgress } = rotation;
  const record = await rotation.recordOf(epoch);
  const open = names.filter((wish) => !record.has(nameOf(wish)));
  const before = names.length - open.length;
  const missing: ObjectWish[] = [];
  const failed: { wish: ObjectWish; failure: Failure }[] = [];
  let [rotated, next, inARow] = [0, 0, 0];
  let stopped: RotationReport["stopped"];
  const tell = (): void =>
    onProgress?.({ epoch, total: names.length, before, rotated, missing: missing.length, failed: failed.length });

  async function one(wish: ObjectWish): Promise<void> {
    const outcome = await rotateOne(rotation, wish);
    if (outcome === "interrupted") {
      stopped ??= outcome;
    } else if (outcome.ok) {
      await record.add(nameOf(wish));
      rotated += 1;
      inARow = 0;
    } else {
      const { failure } = outcome;
      if (failure.code === "object_not_found") missing.push(wish);
      else failed.push({ wish, failure });
      inARow = PASSING.includes(failure.code) ? inARow + 1 : 0;
      if (inARow >= OUTAGE || OF_THE_DEVICE.some((code) => code === failure.code)) stopped ??= failure;
    }
    tell();
  }

  async function work(): Promise<void> {
    for (;;) {
      if (signal.aborted) stopped ??= "interrupted";
      const wish = open[next];
      if (stopped !== undefined || wish === undefined) return;
      next += 1;
      await one(wish);
    }
  }

  try {
    tell();
    await Promise.all(Array.from({ length: rotation.concurrency }, work));
  } finally {
    await record.close();
  }
  const left = open.length - rotated - missing.length - failed.length;
  // aborted while the last ones ended: nothing was left out
  const isWhole = stopped === "interrupted" && left === 0;
  return { epoch, rotated, before, missing, failed, left, ...(stopped === undefined || isWhole ? {} : { stopped }) };
}

async function rotateOne(
  { client, signal, patienceMs = 250 }: EagerRotation,
  wish: ObjectWish,
): Promise<Result<unknown> | "interrupted"> {
  let [fresh, passing] = [0, 0];
  for (;;) {
    const outcome = await client.rotate(wish);
    if (outcome.ok) return outcome;
    const { code, reason } = outcome.failure;
    let waitMs: number;
    if (FRESH_CAP.includes(code)) {
      if ((fresh += 1) >= FRESH_TRIES) return outcome;
      waitMs = Math.random() * patienceMs;
    } else if (PASSING.includes(code) || (code === "proof_invalid" && reason === "stale")) {
      if ((passing += 1) >= PASSING_TRIES) return outcome;
      waitMs = patienceMs * 2 ** (passing - 1);
    } else return outcome;
    if (!(await waited(waitMs, signal))) return "interrupted";
  }
}

/** False when the wait was cut off. */
function waited(ms: number, signal: AbortSignal): Promise<boolean> {
  return pause(ms, true, { signal }).catch(() => false);
}

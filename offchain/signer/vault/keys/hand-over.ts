import type { Hex } from "../../../wire/bytes";
import { nextEpoch, prepareEpoch } from "../epochs";
import { k3Commitment } from "../k3";
import { changeContents, createContents, openContents } from "../sealed-file";
import type { VaultUnlock } from "./unlock";
import { newContents } from "./vault-contents";
import { STATE_ELSEWHERE, type VaultKeys, VaultKeysError, type VaultSeeds, nextBond } from "./vault-keys";
import { whenFree } from "./when-free";

/** A sealed file that K3 is drawn into first: the vault's own, or the backup of one in a token. */
export interface SealedSource {
  readonly file: string;
  readonly unlock: VaultUnlock;
}

/** Whoever is given each epoch beside the source: other vaults, tokens, backups. */
export type EpochReceiver = Pick<VaultKeys, "commitments" | "receiveEpoch">;

/**
 * The seeds in a sealed file; for the local admin tool alone, never for the pipe. Whatever is made of them needs the
 * state of the vault that they were taken from. @throws VaultFileError
 */
export async function readSeeds(source: SealedSource): Promise<VaultSeeds> {
  return { ...(await allSeeds(source)), stateId: STATE_ELSEWHERE };
}

/**
 * The seeds in a sealed file for the first vault that is made of them, elsewhere, before any agent key exists: its state
 * may begin with index 0. `markAsBackup` comes after it: of vaults with the same seeds one alone may begin.
 * @throws VaultKeysError where agent keys may have been made of these seeds; VaultFileError
 */
export async function readNewSeeds(source: SealedSource): Promise<VaultSeeds> {
  const seeds = await allSeeds(source);
  if (seeds.stateId === undefined) return seeds;
  throw new VaultKeysError(`${source.file} is not new: agent keys may have been made of these keys already`);
}

/** From now on a vault over this file needs a state that lies elsewhere. @throws VaultKeysError where it has one */
export async function markAsBackup({ file, unlock }: SealedSource): Promise<void> {
  await whenFree(() =>
    changeContents(file, unlock, (contents) =>
      contents.stateId === STATE_ELSEWHERE
        ? contents
        : { ...contents, stateId: nextBond(contents.stateId, STATE_ELSEWHERE) },
    ),
  );
}

async function allSeeds({ file, unlock }: SealedSource): Promise<VaultSeeds> {
  const contents = openContents(file, unlock) ?? (await whenFree(() => changeContents(file, unlock, (same) => same)));
  const { epochs, agentSeed, stateKey, stateId } = contents;
  return { epochs, agentSeed, stateKey, ...(stateId === undefined ? {} : { stateId }) };
}

/** Makes a sealed file of these seeds: a backup, or a vault that was restored from one. @throws VaultFileError where one is */
export async function createFromSeeds({ file, unlock }: SealedSource, seeds: VaultSeeds): Promise<void> {
  await whenFree(() => createContents(file, unlock, () => newContents(seeds)));
}

/**
 * Draws the K3 of the next epoch into the source and hands it to every receiver, after every epoch that it lacks. Where
 * a receiver lacked the last one, an earlier run was cut off (or the receiver is new): that run is completed and nothing
 * is drawn, so that no two vaults ever hold different keys of one epoch.
 * @throws VaultKeysError where a receiver holds another key of an epoch than the source, or one beyond it
 */
export async function prepareEverywhere(
  source: SealedSource,
  receivers: readonly EpochReceiver[],
): Promise<{ readonly epoch: number; readonly commitment: Hex; readonly drawn: boolean }> {
  const before = (await readSeeds(source)).epochs;
  const last = nextEpoch(before) - 1;
  if (receivers.some((one) => nextEpoch(one.commitments()) - 1 > last)) {
    throw new VaultKeysError("a receiver holds a later epoch than the file that epochs are drawn into");
  }
  const drawn = last === 0 || receivers.every((one) => one.commitments().has(last));
  await handOver(before, receivers);
  if (drawn) {
    await whenFree(() => prepareEpoch(source.file, source.unlock, false));
    await handOver((await readSeeds(source)).epochs, receivers);
  }
  const { epochs } = await readSeeds(source);
  const epoch = drawn ? last + 1 : last;
  const k3 = epochs.get(epoch);
  if (k3 === undefined) throw new VaultKeysError("the file that epochs are drawn into lost one");
  return { epoch, commitment: k3Commitment(epoch, k3.reveal()), drawn };
}

/**
 * Gives every receiver the epochs that it lacks, and compares those that it holds: another key of an epoch is found
 * here, and not when an object cannot be read. @throws VaultKeysError
 */
export async function handOver(epochs: VaultSeeds["epochs"], receivers: readonly EpochReceiver[]): Promise<void> {
  for (const one of receivers) {
    const held = one.commitments();
    for (const [epoch, k3] of epochs) {
      if (held.get(epoch) !== k3Commitment(epoch, k3.reveal())) await one.receiveEpoch(epoch, k3);
    }
  }
}

import { existsSync, lstatSync, mkdirSync } from "node:fs";
import { dirname, join } from "node:path";

import {
  readCheckedFile,
  readSequence,
  replaceFile,
  writeSequence,
} from "../../offchain/signer/vault/keys/checked-file";
import { AGENT_KEYS_DIR, STATE_FILE } from "../../offchain/signer/vault/state/open-state";
import { writeNew } from "../../offchain/store/durable";
import { lockFolder } from "../../offchain/store/folder-lock";
import { StoreUnavailable } from "../../offchain/store/unavailable";
import { fromBase64url, toBase64url } from "../../offchain/wire/bytes";
import { isJsonObject, readJsonObject } from "../../offchain/wire/json";
import { Refused } from "./program";

const FORMAT = "agentkeys-vault-backup.v1";

/** What is copied, and where it lies. */
interface BackupPlace {
  readonly stateDir: string;
  readonly vaultFile: string;
  /** The backup's own file. */
  readonly backup: string;
}

/** Names inside a backup → where they belong. The sequence numbers go with their files: alone they refuse each other. */
function filesOf({ stateDir, vaultFile }: BackupPlace): ReadonlyMap<string, string> {
  const state = join(stateDir, AGENT_KEYS_DIR, STATE_FILE);
  return new Map([
    ["keys", vaultFile],
    ["keys.seq", `${vaultFile}.seq`],
    ["state", state],
    ["state.seq", `${state}.seq`],
  ]);
}

/**
 * Copies a stopped vault's sealed files into one new file of mode 0600; nothing is opened. With `stateOnly` the keys are
 * elsewhere (in a token); without it their file must be there, so that no backup lacks it unnoticed.
 * @returns what was copied
 * @throws Refused while the vault runs, where the keys or everything is missing, or where the backup's file is there already
 */
export async function backUp(place: BackupPlace & { readonly stateOnly?: boolean }): Promise<readonly string[]> {
  return whileStopped(place, async () => {
    const isWanted = (name: string): boolean => place.stateOnly !== true || name.startsWith("state");
    const present = [...filesOf(place)].filter(([name, path]) => isWanted(name) && existsSync(path));
    if (present.length === 0) throw new Refused("storage_unavailable", `There is no vault in ${place.stateDir}.`);
    if (place.stateOnly !== true && !existsSync(place.vaultFile)) {
      const words = `${place.vaultFile} is not there: name it with --vault-file, or, of keys in a token, give --state-only.`;
      throw new Refused("storage_unavailable", words);
    }
    const files = Object.fromEntries(present.map(([name, path]) => [name, toBase64url(readCheckedFile(path, "gone"))]));
    if (existsSync(place.backup)) throw new Refused("storage_unavailable", `${place.backup} is there already.`);
    await writeNew(place.backup, Buffer.from(`${JSON.stringify({ format: FORMAT, files })}\n`));
    return present.map(([name]) => name);
  });
}

/**
 * Puts a backup's files where a stopped vault reads them; `force` replaces what is there. The vault then refuses the state
 * as an older one, or asks for one that it lacks, until `signer:recover-state` makes it harmless; not where it was `moved`:
 * stopped at the backup, and never run since.
 * @returns what was put back, and whether that has to be done
 * @throws Refused while the vault runs, for a file that is no backup, or where files would be replaced without `force`
 */
export async function restore(
  place: BackupPlace & { readonly force: boolean; readonly moved?: boolean },
): Promise<{ readonly files: readonly string[]; readonly needsRecovery: boolean }> {
  const files = readBackup(place.backup);
  const targets = filesOf(place);
  return whileStopped(place, () => {
    const taken = [...targets.values()].filter((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
    if (taken.length > 0 && !place.force) {
      throw new Refused("storage_unavailable", `${taken.join(", ")} would be replaced: move it away, or give --force.`);
    }
    const state = targets.get("state") ?? "";
    const last = Math.max(readSequence(state), Number(files.get("state.seq")?.toString() ?? 0));
    for (const [name, bytes] of files) {
      const path = targets.get(name);
      if (path === undefined) throw new Refused("payload_invalid", `${place.backup} holds a file of another program.`);
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      replaceFile(path, bytes);
    }
    // a backup from before the first agent key, too: there may be some by now
    const needsRecovery = (files.has("state") || !taken.includes(state)) && place.moved !== true;
    if (needsRecovery) writeSequence(state, last + 1);
    return Promise.resolve({ files: [...files.keys()], needsRecovery });
  });
}

function readBackup(path: string): ReadonlyMap<string, Buffer> {
  const read = readJsonObject(readCheckedFile(path, "is its name right?"));
  const { format, files } = read.ok ? read.value : {};
  const entries = isJsonObject(files) ? Object.entries(files) : [];
  const decoded = entries.map(([name, text]): [string, Buffer | undefined] => [name, fromBase64url(text)]);
  const whole = decoded.filter((one): one is [string, Buffer] => one[1] !== undefined);
  if (format !== FORMAT || whole.length === 0 || whole.length !== decoded.length) {
    throw new Refused("payload_invalid", `${path} is not a backup that this program made, or it was cut short.`);
  }
  return new Map(whole);
}

/** Holds the lock that a running vault holds. */
async function whileStopped<T>(place: BackupPlace, act: () => Promise<T>): Promise<T> {
  try {
    const lock = lockFolder(join(place.stateDir, AGENT_KEYS_DIR));
    try {
      return await act();
    } finally {
      lock.release();
    }
  } catch (error) {
    if (!(error instanceof StoreUnavailable)) throw error;
    throw new Refused("storage_unavailable", `Stop the vault first: ${error.message}.`);
  }
}

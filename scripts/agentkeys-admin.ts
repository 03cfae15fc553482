import { existsSync } from "node:fs";
import { join, resolve } from "node:path";

import { ADMIN_SOCKET, type ListedAgentKey } from "../offchain/signer/vault/admin";
import type { TokenSecret } from "../offchain/signer/vault/keys/vault-keys";
import type { JsonObject } from "../offchain/wire/json";
import { askAdmin } from "./lib/admin-socket";
import { UsageError } from "./lib/networks";
import { type Values, type Voice, orRefuse, runProgram, text } from "./lib/program";
import { backUp, restore } from "./lib/vault-backup";

const USAGE = `npm run agentkeys-admin -- COMMAND [options]

Administers the vault on the signer's own host, as the user that the vault runs as.

Commands for a running vault, over its admin socket:
  rotate-credential-secret   draws the secret that signs agent credentials anew; those it signed live on until they expire.
                             With --force every credential that was ever issued is dead at once, and every agent must
                             refresh its own with a passkey tap
  credential-secret-status   which secrets are held, since when, and until when they verify
  list-agent-keys            every agent key: owner, label, device, address, whether it is revoked
  revoke-agent-key KEY_ID    ends a key for good, without the owner's passkey
  prepare-epoch              draws the K3 of the next epoch and prints the commitment for rotate-epoch

Commands for a stopped vault; files are copied as they are and stay sealed:
  backup FILE                the vault's sealed keys and its sealed state in one file of mode 0600. The passphrase or key
                             file is not in it: keep that elsewhere. Refused where the keys' file is missing;
                             --state-only leaves it out, where the keys are in a token
  restore FILE               puts them back. Refused where files are there already, unless --force. Agent keys may have
                             been made, refreshed and revoked since: the vault refuses to start until
                             npm run signer:recover-state has passed their indices over and ended every credential.
                             --moved leaves that out: the vault was stopped at the backup and has never run since

  --state-dir DIR     the vault's VAULT_STATE_DIR; otherwise that variable, otherwise .agentkeys/vault
  --vault-file FILE   the vault's VAULT_FILE; otherwise that variable, otherwise vault.sealed in the state folder
  --force, --moved, --state-only   see above
  --json              one line of JSON instead of sentences

Exits with 0 when it is done, 1 when it was refused, 2 when it was misused.`;

/** Commands and how many words follow each. */
const COMMANDS: ReadonlyMap<string, number> = new Map([
  ["rotate-credential-secret", 0],
  ["credential-secret-status", 0],
  ["list-agent-keys", 0],
  ["revoke-agent-key", 1],
  ["prepare-epoch", 0],
  ["backup", 1],
  ["restore", 1],
]);

interface Place {
  readonly stateDir: string;
  readonly vaultFile: string;
}

type Command = (place: Place, word: string, values: Values, voice: Voice) => Promise<void>;

const RUN: Readonly<Record<string, Command>> = {
  async "rotate-credential-secret"(place, _word, values, voice) {
    const force = values["force"] === true;
    const { secret } = await ask<{ secret: TokenSecret }>(place, { command: "rotate-credential-secret", force });
    const now = force
      ? "Every credential issued before is dead. Each agent refreshes its own, with a passkey tap."
      : "Credentials issued before live on until they expire.";
    voice.finish({ ok: true, secret, forced: force }, [`Secret ${secret.kid} signs from now on.`, now]);
  },
  async "credential-secret-status"(place, _word, _values, voice) {
    const { secrets } = await ask<{ secrets: readonly TokenSecret[] }>(place, { command: "credential-secret-status" });
    voice.finish({ ok: true, secrets }, secrets.map(secretLine));
  },
  async "list-agent-keys"(place, _word, _values, voice) {
    const { keys } = await ask<{ keys: readonly ListedAgentKey[] }>(place, { command: "list-agent-keys" });
    voice.finish({ ok: true, keys }, keys.length === 0 ? ["There are no agent keys yet."] : keys.map(keyLine));
  },
  async "revoke-agent-key"(place, keyId, _values, voice) {
    const { revokedAt } = await ask<{ revokedAt: number }>(place, { command: "revoke-agent-key", keyId });
    voice.finish({ ok: true, keyId, revokedAt }, [`Key ${keyId} is revoked since ${at(revokedAt)}.`]);
  },
  async "prepare-epoch"(place, _word, _values, voice) {
    const drawn = await ask<{ epoch: number; commitment: string }>(place, { command: "prepare-epoch" });
    voice.finish({ ok: true, ...drawn }, [
      `Epoch ${String(drawn.epoch)} is prepared; commitment ${drawn.commitment}.`,
      "Back up the vault and give the key to every other vault before rotate-epoch makes it the current one.",
    ]);
  },
  async backup(place, file, values, voice) {
    const files = await backUp({ ...place, backup: resolve(file), stateOnly: values["state-only"] === true });
    voice.finish({ ok: true, file: resolve(file), files }, [`${resolve(file)} holds ${files.join(", ")}, all sealed.`]);
  },
  async restore(place, file, values, voice) {
    const [force, moved] = [values["force"] === true, values["moved"] === true];
    const { files, needsRecovery } = await restore({ ...place, backup: resolve(file), force, moved });
    voice.finish({ ok: true, files, needsRecovery }, [
      `Put back: ${files.join(", ")}.`,
      ...(needsRecovery ? ["Now run npm run signer:recover-state; revoke once more what was revoked since."] : []),
    ]);
  },
};

function placeOf(values: Values): Place {
  const stateDir = resolve(text(values, "state-dir") ?? process.env["VAULT_STATE_DIR"] ?? join(".agentkeys", "vault"));
  const vaultFile = text(values, "vault-file") ?? process.env["VAULT_FILE"] ?? join(stateDir, "vault.sealed");
  return { stateDir, vaultFile: resolve(vaultFile) };
}

async function ask<T>(place: Place, request: JsonObject): Promise<T> {
  const path = join(place.stateDir, ADMIN_SOCKET);
  if (!existsSync(path)) {
    throw new UsageError(`${path} is not there: is the vault running, and is this its VAULT_STATE_DIR?`);
  }
  return orRefuse(await askAdmin(path, request)) as T;
}

const at = (seconds: number): string => new Date(seconds * 1_000).toISOString();

function secretLine({ kid, createdAt, retiredAt, lastExpiry }: TokenSecret): string {
  const since = `${kid}  since ${at(createdAt)}`;
  if (retiredAt === undefined) return `${since}  signs`;
  return `${since}  retired ${at(retiredAt)}, verifies until ${at(lastExpiry)}`;
}

function keyLine(key: ListedAgentKey): string {
  const state = key.revokedAt === undefined ? "live" : `revoked ${at(key.revokedAt)}`;
  return `${key.keyId}  ${key.agentAddress}  ${key.label}  account ${key.account}  device ${key.deviceKeyHash}  ${state}`;
}

/** The command and its words stand first, options follow. */
function split(argv: readonly string[]): { readonly words: readonly string[]; readonly options: readonly string[] } {
  const first = argv.findIndex((one) => one.startsWith("-"));
  const end = first < 0 ? argv.length : first;
  return { words: argv.slice(0, end), options: argv.slice(end) };
}

const { words, options } = split(process.argv.slice(2));

void runProgram({
  usage: USAGE,
  options: {
    "state-dir": { type: "string" },
    "vault-file": { type: "string" },
    force: { type: "boolean" },
    moved: { type: "boolean" },
    "state-only": { type: "boolean" },
  },
  argv: options,
  async run(values, voice) {
    const [name = "", ...rest] = words;
    const command = RUN[name];
    if (command === undefined || !COMMANDS.has(name)) {
      throw new UsageError(`the command is one of ${[...COMMANDS.keys()].join(", ")}`);
    }
    if (rest.length !== COMMANDS.get(name)) {
      throw new UsageError(`${name} takes ${COMMANDS.get(name) === 1 ? "one word" : "no further word"}`);
    }
    await command(placeOf(values), rest[0] ?? "", values, voice);
  },
});

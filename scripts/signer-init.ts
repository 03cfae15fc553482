import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { readSecretFile } from "../offchain/http/config";
import { serviceLog } from "../offchain/http/log";
import { commitments, prepareEpoch } from "../offchain/signer/vault/epochs";
import {
  type SealedSource,
  createFromSeeds,
  handOver,
  markAsBackup,
  prepareEverywhere,
  readNewSeeds,
  readSeeds,
} from "../offchain/signer/vault/keys/hand-over";
import { readPin } from "../offchain/signer/vault/keys/open";
import { createInToken, holdsVault } from "../offchain/signer/vault/keys/pkcs11/create";
import { openPkcs11 } from "../offchain/signer/vault/keys/pkcs11/keys";
import type { TokenSettings } from "../offchain/signer/vault/keys/pkcs11/token";
import { openSealedFile } from "../offchain/signer/vault/keys/sealed-file";
import { STATE_ELSEWHERE, type VaultKeys } from "../offchain/signer/vault/keys/vault-keys";
import { Secret } from "../offchain/wire/secret";

const USAGE = `npm run signer:init -- [--dir DIR] [--next] [--copy DIR]... [--new] [--pkcs11-module LIBRARY --pkcs11-token LABEL --pkcs11-pin-file FILE] [--json]

Makes the sealed file of a vault with K3 of epoch 1, and prints the commitment that deploy needs. --next draws the K3 of
the next epoch, ahead of rotate-epoch.

Only one vault may give out agent keys from index 0: the sealed file, unless --new says otherwise. A copy, or a token made
without --new, starts with the state of that vault (agentkeys-admin restore), or after npm run signer:recover-state.

  --dir DIR     folder of the sealed file and its passphrase; .agentkeys/vault by default
  --copy DIR    another folder that holds the same keys under a passphrase of its own: a backup, or a vault restored from
                one. Made where it is missing, and given every epoch
  --new         the token that is made here (or the one --copy) is the first vault of these keys, and the sealed file its
                backup. Refused where agent keys may have been made of them already
  --pkcs11-…    a token that holds the keys: its vault is made of the sealed file where it has none, and given every
                epoch. The sealed file is then its backup: keep it off the vault's host, and bring it for --next`;

const NOT_FIRST =
  "the vault was made of these keys without --new: put its state in place, or run npm run signer:recover-state with its environment";

/** Unix seconds. */
const now = (): number => Math.floor(Date.now() / 1_000);
const log = serviceLog("signer:init", "warn");

/** The sealed file of a folder, and its passphrase; drawn where there is none. */
function sourceIn(dir: string): SealedSource & { readonly passphraseFile: string } {
  const passphraseFile = join(dir, "passphrase");
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  if (!existsSync(passphraseFile)) {
    writeFileSync(passphraseFile, randomBytes(32).toString("base64url"), { mode: 0o600, flush: true });
  }
  return { file: join(dir, "vault.sealed"), unlock: new Secret(readSecretFile(passphraseFile)), passphraseFile };
}

async function openCopy(dir: string, from: SealedSource, seedsIn: typeof readSeeds): Promise<VaultKeys> {
  const copy = sourceIn(dir);
  if (!existsSync(copy.file)) await createFromSeeds(copy, await seedsIn(from));
  return openSealedFile({ ...copy, now, log });
}

async function openToken(settings: TokenSettings, from: SealedSource, seedsIn: typeof readSeeds): Promise<VaultKeys> {
  const token = { ...settings, writerDir: join(from.file, "..", "token") };
  if (!holdsVault(token)) await createInToken(token, await seedsIn(from));
  return openPkcs11({ ...token, now, log });
}

/** Undefined where none is given. */
function tokenSettings(values: Readonly<Record<string, unknown>>): TokenSettings | undefined {
  const [module, label, pinFile] = ["module", "token", "pin-file"].map((name) => values[`pkcs11-${name}`]);
  if (module === undefined && label === undefined && pinFile === undefined) return undefined;
  if (typeof module !== "string" || typeof label !== "string" || typeof pinFile !== "string") {
    throw new Error("--pkcs11-module, --pkcs11-token and --pkcs11-pin-file go together");
  }
  return { module, label, pin: readPin(pinFile) };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      dir: { type: "string" },
      next: { type: "boolean" },
      new: { type: "boolean" },
      json: { type: "boolean" },
      copy: { type: "string", multiple: true },
      "pkcs11-module": { type: "string" },
      "pkcs11-token": { type: "string" },
      "pkcs11-pin-file": { type: "string" },
      help: { type: "boolean" },
    },
  });
  if (values.help === true) {
    console.log(USAGE);
    return;
  }
  const token = tokenSettings(values);
  const copies = values.copy ?? [];
  const isFirst = values.new === true;
  if (isFirst && token === undefined && copies.length !== 1) {
    throw new Error("--new goes with a token, or with one --copy: one vault is the first of its keys");
  }
  const source = sourceIn(resolve(values.dir ?? join(".agentkeys", "vault")));
  const isNew = !existsSync(source.file);
  if (isNew) prepareEpoch(source.file, source.unlock, true);
  const receivers: VaultKeys[] = [];
  try {
    const seedsIn = isFirst ? readNewSeeds : readSeeds;
    if (token !== undefined) receivers.push(await openToken(token, source, seedsIn));
    // beside a token that is the first, copies are copies
    const forCopies = token === undefined ? seedsIn : readSeeds;
    for (const dir of copies) receivers.push(await openCopy(resolve(dir), source, forCopies));
    if (isFirst) {
      if (receivers[0]?.stateAnchor().id() === STATE_ELSEWHERE) throw new Error(NOT_FIRST);
      // after the vault was made: a run that was cut off is done again
      await markAsBackup(source);
    }
    if (values.next === true && !isNew) await prepareEverywhere(source, receivers);
    else await handOver((await readSeeds(source)).epochs, receivers);
  } finally {
    for (const one of receivers) await one.close();
  }
  const all = [...commitments((await readSeeds(source)).epochs)].map(([epoch, commitment]) => ({ epoch, commitment }));
  if (values.json === true) {
    console.log(JSON.stringify({ file: source.file, epochs: all }));
    return;
  }
  console.log(
    `The vault's sealed file: ${source.file} (passphrase in ${source.passphraseFile}; keep them on different media)`,
  );
  for (const dir of copies) console.log(`  copied to ${resolve(dir)}, under a passphrase of its own`);
  if (token !== undefined)
    console.log(`  handed to the token ${token.label}; the file is now its backup: keep it elsewhere`);
  for (const one of all) console.log(`  epoch ${String(one.epoch)}  commitment ${one.commitment}`);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

import { randomBytes } from "node:crypto";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { parseArgs } from "node:util";

import { readSecretFile } from "../offchain/http/config";
import { commitments, prepareEpoch } from "../offchain/signer/vault/epochs";
import { openVaultFile } from "../offchain/signer/vault/sealed-file";
import { Secret } from "../offchain/wire/secret";

/**
 * `npm run signer:init -- [--dir .agentkeys/vault] [--next] [--json]`: makes the vault's sealed file with K3 of epoch 1
 * and prints the commitment that `deploy` needs; `--next` draws the K3 of the next epoch ahead of `rotate-epoch`.
 */
function main(): void {
  const { values } = parseArgs({
    options: { dir: { type: "string" }, next: { type: "boolean" }, json: { type: "boolean" } },
  });
  const file = join(resolve(values.dir ?? join(".agentkeys", "vault")), "vault.sealed");
  const passphraseFile = join(dirname(file), "passphrase");
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  if (!existsSync(passphraseFile)) {
    writeFileSync(passphraseFile, randomBytes(32).toString("base64url"), { mode: 0o600, flush: true });
  }
  const passphrase = new Secret(readSecretFile(passphraseFile));
  const isNew = !existsSync(file);
  if (isNew || values.next === true) prepareEpoch(file, passphrase, isNew);
  const all = [...commitments(openVaultFile(file, passphrase))].map(([epoch, commitment]) => ({ epoch, commitment }));
  if (values.json === true) console.log(JSON.stringify({ file, epochs: all }));
  else {
    console.log(`The vault's sealed file: ${file} (passphrase in ${passphraseFile}; keep them on different media)`);
    for (const one of all) console.log(`  epoch ${String(one.epoch)}  commitment ${one.commitment}`);
  }
}

try {
  main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}

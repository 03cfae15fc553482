import { copyFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import type { KeyObject } from "node:crypto";
import { dirname, join } from "node:path";

import { k3Prk, objectKey } from "../../offchain/signer/vault/k3";
import type { VaultUnlock } from "../../offchain/signer/vault/keys/unlock";
import type { VaultContents } from "../../offchain/signer/vault/keys/vault-contents";
import { openContents } from "../../offchain/signer/vault/sealed-file";
import { Secret } from "../../offchain/wire/secret";
import type { World } from "../drills/world";
import type { Secrets } from "./secret-forms";

/** What the vault writes beside its sealed file, all of it sealed. */
export const VAULT_FILES = [
  ...["vault.sealed", "vault.sealed.seq"],
  ...["agent-keys/state.sealed", "agent-keys/state.sealed.seq"],
] as const;

/** Copies what lies on the disk of a stack's vault, but for what opens it. */
export function copyVaultFiles(stackDir: string, to: string): void {
  for (const name of VAULT_FILES) {
    const from = join(stackDir, "vault", name);
    if (!existsSync(from)) continue;
    mkdirSync(dirname(join(to, name)), { recursive: true, mode: 0o700 });
    copyFileSync(from, join(to, name));
  }
}

/** What a stack's vault must keep to itself, read with its own passphrase, as nobody else can. */
export function vaultSecrets(world: World): Secrets {
  const folder = join(world.stack.dir, "vault");
  const unlock = new Secret(readFileSync(join(folder, "passphrase")));
  const { omni, actor } = world.party;
  const name = { operatorOmni: omni, actorOmni: actor, dataClass: "credentials", service: world.service } as const;
  const found: Record<string, Uint8Array> = { passphrase: unlock.reveal() };
  for (const [epoch, k3] of open(join(folder, "vault.sealed"), unlock).epochs) {
    found[`object key of epoch ${String(epoch)}`] = objectKey(k3.reveal(), name);
  }
  return { ...found, ...sealedSecrets(join(folder, "vault.sealed"), unlock) };
}

/** Every secret in a sealed file. */
export function sealedSecrets(file: string, unlock: VaultUnlock): Secrets {
  const contents = open(file, unlock);
  const found: Record<string, Uint8Array> = {
    "agent seed": contents.agentSeed.reveal(),
    "state key": contents.stateKey.reveal(),
    K2: scalarOf(contents.signing.sts),
    "key of audit rows": scalarOf(contents.signing.audit),
  };
  for (const [epoch, k3] of contents.epochs) {
    found[`K3 of epoch ${String(epoch)}`] = k3.reveal();
    found[`PRK of epoch ${String(epoch)}`] = k3Prk(k3.reveal());
  }
  for (const { kid, key } of contents.tokenSecrets) found[`token secret ${kid}`] = key.reveal();
  return found;
}

function open(file: string, unlock: VaultUnlock): VaultContents {
  const contents = openContents(file, unlock);
  if (contents === undefined) throw new Error("the vault's file has an old format");
  return contents;
}

function scalarOf(key: Secret<KeyObject>): Buffer {
  return Buffer.from(key.reveal().export({ format: "jwk" }).d ?? "", "base64url");
}

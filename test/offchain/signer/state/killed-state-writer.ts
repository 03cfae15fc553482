// Creates and revokes agent keys until it is killed: `folder keyHex owner-omni owner-account`. Says each keyId once its
// creation was acknowledged, and `-keyId` once its revocation was.
import { writeSync } from "node:fs";

import { openVaultState } from "../../../../offchain/signer/vault/state/open-state";
import type { KeyOwner } from "../../../../offchain/signer/vault/state/vault-state";
import { Secret } from "../../../../offchain/wire/secret";
import { anyRecord } from "../../../helpers/agent-key-record";

const [dir = "", key = "", operatorOmni, account] = process.argv.slice(2);
const owner = { operatorOmni, account } as KeyOwner;

async function write(): Promise<never> {
  let bound: string | undefined;
  const anchor = {
    id: () => bound,
    bind: (id: string) => {
      bound = id;
      return Promise.resolve();
    },
  };
  const state = await openVaultState({ dir, key: new Secret(Buffer.from(key, "hex")), anchor });
  writeSync(1, "ready\n");
  for (;;) {
    const made = await Promise.all(
      Array.from({ length: 5 }, () => state.create(owner, (index) => anyRecord(owner, index))),
    );
    for (const { keyId } of made) writeSync(1, `${keyId}\n`);
    const first = made[0]?.keyId ?? "";
    await state.update(first, (now) => ({ ...now, epoch: now.epoch + 1, revokedAt: 1_800_000_000 }));
    writeSync(1, `-${first}\n`);
  }
}

void write();

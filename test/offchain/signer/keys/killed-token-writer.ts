// Prepares epochs and rotates token secrets in a token until it is killed: `module label writerDir`. Says each epoch
// that was acknowledged, with its commitment.
import { writeSync } from "node:fs";

import { serviceLog } from "../../../../offchain/http/log";
import { openPkcs11 } from "../../../../offchain/signer/vault/keys/pkcs11/keys";
import { Secret } from "../../../../offchain/wire/secret";
import { PIN } from "../../../helpers/softhsm";

const [module = "", label = "", writerDir = ""] = process.argv.slice(2);

async function write(): Promise<never> {
  const now = (): number => 1_800_000_000;
  const pin = new Secret(PIN);
  const keys = await openPkcs11({ module, label, pin, writerDir, now, log: serviceLog("test", "silent") });
  writeSync(1, "ready\n");
  for (;;) {
    const { epoch, commitment } = await keys.prepareEpoch();
    writeSync(1, `${String(epoch)} ${commitment}\n`);
    await keys.noteExpiry(keys.tokenSecrets().at(-1)?.kid ?? "", now() + 1);
    await keys.rotateTokenSecret(now(), false);
  }
}

void write();

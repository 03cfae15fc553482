// Draws the next epoch into a vault file and ends by SIGKILL at a given call of the file system: `file passphrase at`.
// `at` counts calls from 0; a negative one counts none. Says each epoch that was acknowledged.
import nodeFs from "node:fs";

import { prepareEpoch } from "../../../offchain/signer/vault/epochs";
import { Secret } from "../../../offchain/wire/secret";

type Call = (...args: unknown[]) => unknown;

const CALLS = ["openSync", "writeFileSync", "fsyncSync", "closeSync", "renameSync", "rmSync", "linkSync"] as const;

const [file = "", passphrase = "", at = "-1"] = process.argv.slice(2);
const fs = nodeFs as unknown as Record<string, Call>;
let calls = 0;

for (const name of CALLS) {
  const real = fs[name];
  if (real === undefined) throw new Error(name);
  fs[name] = (...args) => {
    if (calls === Number(at)) {
      // a write that the crash cut in two
      if (name === "writeFileSync") real(args[0], Buffer.from(args[1] as Buffer).subarray(0, 40));
      process.kill(process.pid, "SIGKILL");
    }
    calls += 1;
    return real(...args);
  };
}

const isNew = !nodeFs.existsSync(file);
nodeFs.writeSync(1, "ready\n");
do {
  const { epoch } = prepareEpoch(file, new Secret(Buffer.from(passphrase)), isNew && calls === 0);
  nodeFs.writeSync(1, `${String(epoch)} ${String(calls)}\n`);
} while (Number(at) === -2);

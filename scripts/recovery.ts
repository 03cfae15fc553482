import { UsageError } from "./lib/networks";
import { OPERATOR_OPTIONS, OPERATOR_USAGE } from "./lib/operator-program";
import { type Values, type Voice, runProgram, texts } from "./lib/program";
import { cancelByPasskey, cancelChange, configure, removePasskey } from "./lib/recovery-account";
import { cancelRecovery, finish, showStatus, start, withdrawChange } from "./lib/recovery-acts";
import { consent, showTypedData } from "./lib/recovery-consent";
import { makeRequest, showGuardian } from "./lib/recovery-guardians";
import { RECOVERY_OPTIONS } from "./lib/recovery-options";

const USAGE = `npm run recovery -- ACT [options]

Guardians give a master account back to its owner: enough of them replace all of its passkeys, after a delay in which a
live passkey may object once.

The account, by any of its passkeys:
  configure           guardians: --guardian 0x… (more than once) --threshold M [--delay 48h], or --off. At once while the
                      account has none; otherwise announced, and put into force by the same with --execute
  remove-passkey      ends one: --credential HASH; announced, and done by the same with --execute
  cancel-change       withdraws an announced change: --change HASH
  cancel              stops a pending recovery; once in 30 days

Guardians, and whoever has what they signed:
  guardian            shows the passkey of --state as a guardian: --software or --browser makes it
  request             writes what guardians are to sign: --account --for start|cancel|cancel-change --out FILE; a start
                      makes the new passkey in --state (--software or --browser); a change is named by --change
  typed-data          shows a request's EIP-712 typed data, for a wallet: --request FILE
  consent             signs a request, without a chain: --request FILE --out FILE and --key-file, or the passkey of
                      --state, or --guardian with the --signature that its wallet made
  start               --account --consent FILE (one for each guardian)
  cancel              --account --consent FILE …, at any time until the finish
  cancel-change       --account --consent FILE …
  finish              --account; then, with the new passkey in --state, one operation that ends the operator's devices and
                      auditors and lifts a freeze; [--from-block N] of the deployment, where an RPC lists events slowly
  status              --account

  --collect SPAN      time for the guardians to sign a start, up to 7d; by default 24h. It comes on top of the delay${OPERATOR_USAGE}`;

type Act = (values: Values, voice: Voice) => Promise<void>;

/** By guardians where there are consents, otherwise by the account. */
const either =
  (account: Act, guardians: Act): Act =>
  (values, voice) =>
    (texts(values, "consent").length > 0 ? guardians : account)(values, voice);

const ACTS: Readonly<Record<string, Act>> = {
  status: showStatus,
  configure,
  "remove-passkey": removePasskey,
  "cancel-change": either(cancelChange, withdrawChange),
  cancel: either(cancelByPasskey, cancelRecovery),
  guardian: showGuardian,
  request: makeRequest,
  "typed-data": showTypedData,
  consent,
  start,
  finish,
};

const [act = "", ...argv] = process.argv.slice(2);

void runProgram({
  usage: USAGE,
  options: { ...OPERATOR_OPTIONS, ...RECOVERY_OPTIONS },
  argv: act.startsWith("-") ? [act, ...argv] : argv,
  run(values, voice) {
    const chosen = ACTS[act];
    if (chosen === undefined) throw new UsageError(`the act is one of ${Object.keys(ACTS).join(", ")}`);
    return chosen(values, voice);
  },
});

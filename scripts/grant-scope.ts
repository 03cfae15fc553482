import { NO_END, isLabel } from "../offchain/wire/names";
import { GRANT_OPTIONS, GRANT_USAGE, grantOf } from "./lib/grant-options";
import { UsageError } from "./lib/networks";
import { OPERATOR_OPTIONS, OPERATOR_USAGE, withOperator } from "./lib/operator-program";
import { orRefuse, required, runProgram } from "./lib/program";

const USAGE = `npm run grant-scope -- --label NAME --service NAME [options]

Lets one of your agents use a service. A grant that stands already with the same operations and end is left alone; one
with others is replaced.

  --label NAME        the agent
${GRANT_USAGE}${OPERATOR_USAGE}`;

void runProgram({
  usage: USAGE,
  options: { ...OPERATOR_OPTIONS, ...GRANT_OPTIONS, label: { type: "string" } },
  argv: process.argv.slice(2),
  async run(values, voice) {
    const label = required(values, "label");
    if (!isLabel(label)) throw new UsageError("--label is 1 to 32 of a-z, 0-9 and -");
    const grant = grantOf(values, Math.floor(Date.now() / 1_000));
    const end =
      grant.validUntil === NO_END ? "without end" : `until ${new Date(grant.validUntil * 1_000).toISOString()}`;
    await withOperator(values, voice, async ({ operator }) => {
      voice.say(`Agent ${label}: ${grant.ops.join(", ")} of ${grant.dataClass}/${grant.service}, ${end}.`);
      const done = orRefuse(await operator.grantScope(label, [grant]));
      voice.finish({ ok: true, label, ...grant, ...done }, [
        done.changed ? "Granted." : "It is granted already; nothing was sent.",
      ]);
    });
  },
});

import { actorOmni, isLabel } from "../offchain/wire/names";
import { UsageError } from "./lib/networks";
import { OPERATOR_OPTIONS, OPERATOR_USAGE, withOperator } from "./lib/operator-program";
import { orRefuse, runProgram, text } from "./lib/program";
import { keyOf } from "./lib/session-options";

const USAGE = `npm run revoke-session -- --key ADDRESS | --label NAME | --all [options]

Ends what agents may sign: the session of one key, every session of an agent, or every session of the account together
with the grants that were signed and not yet used. A key whose session has ended is left alone.

  --key ADDRESS       the key
  --label NAME        the agent
  --all               every agent
${OPERATOR_USAGE}`;

void runProgram({
  usage: USAGE,
  options: { ...OPERATOR_OPTIONS, key: { type: "string" }, label: { type: "string" }, all: { type: "boolean" } },
  argv: process.argv.slice(2),
  async run(values, voice) {
    const [key, label] = [text(values, "key"), text(values, "label")];
    const isAll = values["all"] === true;
    if ([key !== undefined, label !== undefined, isAll].filter(Boolean).length !== 1) {
      throw new UsageError("one of --key, --label and --all says whose session ends");
    }
    if (label !== undefined && !isLabel(label)) throw new UsageError("--label is 1 to 32 of a-z, 0-9 and -");
    const one = key === undefined ? undefined : keyOf(key);
    await withOperator(values, voice, async ({ operator }) => {
      if (one !== undefined) {
        const done = orRefuse(await operator.revokeSession(one));
        voice.finish({ ok: true, ...done }, [done.changed ? "Ended." : "It has no live session; nothing was sent."]);
        return;
      }
      const { operatorOmni } = orRefuse(await operator.identity());
      const of = label === undefined ? "all" : actorOmni(operatorOmni, label);
      const done = orRefuse(await operator.revokeSessions(of));
      voice.finish({ ok: true, ...done }, ["Ended."]);
    });
  },
});

import { actorOmni, isLabel } from "../offchain/wire/names";
import { UsageError } from "./lib/networks";
import { OPERATOR_OPTIONS, OPERATOR_USAGE, withOperator } from "./lib/operator-program";
import { orRefuse, required, runProgram } from "./lib/program";
import { SESSION_OPTIONS, SESSION_USAGE, sessionOf } from "./lib/session-options";

const USAGE = `npm run grant-session -- --label NAME --key ADDRESS --rules FILE [options]

Lets an agent's key sign user operations of your account: those that the rules name, inside of their limits, and no
others. The key's earlier session ends with it, and what that one had used up counts no more.

  --label NAME        the agent
${SESSION_USAGE}
${OPERATOR_USAGE}`;

void runProgram({
  usage: USAGE,
  options: { ...OPERATOR_OPTIONS, ...SESSION_OPTIONS, label: { type: "string" } },
  argv: process.argv.slice(2),
  async run(values, voice) {
    const label = required(values, "label");
    if (!isLabel(label)) throw new UsageError("--label is 1 to 32 of a-z, 0-9 and -");
    // said before a passkey is opened; the actor comes with the operator
    const wish = await sessionOf(values, `0x${"00".repeat(32)}`, Math.floor(Date.now() / 1_000));
    await withOperator(values, voice, async ({ operator }) => {
      const { operatorOmni } = orRefuse(await operator.identity());
      const session = { ...wish, actorOmni: actorOmni(operatorOmni, label) };
      const until = new Date(session.validUntil * 1_000).toISOString();
      voice.say(`Agent ${label}, key ${session.key}: ${session.rules.length} rules until ${until}.`);
      for (const { target, selector, valueTotal } of session.rules) {
        voice.say(`  ${target} ${selector}, ${valueTotal} wei in all`);
      }
      const done = orRefuse(await operator.grantSession(session, label));
      const { validUntil } = session;
      voice.finish({ ok: true, label, actorOmni: session.actorOmni, validUntil, ...done }, ["Granted."]);
    });
  },
});

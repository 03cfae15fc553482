import { OPERATOR_OPTIONS, OPERATOR_USAGE, withOperator } from "./lib/operator-program";
import { orRefuse, runProgram } from "./lib/program";

const USAGE = `npm run register-master -- (--browser | --software) [options]

Makes your master account with a passkey and registers you as an operator, in one user operation: one tap to make the
passkey, one tap to sign. Run again, it finds both and does nothing.

  --browser           a passkey in your browser, on a page at http://localhost that this program opens
  --software          a passkey in a file, for development; refused on production chains${OPERATOR_USAGE}`;

void runProgram({
  usage: USAGE,
  options: OPERATOR_OPTIONS,
  argv: process.argv.slice(2),
  run: (values, voice) =>
    withOperator(
      values,
      voice,
      async ({ operator, place }) => {
        const before = orRefuse(await operator.identity());
        voice.say(`Master account ${before.account} on chain ${place.deployment.chainId}.`);
        voice.say(
          before.isRegistered
            ? "It is registered already; nothing is sent."
            : "One user operation deploys it and calls SidecarRegistry.registerOperator().",
        );
        const done = orRefuse(await operator.registerMaster());
        voice.finish({ ok: true, ...done }, [`Operator ${done.operatorOmni}.`]);
      },
      true,
    ),
});

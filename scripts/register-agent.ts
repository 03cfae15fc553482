import { join } from "node:path";

import { deviceKeyAt } from "../offchain/client/device-key-file";
import { isLabel } from "../offchain/wire/names";
import { keccakReady } from "../offchain/wire/keccak";
import { GRANT_OPTIONS, GRANT_USAGE, grantOf } from "./lib/grant-options";
import { UsageError } from "./lib/networks";
import { OPERATOR_OPTIONS, OPERATOR_USAGE, withOperator } from "./lib/operator-program";
import { orRefuse, required, runProgram, text } from "./lib/program";

const USAGE = `npm run register-agent -- --label NAME [options]

Registers a device key (K10) for one of your agents, and, with --service, grants it its first scope in the same tap.

  --label NAME        the agent, 1 to 32 of a-z, 0-9 and -
  --device-key FILE   by default agents/<label>.key in the state folder; made there (0600) when it is missing
${GRANT_USAGE}${OPERATOR_USAGE}`;

void runProgram({
  usage: USAGE,
  options: { ...OPERATOR_OPTIONS, ...GRANT_OPTIONS, label: { type: "string" }, "device-key": { type: "string" } },
  argv: process.argv.slice(2),
  async run(values, voice) {
    const label = required(values, "label");
    if (!isLabel(label)) throw new UsageError("--label is 1 to 32 of a-z, 0-9 and -");
    const now = Math.floor(Date.now() / 1_000);
    const grants = text(values, "service") === undefined ? [] : [grantOf(values, now)];
    await withOperator(values, voice, async ({ operator, place }) => {
      await keccakReady();
      const file = text(values, "device-key") ?? join(place.stateDir, "agents", `${label}.key`);
      const device = await deviceKeyAt(file);
      voice.say(`Agent ${label}, device ${device.address} (${file}).`);
      const done = orRefuse(await operator.registerAgent({ label, device, grants }));
      voice.finish({ ok: true, label, ...done, file }, [
        done.changed ? "Registered." : "It is registered already; nothing was sent.",
        `Actor ${done.actorOmni}, device key hash ${done.deviceKeyHash}.`,
      ]);
    });
  },
});

import { join } from "node:path";

import { deviceKeyAt } from "../offchain/client/device-key-file";
import { keccakReady } from "../offchain/wire/keccak";
import { OPERATOR_OPTIONS, OPERATOR_USAGE, withOperator } from "./lib/operator-program";
import { orRefuse, runProgram, text } from "./lib/program";

const USAGE = `npm run register-master-k10 -- [--recovery] [options]

Registers this machine's device key (K10) as your own device, so that it may ask for caps in your name, for example to
store credentials for your agents. It can be revoked at any time, also when it is your only device.

  --recovery          the device may also freeze you (role RECOVERY)
  --device-key FILE   by default k10.key in the state folder; made there (0600) when it is missing${OPERATOR_USAGE}`;

void runProgram({
  usage: USAGE,
  options: { ...OPERATOR_OPTIONS, recovery: { type: "boolean" }, "device-key": { type: "string" } },
  argv: process.argv.slice(2),
  run: (values, voice) =>
    withOperator(values, voice, async ({ operator, place }) => {
      await keccakReady();
      const file = text(values, "device-key") ?? join(place.stateDir, "k10.key");
      const recovery = values["recovery"] === true;
      const device = await deviceKeyAt(file);
      voice.say(`Device ${device.address} (${file}), roles CAP_MINT${recovery ? " and RECOVERY" : ""}.`);
      const done = orRefuse(await operator.registerMasterDevice(device, { recovery }));
      voice.finish({ ok: true, ...done, file }, [
        done.changed ? "Registered." : "It is registered already; nothing was sent.",
        `Device key hash ${done.deviceKeyHash}.`,
      ]);
    }),
});

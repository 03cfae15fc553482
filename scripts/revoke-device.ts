import { isBytes32 } from "../offchain/wire/bytes";
import { UsageError } from "./lib/networks";
import { OPERATOR_OPTIONS, OPERATOR_USAGE, withOperator } from "./lib/operator-program";
import { orRefuse, runProgram, text } from "./lib/program";

const USAGE = `npm run revoke-device -- (--hash HEX | --actor HEX) [options]

Ends a device, or every device, every grant and every session of an agent, with the next block; also while you are
frozen, also your only device.

  --hash HEX          device key hash of the one device
  --actor HEX         omni of the agent${OPERATOR_USAGE}`;

void runProgram({
  usage: USAGE,
  options: { ...OPERATOR_OPTIONS, hash: { type: "string" }, actor: { type: "string" } },
  argv: process.argv.slice(2),
  async run(values, voice) {
    const hash = text(values, "hash")?.toLowerCase();
    const actor = text(values, "actor")?.toLowerCase();
    const target = hash ?? actor;
    if ((hash === undefined) === (actor === undefined)) throw new UsageError("give --hash or --actor, one of them");
    if (!isBytes32(target)) throw new UsageError("--hash and --actor are 0x and 64 hex digits");
    await withOperator(values, voice, async ({ operator }) => {
      voice.say(hash === undefined ? `Everything of agent ${target} ends.` : `Device ${target} ends.`);
      const done =
        hash === undefined
          ? orRefuse(await operator.revokeActor(target))
          : orRefuse(await operator.revokeDevice(target));
      voice.finish({ ok: true, ...done }, [done.changed ? "Revoked." : "It was revoked already; nothing was sent."]);
    });
  },
});

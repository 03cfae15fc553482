import { join, resolve } from "node:path";

import { PUBLISHED_BEFORE_SECONDS, RETIRED_SECONDS, rotateKey } from "../offchain/broker/keys";
import { UsageError } from "./lib/networks";
import { Refused, required, runProgram, text } from "./lib/program";

const MAX_PUBLISHED_SECONDS = 30 * 86_400;

const USAGE = `npm run broker:rotate-key -- --state-dir DIR [options]

Draws the broker's next cap-signing key (K1) into its folder. A running broker publishes it within seconds, signs with it
${PUBLISHED_BEFORE_SECONDS} s later, and withdraws the one before ${RETIRED_SECONDS} s after that, when no cap that it signed can live. Nothing is restarted.
Run again while the new key waits, it only says so; run while the old one still answers for its caps, it refuses.

  --state-dir DIR     the broker's BROKER_STATE_DIR
  --publish SECONDS   how long it is published before it signs; ${PUBLISHED_BEFORE_SECONDS} at least and by default. Give more where
                      somebody carries jwks.json to a vault on another machine by hand
  --json              one line of JSON instead of sentences`;

const at = (seconds: number): string => new Date(seconds * 1_000).toISOString();

function publishedFor(value: string | undefined): number {
  if (value === undefined) return PUBLISHED_BEFORE_SECONDS;
  const seconds = /^[0-9]{1,7}$/.test(value) ? Number(value) : 0;
  if (seconds >= PUBLISHED_BEFORE_SECONDS && seconds <= MAX_PUBLISHED_SECONDS) return seconds;
  throw new UsageError(`--publish is ${PUBLISHED_BEFORE_SECONDS} to ${MAX_PUBLISHED_SECONDS} seconds`);
}

void runProgram({
  usage: USAGE,
  options: { "state-dir": { type: "string" }, publish: { type: "string" } },
  argv: process.argv.slice(2),
  run(values, voice) {
    const dir = join(resolve(required(values, "state-dir")), "keys");
    const seconds = publishedFor(text(values, "publish"));
    voice.say(`The next key goes into ${dir}; a running broker takes it up by itself.`);
    const done = rotateKey(dir, Math.floor(Date.now() / 1_000), seconds);
    if (done.outcome === "no key") {
      throw new UsageError(
        `${dir} holds no key yet: is this BROKER_STATE_DIR? A broker makes its first key by itself.`,
      );
    }
    if (done.outcome === "not over") {
      throw new Refused(
        "rotation_not_over",
        `The key before still answers for caps that it signed, and two live at most. Try again after ${at(done.overAt)}.`,
      );
    }
    if (done.outcome === "not taken up") {
      throw new Refused(
        "rotation_not_taken_up",
        "The rotation before is over, but the broker has not removed the old key. It does so within seconds where it runs.",
      );
    }
    const { kid, signsFrom } = done;
    const made = done.outcome === "made";
    const withdrawnAt = signsFrom + RETIRED_SECONDS;
    voice.finish({ ok: true, made, kid, signsFrom, withdrawnAt }, [
      made ? `Key ${kid} was made.` : `Key ${kid} is waiting already; nothing was made.`,
      `It signs from ${at(signsFrom)}; the one before is withdrawn at ${at(withdrawnAt)}.`,
      "A broker that is not running publishes it when it starts, and signs with it that much later.",
    ]);
    return Promise.resolve();
  },
});

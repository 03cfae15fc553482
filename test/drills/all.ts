import { d01 } from "./d01-mint-without-device";
import { d02 } from "./d02-change-a-field";
import { d03 } from "./d03-broker-redeems";
import { d04 } from "./d04-replay";
import { d05 } from "./d05-victims-actor";
import { d06 } from "./d06-victims-key";
import { d07 } from "./d07-worker-keys";
import { d08 } from "./d08-false-answers";
import { d09 } from "./d09-stores";
import { d10 } from "./d10-stolen-bearer";
import { d11 } from "./d11-signers-front";
import { d14 } from "./d14-ended-authority";
import { d15 } from "./d15-chain-rpc";
import { d17 } from "./d17-session-key";
import { d18 } from "./d18-ceremonies";
import { d19 } from "./d19-stolen-passkey";
import type { Drill } from "./drill";

/** In the order that they run: those that move the chain's clock and its epoch come last. */
export const DRILLS: readonly Drill[] = [
  d01,
  d02,
  d03,
  d04,
  d05,
  d06,
  d07,
  d08,
  d09,
  d10,
  d11,
  d17,
  d18,
  d19,
  d15,
  d14,
];

import { randomBytes } from "node:crypto";

import { toHex } from "../../offchain/wire/bytes";
import { countersign, signCap, testDevice } from "../helpers/words";
import type { Drill } from "./drill";

/** D1: the broker's thief mints caps for a registered device that never signed them. */
export const d01: Drill = {
  id: "D1",
  title: "broker mints a cap for a registered device without its signature",
  async run(world, log) {
    const broker = await world.stolenBroker();
    const stranger = testDevice();
    for (const op of ["fetch", "store", "teardown", "rotate"] as const) {
      const request = world.cap({ op, ...(op === "store" ? { contentHash: toHex(randomBytes(32)) } : {}) });
      const honest = signCap(world.separator, world.agentDevice, request);
      const forgeries = {
        "no signature": undefined,
        "random signature": toHex(randomBytes(65)),
        "the thief's own signature": signCap(world.separator, stranger, request),
        "the signature of another cap": signCap(world.separator, world.agentDevice, world.cap({ op })),
        "64-byte form": honest.slice(0, 130),
        "upper half of s": highS(honest),
      };
      for (const [name, forged] of Object.entries(forgeries)) {
        const cap = countersign(broker, request, forged as never);
        const redeemed = await world.redeem(world.agentDevice, op, cap);
        log.refused("worker", `${op}: ${name}`, redeemed, "cap_pop_invalid");
        const keys = await world.askVault(world.agentDevice, op, cap);
        log.refused("signer", `${op}: ${name}`, keys, "cap_pop_invalid");
      }
    }
    await world.storeHonestly(log);
    await world.fetchHonestly(log);
  },
};

/** The malleable twin of a signature: n − s, v flipped. */
function highS(signature: string): string {
  const n = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;
  const s = n - BigInt(`0x${signature.slice(66, 130)}`);
  const v = signature.slice(130) === "1b" ? "1c" : "1b";
  return signature.slice(0, 66) + s.toString(16).padStart(64, "0") + v;
}

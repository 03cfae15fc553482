import { testDevice } from "../helpers/words";
import type { Drill } from "./drill";

/** D3: the broker redeems a cap that it has just legitimately minted, with its real keys and everything it saw. */
export const d03: Drill = {
  id: "D3",
  title: "broker redeems, itself, a cap that it has just minted",
  async run(world, log) {
    const { cap, mintProofs } = await world.mint("fetch");
    const thief = testDevice();
    const bodies = { "no proof": undefined, "own key": thief } as const;
    const none = await world.redeemRaw("fetch", cap, undefined);
    log.refused("worker", "no proof", none, "proof_invalid", "missing");
    const own = await world.redeem(bodies["own key"], "fetch", cap);
    log.refused("worker", "a proof by its own key", own, "proof_invalid", "mismatch");
    const named = await world.redeem(thief, "fetch", cap, { claims: world.agentDevice.hash });
    log.refused("worker", "its own key in the device's name", named, "proof_invalid", "forged");
    for (const seen of mintProofs) {
      const answer = await world.redeemRaw("fetch", cap, seen);
      log.refused("worker", "what the device once sent elsewhere", answer, "proof_invalid");
    }
    const vault = await world.askVault(thief, "fetch", cap, { claims: world.agentDevice.hash });
    log.refused("signer", "its own key in the device's name", vault, "proof_invalid", "forged");
    await world.fetchHonestly(log);
  },
};

import { actorOmni, operatorOmni } from "../../offchain/wire/names";
import { SidecarRegistry__factory } from "../../typechain-types";
import { testDevice } from "../helpers/words";
import type { Drill } from "./drill";

const ZERO = `0x${"00".repeat(32)}` as const;

/** D6: another operator registers a victim's K10 before its owner does. */
export const d06: Drill = {
  id: "D6",
  title: "another operator registers a victim's K10 first",
  async run(world, log) {
    const thiefWallet = await world.newWallet();
    const ownerWallet = await world.newWallet();
    const at = world.stack.contracts.SidecarRegistry;
    const thief = SidecarRegistry__factory.connect(at, thiefWallet);
    const owner = SidecarRegistry__factory.connect(at, ownerWallet);
    await (await thief.registerOperator()).wait();
    await (await owner.registerOperator()).wait();
    const [thiefOmni, ownerOmni] = [operatorOmni(thiefWallet.address), operatorOmni(ownerWallet.address)];
    const victim = testDevice();
    const deadline = await world.deadline();
    const label = "laptop";
    // everything the thief can have: the owner's signature from the mempool, its own, one for other roles or another chain
    const seen = world.binding(victim, ownerOmni, actorOmni(ownerOmni, label), 1, deadline);
    const own = world.binding(testDevice(), thiefOmni, actorOmni(thiefOmni, label), 1, deadline);
    const asMaster = world.binding(victim, ownerOmni, ownerOmni, 7, deadline);
    for (const [name, sig] of Object.entries({
      "the owner's signature, front-run": seen,
      "its own": own,
      "a master binding": asMaster,
    })) {
      const agent = thief.registerAgentDevice.staticCall(label, victim.address, ZERO, deadline, sig);
      log.refusedBy("SidecarRegistry", `agent: ${name}`, await world.revertName(thief, agent), "SignerMismatch");
      const master = thief.registerMasterDevice.staticCall(victim.address, 7, ZERO, ZERO, deadline, sig);
      log.refusedBy("SidecarRegistry", `master: ${name}`, await world.revertName(thief, master), "SignerMismatch");
    }
    await (await owner.registerAgentDevice(label, victim.address, ZERO, deadline, seen)).wait();
    log.honest("the owner registers it", await owner.isActive(victim.hash));
    const late = world.binding(victim, thiefOmni, actorOmni(thiefOmni, label), 1, deadline);
    const again = thief.registerAgentDevice.staticCall(label, victim.address, ZERO, deadline, late);
    log.refusedBy(
      "SidecarRegistry",
      "a K10 serves one operator for ever",
      await world.revertName(thief, again),
      "DeviceAlreadyRegistered",
    );
  },
};

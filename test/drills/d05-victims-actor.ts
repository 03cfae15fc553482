import { randomBytes } from "node:crypto";

import { toHex } from "../../offchain/wire/bytes";
import { actorOmni, serviceHash } from "../../offchain/wire/names";
import { ScopeRegistry__factory, SidecarRegistry__factory } from "../../typechain-types";
import { countersign, signCap, testDevice, mintBody } from "../helpers/words";
import type { Drill } from "./drill";

const ZERO = `0x${"00".repeat(32)}` as const;

/** D5: another operator registers a device under a victim's actor, grants itself that actor, uses `parent` on it. */
export const d05: Drill = {
  id: "D5",
  title: "another operator takes a victim's actor",
  async run(world, log) {
    const victim = world.party;
    const thief = await world.newParty("agent-a");
    const registry = SidecarRegistry__factory.connect(world.stack.contracts.SidecarRegistry, thief.wallet);
    const scopes = ScopeRegistry__factory.connect(world.stack.contracts.ScopeRegistry, thief.wallet);
    const device = testDevice();
    const deadline = await world.deadline();

    // the same label gives the thief's own actor; a signature made for the victim's actor fits nothing
    const own = actorOmni(thief.omni, "agent-a");
    log.honest("the same label is another actor", own === thief.actor && own !== victim.actor);
    const forVictim = world.binding(device, thief.omni, victim.actor, 1, deadline);
    const register = registry.registerAgentDevice.staticCall("agent-a", device.address, ZERO, deadline, forVictim);
    log.refusedBy(
      "SidecarRegistry",
      "register under the victim's actor",
      await world.revertName(registry, register),
      "SignerMismatch",
    );
    const grants = [{ dataClass: 1, serviceHash: serviceHash(world.service), ops: 7, validUntil: 2n ** 40n - 1n }];
    const grant = scopes.setGrants.staticCall(victim.actor, grants);
    log.refusedBy(
      "ScopeRegistry",
      "grant itself the victim's actor",
      await world.revertName(scopes, grant),
      "ActorNotOfOperator",
    );
    for (const call of ["revokeAll"] as const) {
      log.refusedBy(
        "ScopeRegistry",
        call,
        await world.revertName(scopes, scopes[call].staticCall(victim.actor)),
        "ActorNotOfOperator",
      );
    }
    log.refusedBy(
      "SidecarRegistry",
      "revokeActor",
      await world.revertName(registry, registry.revokeActor.staticCall(victim.actor)),
      "ActorNotOfOperator",
    );

    const broker = await world.stolenBroker();
    for (const [name, by] of [
      ["its agent's device", thief.agentDevice],
      ["its master device (parent)", thief.masterDevice],
    ] as const) {
      for (const op of ["fetch", "store"] as const) {
        for (const operatorOmni of [thief.omni, victim.omni]) {
          const contentHash = op === "store" ? toHex(randomBytes(32)) : ZERO;
          const request = { ...world.cap({ op, operatorOmni, contentHash }), deviceKeyHash: by.hash };
          const attack = `${op} the victim's actor with ${name}`;
          const minted = await world.mintRaw(op, mintBody(world.separator, by, request));
          log.refused("broker", attack, minted, "device_binding_mismatch");
          const cap = countersign(broker, request, signCap(world.separator, by, request));
          log.refused("worker", attack, await world.redeem(by, op, cap), "device_binding_mismatch");
          log.refused("signer", attack, await world.askVault(by, op, cap), "device_binding_mismatch");
        }
      }
    }
    // the honest twin: the victim's own master device is its agent's parent: it may store, and never fetch
    const stored = await world.store("sk-from-parent", {}, victim.masterDevice);
    log.honest("parent stores", stored.version > 0);
    await world.fetchHonestly(log, "sk-from-parent");
    const request = { ...world.cap({ op: "fetch" }), deviceKeyHash: victim.masterDevice.hash };
    const peek = await world.mintRaw("fetch", mintBody(world.separator, victim.masterDevice, request));
    log.refused("broker", "parent fetches", peek, "device_binding_mismatch");
  },
};

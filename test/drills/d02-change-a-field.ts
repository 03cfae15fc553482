import { randomBytes } from "node:crypto";

import { toHex } from "../../offchain/wire/bytes";
import type { CapRequest } from "../../offchain/wire/cap-request";
import { domainSeparator } from "../../offchain/wire/eip712";
import { countersign, signCap, testDevice } from "../helpers/words";
import type { Drill } from "./drill";

const hash = (): `0x${string}` => toHex(randomBytes(32));

/** D2: the broker's thief changes one field of a cap that a device signed, each in turn. */
export const d02: Drill = {
  id: "D2",
  title: "broker changes any one field of a cap that a device signed",
  async run(world, log) {
    const broker = await world.stolenBroker();
    // shorter than it may be, so that no change makes it too long
    const honest = world.cap({ op: "fetch" });
    const signed = { ...honest, expiresAt: honest.issuedAt + 200 };
    const signature = signCap(world.separator, world.agentDevice, signed);
    const changes: { readonly [F in keyof CapRequest]: Partial<CapRequest> } = {
      operatorOmni: { operatorOmni: hash() },
      actorOmni: { actorOmni: hash() },
      deviceKeyHash: { deviceKeyHash: testDevice().hash },
      service: { service: `${signed.service}2` },
      op: { op: "store" },
      dataClass: { dataClass: "memory" },
      contentHash: { contentHash: hash() },
      k3Epoch: { k3Epoch: signed.k3Epoch + 1 },
      issuedAt: { issuedAt: signed.issuedAt - 1 },
      expiresAt: { expiresAt: signed.expiresAt - 1 },
      nonce: { nonce: hash() },
    };
    for (const [field, change] of Object.entries(changes)) {
      const request = { ...signed, ...change };
      // sent to the credentials worker's route for the op it now claims, with the audience of that worker
      const cap = countersign(broker, request, signature, "agentkeys:worker:credentials");
      const wanted = field === "dataClass" ? ["cap_data_class_mismatch", "cap_pop_invalid"] : "cap_pop_invalid";
      log.refused("worker", field, await world.redeem(world.agentDevice, request.op, cap), wanted);
      log.refused("signer", field, await world.askVault(world.agentDevice, request.op, cap), wanted);
    }
    const elsewhere = {
      chain: domainSeparator({ ...world.domain, chainId: 1 }),
      registry: domainSeparator({ ...world.domain, registry: `0x${"42".repeat(20)}` }),
    };
    for (const [field, separator] of Object.entries(elsewhere)) {
      const cap = countersign(broker, signed, signCap(separator, world.agentDevice, signed));
      log.refused("worker", field, await world.redeem(world.agentDevice, "fetch", cap), "cap_pop_invalid");
      log.refused("signer", field, await world.askVault(world.agentDevice, "fetch", cap), "cap_pop_invalid");
    }
    await world.fetchHonestly(log);
  },
};

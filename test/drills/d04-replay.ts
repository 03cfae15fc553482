import { randomBytes } from "node:crypto";

import { toHex } from "../../offchain/wire/bytes";
import { contentHash } from "../../offchain/wire/content-hash";
import { encodeStoreBody } from "../../offchain/wire/redeem";
import { makeProof, mintBody, nowSeconds } from "../helpers/words";
import type { Drill } from "./drill";

/**
 * D4: replays by anyone on the wire. That a store cap is good once also at second 299 is tested with a clock that can
 * be set, in test/offchain/worker.
 */
export const d04: Drill = {
  id: "D4",
  title: "replay a captured proof, elsewhere, after kill -9 and a restart, dated ahead; a store cap twice",
  async run(world, log) {
    const device = world.agentDevice;
    const target = world.target("fetch");
    const { cap, request } = await world.mint("fetch");
    const proof = makeProof(world.separator, device, { target, credential: cap, body: "{}" });
    const first = await world.redeemRaw("fetch", cap, proof.header);
    log.honest("the first use", first.status === 200, first.body.toString());
    const captured = (): ReturnType<typeof world.redeemRaw> => world.redeemRaw("fetch", cap, proof.header);
    log.refused("worker", "the same again", await captured(), "proof_invalid", "replayed");
    log.refused(
      "worker",
      "with another body",
      await world.redeemRaw("fetch", cap, proof.header, "{ }"),
      "proof_invalid",
      "forged",
    );
    const other = await world.mint("teardown");
    log.refused(
      "worker",
      "on another path",
      await world.redeemRaw("teardown", other.cap, proof.header),
      "proof_invalid",
      "forged",
    );
    for (const [name, issuedAt] of [
      ["ahead", nowSeconds() + 60],
      ["behind", nowSeconds() - 120],
    ] as const) {
      const dated = await world.redeem(device, "fetch", cap, { issuedAt });
      log.refused("worker", `dated ${name}`, dated, "proof_invalid", "stale");
      log.refused(
        "signer",
        `dated ${name}`,
        await world.askVault(device, "fetch", cap, { issuedAt }),
        "proof_invalid",
        "stale",
      );
    }
    const nonce = toHex(randomBytes(32));
    const asked = await world.askVault(device, "fetch", cap, { nonce });
    log.honest("the vault answers a fresh proof", asked.status === 200, asked.body.toString());
    log.refused(
      "signer",
      "the same nonce again",
      await world.askVault(device, "fetch", cap, { nonce }),
      "proof_invalid",
      "replayed",
    );
    const again = await world.mintRaw("fetch", mintBody(world.separator, device, request));
    log.refused("broker", "the same cap request again", again, "cap_already_used");

    const salt = toHex(randomBytes(32));
    const secret = Buffer.from("sk-once");
    const store = await world.mint("store", { contentHash: contentHash(salt, secret) });
    const body = encodeStoreBody(secret, salt);
    const stored = await world.redeem(device, "store", store.cap, { body });
    log.honest("a store cap once", stored.status === 200, stored.body.toString());
    log.refused(
      "worker",
      "a store cap twice",
      await world.redeem(device, "store", store.cap, { body }),
      "cap_already_used",
    );

    for (const name of ["worker", "signer", "broker"] as const) await world.stack.restart(name, "SIGKILL");
    log.refused("worker", "after kill -9", await captured(), "proof_invalid");
    log.refused(
      "worker",
      "a store cap after kill -9",
      await world.redeem(device, "store", store.cap, { body }),
      "cap_already_used",
    );
    log.refused(
      "signer",
      "the same nonce after kill -9",
      await world.askVault(device, "fetch", cap, { nonce }),
      "proof_invalid",
    );
    const reminted = await world.mintRaw("fetch", mintBody(world.separator, device, request));
    log.refused("broker", "the same cap request after kill -9", reminted, ["cap_already_used", "cap_pop_invalid"]);
    await world.fetchHonestly(log, "sk-once");
  },
};

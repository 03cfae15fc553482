import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";

import { fromBase64url, toBase64url, toHex } from "../../offchain/wire/bytes";
import { serviceHash } from "../../offchain/wire/names";
import { decryptObject, encryptObject, parseObject } from "../../offchain/wire/object";
import { ScopeRegistry__factory } from "../../typechain-types";
import { countersign, nonce, signCap, testDevice } from "../helpers/words";
import type { Drill } from "./drill";

/** D7: the credentials worker's thief holds its certificate, its stores, every request it saw and every key it was given. */
export const d07: Drill = {
  id: "D7",
  title: "worker gets, keeps or forges content keys that no device asked for",
  async run(world, log) {
    const device = world.agentDevice;
    await world.store("sk-first");
    const first = readFileSync(world.objectFile());

    // what an honest fetch exposes: the key of this one version, kept by the thief
    const { cap } = await world.mint("fetch");
    const proofNonce = nonce();
    const given = await world.askVault(device, "fetch", cap, { nonce: proofNonce });
    const kept = fromBase64url(given.json?.["content_key"]);
    const firstObject = parseObject(first);
    if (kept === undefined || firstObject === undefined) throw new Error(`D7: ${given.body.toString()}`);
    log.honest(
      "the key of the version that was asked for",
      decryptObject(firstObject, kept)?.toString() === "sk-first",
    );

    log.refused(
      "signer",
      "the same request again",
      await world.askVault(device, "fetch", cap, { nonce: proofNonce }),
      "proof_invalid",
      "replayed",
    );
    const thief = testDevice();
    log.refused(
      "signer",
      "a request of its own",
      await world.askVault(thief, "fetch", cap, { claims: device.hash }),
      "proof_invalid",
      "forged",
    );
    const broker = await world.stolenBroker();
    const own = { ...world.cap({ op: "fetch" }), deviceKeyHash: thief.hash };
    const unregistered = countersign(broker, own, signCap(world.separator, thief, own));
    log.refused(
      "signer",
      "with the broker's key and an unregistered device",
      await world.askVault(thief, "fetch", unregistered),
      "device_not_active",
    );

    // a teardown or store cap gives no key that reads
    const teardown = await world.mint("teardown");
    log.refused(
      "signer",
      "a key for a teardown cap",
      await world.askVault(device, "teardown", teardown.cap),
      "cap_op_mismatch",
    );
    const store = await world.mint("store", { contentHash: toHex(randomBytes(32)) });
    log.refused(
      "signer",
      "a store cap at the fetch path",
      await world.askVault(device, "fetch", store.cap),
      "cap_op_mismatch",
    );
    const drawn = await world.askVault(device, "store", store.cap, {}, { encrypted_key: firstObject.encryptedKey });
    const fresh = fromBase64url(drawn.json?.["content_key"]);
    if (fresh === undefined) throw new Error(`D7: ${drawn.body.toString()}`);
    log.honest(
      "a store is given a key that opens nothing stored",
      decryptObject(firstObject, fresh) === undefined && !fresh.equals(kept),
    );

    // the kept key opens no later version
    await world.store("sk-second");
    const second = parseObject(readFileSync(world.objectFile()));
    if (second === undefined) throw new Error("D7: no second version");
    log.refusedBy(
      "content key per version",
      "open the next version with a kept key",
      decryptObject(second, kept) === undefined ? "closed" : undefined,
      "closed",
    );

    // another object's wrapped key, under this object's cap
    const other = await world.newParty("agent-c");
    let foreign = { header: "", encrypted_key: "" };
    await world.as(other, async () => {
      await world.store("sk-of-another");
      const object = parseObject(readFileSync(world.objectFile()));
      foreign = { header: object?.headerText ?? "", encrypted_key: object?.encryptedKey ?? "" };
    });
    const mine = await world.mint("fetch");
    log.refused(
      "signer",
      "another actor's object under this cap",
      await world.askVault(device, "fetch", mine.cap, {}, foreign),
      "object_corrupt",
    );
    const mixed = { encrypted_key: foreign.encrypted_key };
    log.refused(
      "signer",
      "another actor's wrapped key in this header",
      await world.askVault(device, "fetch", mine.cap, {}, mixed),
      "object_corrupt",
    );
    const invented = { encrypted_key: toBase64url(randomBytes(72)) };
    log.refused(
      "signer",
      "a wrapped key of its own making",
      await world.askVault(device, "fetch", mine.cap, {}, invented),
      "object_corrupt",
    );

    // a device that may only store gets no key that reads, whatever the worker says
    const storer = await world.newParty("agent-d");
    await world.as(storer, async () => {
      await world.store("sk-write-only");
      const scopes = ScopeRegistry__factory.connect(world.stack.contracts.ScopeRegistry, storer.wallet);
      const grant = { dataClass: 1, serviceHash: serviceHash(world.service), ops: 1, validUntil: 2n ** 40n - 1n };
      await (await scopes.setGrants(storer.actor, [grant])).wait();
      await world.nextBlock();
      const request = world.cap({ op: "fetch" });
      const signed = countersign(broker, request, signCap(world.separator, storer.agentDevice, request));
      log.refused(
        "signer",
        "read with a store-only grant",
        await world.askVault(storer.agentDevice, "fetch", signed),
        "service_not_in_scope",
      );
    });

    // a version that the thief writes by itself, with the key it kept, has no device's signature over its content
    const forged = encryptObject(firstObject.headerText, firstObject.encryptedKey, kept, Buffer.from("sk-evil"));
    log.refusedBy("client", "a forged version", await world.readerRefuses(forged, kept), "object_corrupt");
    await world.fetchHonestly(log, "sk-second");
  },
};

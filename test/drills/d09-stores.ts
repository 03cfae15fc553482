import { copyFileSync, cpSync, readFileSync, rmSync, writeFileSync } from "node:fs";

import type { Drill } from "./drill";

/** D9: the object store's or the database's thief swaps, rolls back, truncates, resurrects, restores a backup. */
export const d09: Drill = {
  id: "D9",
  title: "object store or database swaps, rolls back, truncates, resurrects or restores",
  async run(world, log) {
    const service = world.service;
    const file = world.objectFile();
    await world.store("sk-old");
    const old = readFileSync(file);
    await world.store("sk-new");
    const good = readFileSync(file);
    const refusedWith = async (attack: string, bytes: Buffer | undefined, reason?: string): Promise<void> => {
      if (bytes === undefined) rmSync(file);
      else writeFileSync(file, bytes);
      const { answer } = await world.fetch();
      log.refused("worker", attack, answer, "object_corrupt", reason);
      writeFileSync(file, good);
    };
    await refusedWith("the previous version put back", old, "rolled_back");
    await refusedWith("deleted", undefined, "rolled_back");
    for (const at of [5, Math.floor(good.length / 2), good.length - 3]) {
      const changed = Buffer.from(good);
      changed[at] = changed[at] === 0x41 ? 0x42 : 0x41;
      await refusedWith(`byte ${String(at)} changed`, changed);
    }
    await refusedWith("truncated", good.subarray(0, good.length - 10));
    await refusedWith("emptied", Buffer.alloc(0));

    // another actor's object under this name, with a database that knows nothing of either
    const mine = world.party;
    const other = await world.newParty("agent-b");
    await world.as(other, async () => {
      await world.store("sk-of-another");
    });
    const foreign = readFileSync(world.objectFile(service, other));
    await refusedWith("another actor's object", foreign);
    await world.stack.restart("worker", "SIGTERM", () => {
      world.stack.dropVersions();
      writeFileSync(file, foreign);
      return Promise.resolve();
    });
    log.refused("worker", "another actor's object, database emptied", (await world.fetch()).answer, "object_corrupt");
    writeFileSync(file, good);
    await world.fetchHonestly(log, "sk-new");

    // the whole database of a minute ago, beside the objects of now: newer objects are taken up, older ones are not
    await world.stack.restart("worker", "SIGTERM", () => {
      cpSync(world.stack.files.versions, `${world.stack.files.versions}.backup`, { recursive: true });
      return Promise.resolve();
    });
    await world.store("sk-newer");
    copyFileSync(file, `${file}.now`);
    await world.stack.restart("worker", "SIGTERM", () => {
      world.stack.dropVersions();
      cpSync(`${world.stack.files.versions}.backup`, world.stack.files.versions, { recursive: true });
      return Promise.resolve();
    });
    await world.fetchHonestly(log, "sk-newer");
    writeFileSync(file, old);
    log.refused(
      "worker",
      "an old object beside the database of a backup",
      (await world.fetch()).answer,
      "object_corrupt",
      "rolled_back",
    );
    copyFileSync(`${file}.now`, file);

    // resurrection of what was torn down
    const { cap } = await world.mint("teardown");
    const torn = await world.redeem(mine.agentDevice, "teardown", cap);
    log.honest("teardown", torn.status === 200, torn.body.toString());
    log.refused("worker", "fetch after teardown", (await world.fetch()).answer, "object_not_found");
    const tombstone = readFileSync(file);
    copyFileSync(`${file}.now`, file);
    log.refused("worker", "resurrected", (await world.fetch()).answer, "object_corrupt", "rolled_back");
    writeFileSync(file, tombstone);
    const secret = await world.storeHonestly(log);
    await world.fetchHonestly(log, secret);
  },
};

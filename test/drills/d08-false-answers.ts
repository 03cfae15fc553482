import { readFileSync } from "node:fs";
import { type Server, createServer } from "node:http";
import type { AddressInfo } from "node:net";

import { chainReader } from "../../offchain/chain/reader";
import { createClient } from "../../offchain/client/client";
import { deviceKey } from "../../offchain/client/device-key-file";
import { memoryMarks } from "../../offchain/client/high-water-marks";
import { type Hex, toBase64url } from "../../offchain/wire/bytes";
import { sha256Hex } from "../../offchain/wire/content-hash";
import { hpkeSeal } from "../../offchain/wire/hpke";
import { parseObject } from "../../offchain/wire/object";
import { REPLY_INFO, redeemPath } from "../../offchain/wire/redeem";
import { credentialHash, parseProofHeader, requestProofDigest } from "../../offchain/wire/request-proof";
import type { Drill } from "./drill";
import type { World } from "./world";

type Answer = Readonly<Record<string, unknown>>;
/** What the hostile worker puts into its next reply: a sealed answer, bytes as they are, or 404. */
type Lie = { readonly seal: Answer; readonly info?: string } | { readonly raw: Answer } | "dropped";

/** D8: the worker's thief, or a TLS terminator in its place, answers a real client's fetch with something else. */
export const d08: Drill = {
  id: "D8",
  title: "worker answers a fetch with an older, other or self-made secret, or has dropped a store",
  async run(world, log) {
    const old = await truth(world, "sk-v-old");
    const now = await truth(world, "sk-v-now");
    let lie: Lie = { seal: now };
    const worker = await hostileWorker(world, () => lie);
    const { SidecarRegistry, ScopeRegistry, K3EpochCounter } = world.stack.contracts;
    const clock = (): number => Math.floor(Date.now() / 1_000);
    const chain = chainReader({
      rpcUrls: [world.stack.rpcUrl],
      quorum: 1,
      chainId: world.stack.chainId,
      contracts: { sidecarRegistry: SidecarRegistry, scopeRegistry: ScopeRegistry, k3EpochCounter: K3EpochCounter },
      profile: "local",
      now: clock,
    });
    const { omni, actor } = world.party;
    const client = await createClient({
      device: deviceKey(world.agentDevice.secret),
      operatorOmni: omni,
      domain: world.domain,
      urls: { broker: world.stack.urls.broker, worker: { credentials: worker.url } },
      chain,
      marks: memoryMarks(),
      now: clock,
    });
    const fetch = () => client.fetch({ actorOmni: actor, dataClass: "credentials", service: world.service });
    try {
      const honest = await fetch();
      log.honest("the true answer is believed", honest.ok && honest.value.plaintext.toString() === "sk-v-now");
      const evil = toBase64url(Buffer.from("sk-evil"));
      const by = now["stored_by"] as Readonly<Record<string, unknown>>;
      const lies: Readonly<Record<string, Lie>> = {
        "an older version": { seal: old },
        "older content under the newest version's number": { seal: { ...old, version: now["version"] } },
        "older content with the newest evidence": { seal: { ...now, payload_b64: old["payload_b64"] } },
        "a secret of its own": { seal: { ...now, payload_b64: evil } },
        "another salt": { seal: { ...now, content_salt: old["content_salt"] } },
        "evidence by another device": {
          seal: { ...now, stored_by: { ...by, device_key_hash: world.party.masterDevice.hash } },
        },
        "evidence dated later": { seal: { ...now, stored_by: { ...by, issued_at: Number(by["issued_at"]) + 1 } } },
        "evidence without a signature": { seal: { ...now, stored_by: { ...by, client_sig: `0x${"00".repeat(65)}` } } },
        "not sealed": { raw: now },
        "sealed for another request": { seal: now, info: "agentkeys-reply-v1" },
      };
      for (const [name, next] of Object.entries(lies)) {
        lie = next;
        const got = await fetch();
        log.refusedBy("client", name, got.ok ? undefined : got.failure.code, "object_corrupt");
      }
      lie = "dropped";
      const gone = await fetch();
      log.refusedBy(
        "client",
        "a store that was confirmed and dropped",
        gone.ok ? undefined : gone.failure.code,
        "object_not_found",
      );
      lie = { seal: now };
      log.honest("the truth is believed again", (await fetch()).ok);
    } finally {
      await client.close();
      await chain.close();
      await worker.stop();
    }
  },
};

/** Stores honestly, and returns what an honest worker would answer a fetch with. */
async function truth(world: World, secret: string): Promise<Answer> {
  const { version } = await world.store(secret);
  const header = parseObject(readFileSync(world.objectFile()))?.header;
  if (header === undefined) throw new Error("D8: no object was stored");
  const payload = toBase64url(Buffer.from(secret));
  return { payload_b64: payload, content_salt: header.contentSalt, version, stored_by: header.storedBy };
}

/** A server in the worker's place: it knows everything that the worker knows, and seals like the worker. */
async function hostileWorker(world: World, next: () => Lie): Promise<{ readonly url: string; stop(): Promise<void> }> {
  const server: Server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => {
      const lie = next();
      const proof = parseProofHeader(String(request.headers["agentkeys-proof"]));
      const cap = (request.headers.authorization ?? "").slice("AgentKeys ".length);
      const reply = (status: number, body: Answer): void => {
        response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(body));
      };
      if (lie === "dropped" || !proof.ok) {
        reply(404, { code: "object_not_found", detail: "nothing here" });
        return;
      }
      if ("raw" in lie) {
        reply(200, lie.raw);
        return;
      }
      const digest = requestProofDigest(world.separator, {
        ...proof.value,
        method: "POST",
        target: url + redeemPath("fetch", "credentials"),
        bodyHash: sha256Hex(Buffer.concat(chunks)),
        credentialHash: credentialHash(cap),
      });
      const info = Buffer.concat([Buffer.from(lie.info ?? REPLY_INFO), digest]);
      const clear = Buffer.from(JSON.stringify(lie.seal));
      void hpkeSeal(proof.value.sealTo satisfies Hex, info, clear).then((sealed) => {
        reply(200, { sealed: toBase64url(sealed) });
      });
    });
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const url = `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`;
  return {
    url,
    stop: () =>
      new Promise((done) => {
        server.close(() => {
          done();
        });
        server.closeAllConnections();
      }),
  };
}

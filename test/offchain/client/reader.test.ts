import { randomBytes } from "node:crypto";

import { expect } from "chai";

import { type Client } from "../../../offchain/client/client";
import { type HighWaterMarks, memoryMarks } from "../../../offchain/client/high-water-marks";
import { toHex } from "../../../offchain/wire/bytes";
import { generateSealKeyPair } from "../../../offchain/wire/hpke";
import { actorOmni } from "../../../offchain/wire/names";
import { ClientWorld, type Reply, type Truth, problem } from "../../helpers/client-world";
import { nowSeconds, testDevice } from "../../helpers/words";

const SECRET = "sk-live-0123456789abcdef";

/** What a worker's thief may put in the place of a true answer: one thing changed, or one member of the evidence. */
const CHANGED: Readonly<Record<string, (truth: Truth, world: ClientWorld) => unknown>> = {
  "another plaintext": (truth) => ({ ...truth, payload_b64: Buffer.from("sk-evil").toString("base64url") }),
  "an empty plaintext": (truth) => ({ ...truth, payload_b64: "" }),
  "another salt": (truth) => ({ ...truth, content_salt: toHex(randomBytes(32)) }),
  "no stored_by": (truth) => ({ ...truth, stored_by: undefined }),
  "a stored_by that is null": (truth) => ({ ...truth, stored_by: null }),
  "no content_salt": (truth) => ({ ...truth, content_salt: undefined }),
  "no payload_b64": (truth) => ({ ...truth, payload_b64: undefined }),
  "no version": (truth) => ({ ...truth, version: undefined }),
  "a version as text": (truth) => ({ ...truth, version: "1" }),
  "a negative version": (truth) => ({ ...truth, version: -1 }),
  "a version with a fraction": (truth) => ({ ...truth, version: 1.5 }),
  "padded base64": (truth) => ({ ...truth, payload_b64: Buffer.from("a").toString("base64") }),
  "evidence: no device": by({ device_key_hash: undefined }),
  "evidence: a device that nobody registered": (truth) => by({ device_key_hash: testDevice().hash })(truth),
  "evidence: the operator's own omni as device": (truth, world) => by({ device_key_hash: world.operator })(truth),
  "evidence: another content_hash": by({ content_hash: toHex(randomBytes(32)) }),
  "evidence: another k3_epoch": by({ k3_epoch: 2 }),
  "evidence: issued a second later": (truth) => by({ issued_at: truth.stored_by.issued_at + 1 })(truth),
  "evidence: issued a second earlier": (truth) => by({ issued_at: truth.stored_by.issued_at - 1 })(truth),
  "evidence: expires a second later": (truth) => by({ expires_at: truth.stored_by.expires_at + 1 })(truth),
  "evidence: another nonce": by({ nonce: toHex(randomBytes(32)) }),
  "evidence: another signature": by({ client_sig: `0x${"11".repeat(64)}1b` }),
  "evidence: a signature of zeros": by({ client_sig: `0x${"00".repeat(65)}` }),
  "evidence: the signature with another v": (truth) => {
    const sig = truth.stored_by.client_sig;
    return by({ client_sig: sig.slice(0, -2) + (sig.endsWith("1b") ? "1c" : "1b") })(truth);
  },
  "evidence: the signature cut": (truth) => by({ client_sig: truth.stored_by.client_sig.slice(0, -2) })(truth),
  "evidence for another service": (_truth, world) => world.truth(SECRET, 1, world.agent, { service: "github" }),
  "evidence for another class": (_truth, world) => world.truth(SECRET, 1, world.agent, { dataClass: "memory" }),
  "evidence for another actor": (_truth, world) =>
    world.truth(SECRET, 1, world.agent, { actorOmni: actorOmni(world.operator, "agent-b") }),
  "evidence for another operator": (_truth, world) =>
    world.truth(SECRET, 1, world.agent, { operatorOmni: world.actor }),
  "evidence of a fetch, not a store": (_truth, world) => world.truth(SECRET, 1, world.agent, { op: "fetch" }),
  "evidence of a rotate, not a store": (_truth, world) => world.truth(SECRET, 1, world.agent, { op: "rotate" }),
  "evidence by a key that is nobody's": (_truth, world) => world.truth(SECRET, 1, testDevice()),
};

function by(change: Readonly<Record<string, unknown>>): (truth: Truth) => unknown {
  return (truth) => ({ ...truth, stored_by: { ...truth.stored_by, ...change } });
}

describe("client: what a reader believes", () => {
  let world: ClientWorld;
  let marks: HighWaterMarks;
  let client: Client;

  before(async () => {
    world = await ClientWorld.start();
  });
  beforeEach(async () => {
    world.honest();
    marks = memoryMarks();
    client = await world.client({ marks });
  });
  afterEach(() => client.close());
  after(() => world.stop());

  async function fetched(reply: Reply, wish = world.wish): Promise<string> {
    world.reply = reply;
    const answer = await client.fetch(wish);
    if (answer.ok) return answer.value.plaintext.toString();
    const { code, reason } = answer.failure;
    return reason === undefined ? code : `${code}/${reason}`;
  }
  const mark = () => marks.get({ operatorOmni: world.operator, ...world.wish });

  it("the true answer", async () => {
    const truth = world.truth(SECRET, 3);
    expect(await fetched(world.sealed(truth))).to.equal(SECRET);
    expect(mark()).to.deep.equal({
      version: 3,
      issuedAt: truth.stored_by.issued_at,
      nonce: truth.stored_by.nonce,
    });
    expect(await fetched(world.sealed({ ...truth, unknown: [1] }))).to.equal(SECRET);
  });

  it("what the master device of its operator stored for it", async () => {
    const master = testDevice();
    await world.register(undefined, master);
    expect(await fetched(world.sealed(world.truth(SECRET, 1, master)))).to.equal(SECRET);
  });

  it("what another device of the same actor stored", async () => {
    const second = testDevice();
    await world.register("agent-a", second);
    expect(await fetched(world.sealed(world.truth(SECRET, 1, second)))).to.equal(SECRET);
  });

  for (const [name, change] of Object.entries(CHANGED)) {
    it(`not: ${name}; and nothing is remembered of it`, async () => {
      const truth = world.truth(SECRET);
      expect(await fetched(world.sealed(change(truth, world)))).to.equal("object_corrupt");
      expect(mark()).to.equal(undefined);
      expect(await fetched(world.sealed(truth))).to.equal(SECRET);
    });
  }

  it("not: what a sibling agent's device stored under this name", async () => {
    const sibling = testDevice();
    await world.register("agent-b", sibling);
    expect(await fetched(world.sealed(world.truth(SECRET, 1, sibling)))).to.equal("object_corrupt");
    const own = { ...world.wish, actorOmni: actorOmni(world.operator, "agent-b") };
    expect(await fetched(world.sealed(world.truth(SECRET, 1, sibling, own)), own)).to.equal(SECRET);
  });

  it("not: what a device of another operator stored under this name, master or agent of the same label", async () => {
    const other = await world.node.provider.getSigner(1);
    const [agent, master] = [testDevice(), testDevice()];
    await (await world.registries.sidecarRegistry.connect(other).registerOperator()).wait();
    await world.register("agent-a", agent, other);
    await world.register(undefined, master, other);
    expect(await fetched(world.sealed(world.truth(SECRET, 1, agent)))).to.equal("object_corrupt");
    expect(await fetched(world.sealed(world.truth(SECRET, 1, master)))).to.equal("object_corrupt");
  });

  it("not: what a device stored after it was revoked; but what it stored before", async () => {
    const device = testDevice();
    await world.register("agent-a", device);
    await (await world.registries.sidecarRegistry.revokeDevice(device.hash)).wait();
    await world.followed();
    const record = await world.chain.getDevice(device.hash);
    const revokedAt = record.ok ? (record.value?.revokedAt ?? 0) : 0;
    expect(revokedAt).to.be.above(0);
    const at = (issuedAt: number) => world.sealed(world.truth(SECRET, 1, device, { issuedAt }));
    expect(await fetched(at(revokedAt + 1))).to.equal("object_corrupt");
    expect(await fetched(at(revokedAt))).to.equal(SECRET);
  });

  const UNSEALED: Readonly<Record<string, (world: ClientWorld) => Promise<Reply> | Reply>> = {
    "in the clear": (one) => problem(200, one.truth(SECRET)),
    "sealed with another label": (one) => one.sealed(one.truth(SECRET), { info: "agentkeys-reply-v1" }),
    "sealed with the label of stores": (one) => one.sealed(one.truth(SECRET), { info: "agentkeys-store-v2" }),
    "sealed for another request": (one) => one.sealed(one.truth(SECRET), { digest: randomBytes(32) }),
    "sealed to another key": async (one) =>
      one.sealed(one.truth(SECRET), { to: (await generateSealKeyPair()).publicKey }),
    "sealed, but no JSON": (one) => one.sealed("{"),
    "sealed, but a list": (one) => one.sealed([one.truth(SECRET)]),
    "sealed bytes that are none": () => problem(200, { sealed: "AAAA" }),
    "sealed bytes in another alphabet": () => problem(200, { sealed: "++++" }),
    "a sealed member that is no text": () => problem(200, { sealed: 1 }),
    nothing: () => problem(200, ""),
    "no JSON": () => problem(200, "<html>"),
  };
  for (const [name, reply] of Object.entries(UNSEALED)) {
    it(`not: an answer ${name}`, async () => {
      expect(await fetched(await reply(world))).to.equal("object_corrupt");
      expect(mark()).to.equal(undefined);
    });
  }

  it("not: the sealed answer to the request before", async () => {
    let captured = "";
    const truth = world.truth(SECRET);
    expect(
      await fetched((response, received) => {
        const end = response.end.bind(response);
        response.end = ((text: string) => {
          captured = text;
          return end(text);
        }) as typeof response.end;
        world.sealed(truth)(response, received);
      }),
    ).to.equal(SECRET);
    expect(captured).to.include("sealed");
    expect(await fetched(problem(200, captured))).to.equal("object_corrupt");
  });

  describe("once it has seen a version", () => {
    let seen: Truth;
    beforeEach(async () => {
      seen = world.truth(SECRET, 5);
      expect(await fetched(world.sealed(seen))).to.equal(SECRET);
    });

    it("the same again, and a newer one", async () => {
      expect(await fetched(world.sealed(seen))).to.equal(SECRET);
      expect(await fetched(world.sealed(world.truth("sk-new", 6)))).to.equal("sk-new");
      expect(mark()?.version).to.equal(6);
    });
    it("the same store under a higher version: it was re-encrypted", async () => {
      expect(await fetched(world.sealed({ ...seen, version: 6 }))).to.equal(SECRET);
    });
    for (const version of [0, 1, 4]) {
      it(`not: version ${String(version)}, however well signed`, async () => {
        expect(await fetched(world.sealed(world.truth("sk-old", version)))).to.equal("object_corrupt/rolled_back");
        expect(mark()?.version).to.equal(5);
      });
    }
    it("not: the same version with another store", async () => {
      expect(await fetched(world.sealed(world.truth(SECRET, 5)))).to.equal("object_corrupt/rolled_back");
    });
    it("not: an old store passed off under a new version", async () => {
      const issuedAt = seen.stored_by.issued_at - 366;
      const old = world.truth("sk-old", 6, world.agent, { issuedAt, expiresAt: issuedAt + 300 });
      expect(await fetched(world.sealed(old))).to.equal("object_corrupt/rolled_back");
      const late = world.truth("sk-late", 6, world.agent, { issuedAt: issuedAt + 1, expiresAt: issuedAt + 301 });
      expect(await fetched(world.sealed(late))).to.equal("sk-late");
      // and the later date stays what is held against the next
      expect(mark()?.issuedAt).to.equal(seen.stored_by.issued_at);
    });
    it("a 404 says that what was there is gone; it is still remembered", async () => {
      expect(await fetched(problem(404, { code: "object_not_found", detail: "none" }))).to.equal("object_not_found");
      expect(mark()?.version).to.equal(5);
      expect(await fetched(world.sealed(world.truth("sk-old", 4)))).to.equal("object_corrupt/rolled_back");
    });
    it("marks are kept by name: another service starts afresh", async () => {
      const wish = { ...world.wish, service: "github" };
      const other = world.truth("gh", 1, world.agent, { ...wish, issuedAt: nowSeconds() });
      expect(await fetched(world.sealed(other), wish)).to.equal("gh");
    });
  });
});

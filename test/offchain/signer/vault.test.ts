import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";
import fc from "fast-check";

import { objectKey } from "../../../offchain/signer/vault/k3";
import { unwrapKey } from "../../../offchain/signer/vault/key-wrap";
import { openVaultFile } from "../../../offchain/signer/vault/sealed-file";
import { fromBase64url, toBase64url } from "../../../offchain/wire/bytes";
import { DATA_KEYS_PATH } from "../../../offchain/wire/data-keys";
import { parseObject } from "../../../offchain/wire/object";
import { type ProblemCode, isProblemCode } from "../../../offchain/wire/problem";
import type { Result } from "../../../offchain/wire/result";
import { Secret } from "../../../offchain/wire/secret";
import { type Stack, startStack } from "../../../scripts/lib/stack";
import { type Party, World } from "../../drills/world";
import { type Secrets, secretsIn } from "../../helpers/secret-forms";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { type VaultPipe, dataKeysWords, pipeFrame, rawFrame, startVault } from "../../helpers/vault";
import { countersign, signCap, testDevice } from "../../helpers/words";

const ROUTE = `POST ${DATA_KEYS_PATH}`;
const CALLER = "URI:spiffe://agentkeys/worker/credentials";
/** Attacks of each kind; a dozen kinds make more than 1,000 frames. */
const EACH = 90;

/** What attacker code inside the front sends, and the codes that it may be refused with. */
interface Attack {
  readonly kind: string;
  readonly route?: string;
  readonly caller?: string;
  readonly body: string | Buffer;
  readonly codes: readonly ProblemCode[];
  readonly reason?: string;
}

describe("signer: the vault, with attacker code in the front's place", function () {
  this.timeout(300_000);
  const folders = temporaryFolders();
  let stack: Stack;
  let world: World;
  let vault: VaultPipe;
  let stateDir: string;
  let other: Party;
  let secrets: Secrets;

  before(async () => {
    stack = await startStack({ dir: folders.make(), logLevel: "warn" });
    world = await World.over(stack);
    other = await world.newParty("agent-b");
    await world.as(other, async () => {
      await world.store("sk-of-the-other");
    });
    stateDir = join(folders.make(), "vault-state");
    vault = await startVault(stack, stateDir);
    secrets = vaultSecrets();
  });

  after(async () => {
    await vault.stop();
    await world.close();
    await stack.stop();
    folders.removeAll();
  });

  /** Everything that may not leave the vault, read with its own passphrase: K3, object keys, content keys at rest. */
  function vaultSecrets(): Secrets {
    const words = readFileSync(join(stack.dir, "vault", "passphrase"));
    const ring = openVaultFile(join(stack.dir, "vault", "vault.sealed"), new Secret(words));
    const k3 = ring.get(1)?.reveal();
    if (k3 === undefined) throw new Error("no K3 of epoch 1");
    const found: Record<string, Buffer> = { passphrase: words, k3 };
    for (const [name, party] of [["own", world.party] as const, ["other", other] as const]) {
      const object = parseObject(readFileSync(world.objectFile(world.service, party)));
      if (object === undefined) throw new Error(`no object of ${name}`);
      const key = objectKey(k3, object.header.name);
      const contentKey = unwrapKey(key, fromBase64url(object.encryptedKey) ?? Buffer.alloc(0));
      if (contentKey === undefined) throw new Error(`no content key of ${name}`);
      found[`object key of ${name}`] = key;
      found[`content key of ${name}`] = contentKey;
    }
    return found;
  }

  const data = (words: Readonly<Record<string, unknown>>): Promise<Result<unknown>> =>
    vault.ask(ROUTE, CALLER, JSON.stringify(words));

  async function honest(op: "fetch" | "store" | "rotate" = "fetch"): Promise<Result<unknown>> {
    const { cap } = await world.mint(op);
    return data(dataKeysWords(world, world.agentDevice, op, cap));
  }

  it("gives an honest request the one content key that it asks for, and no other secret", async () => {
    const answer = await honest();
    expect(answer.ok).to.equal(true);
    expect(secretsIn(Buffer.from(JSON.stringify(answer)), secrets)).to.deep.equal(["content key of own"]);
  });

  it("refuses more than a thousand frames of a dozen kinds, and then serves an honest request", async () => {
    const attacks = await makeAttacks();
    expect(attacks.length).to.be.greaterThan(1_000);
    const saidBefore = vault.said.answers().length;
    const frames = attacks.map(({ route = ROUTE, caller = CALLER, body }, id) =>
      pipeFrame({ id, route, caller, body: Buffer.from(body).toString("base64") }),
    );
    const unnamedBefore = vault.unnamed();
    const broken = brokenEnvelopes();
    const seed = Date.now();
    await writeCut(shuffled([...frames, ...broken], seed), seed);
    const answers = await Promise.all(attacks.map((_, id) => vault.answer(id)));
    for (const [i, answer] of answers.entries()) {
      const attack = attacks[i];
      if (attack === undefined) throw new Error(String(i));
      const { kind, codes, reason, body } = attack;
      const about = `${kind} (seed ${String(seed)}): ${body.toString().slice(0, 200)}`;
      if (answer.ok) throw new Error(`answered: ${about}`);
      expect(answer.failure.code, about).to.be.oneOf(codes);
      if (reason !== undefined) expect(answer.failure.reason, about).to.equal(reason);
    }
    while (vault.unnamed() - unnamedBefore < broken.length) await new Promise((done) => setTimeout(done, 20));

    const said = vault.said.answers().subarray(saidBefore);
    expect(secretsIn(said, secrets)).to.deep.equal([]);
    expect(vault.child.exitCode).to.equal(null);
    expect((await honest()).ok).to.equal(true);
    expect((await honest("store")).ok).to.equal(true);
    expect((await honest("rotate")).ok).to.equal(true);
  });

  it("logged no secret meanwhile, and no internal error", () => {
    const logs = vault.said.logs();
    expect(logs.length).to.be.greaterThan(0);
    expect(secretsIn(logs, secrets)).to.deep.equal([]);
    expect(logs.toString()).to.not.contain("internal error");
  });

  it("a request that was refused for its caller alone was not burned: its worker may still make it", async () => {
    const { cap } = await world.mint("store");
    const words = JSON.stringify(dataKeysWords(world, world.agentDevice, "store", cap));
    const refused = await vault.ask(ROUTE, "URI:spiffe://agentkeys/worker/memory", words);
    expect(!refused.ok && refused.failure.code).to.equal("caller_not_allowed");
    expect((await vault.ask(ROUTE, CALLER, words)).ok).to.equal(true);
    const again = await vault.ask(ROUTE, CALLER, words);
    expect(!again.ok && again.failure.reason).to.equal("replayed");
    const fresh = await data(dataKeysWords(world, world.agentDevice, "store", cap));
    expect(!fresh.ok && fresh.failure.code).to.equal("cap_already_used");
  });

  it("of one request sent a hundred times at once, one is answered with a key", async () => {
    for (const op of ["fetch", "store"] as const) {
      const { cap } = await world.mint(op);
      const words = dataKeysWords(world, world.agentDevice, op, cap);
      const answers = await Promise.all(Array.from({ length: 100 }, () => data(words)));
      expect(answers.filter((one) => one.ok)).to.have.length(1);
      for (const one of answers) if (!one.ok) expect(one.failure.reason).to.equal("replayed");
    }
  });

  for (const [name, bytes, why] of [
    ["a frame that is too long", Buffer.from([0, 8, 0, 1]), "a frame is too long"],
    ["a frame that is no JSON", rawFrame(Buffer.from("{")), "a frame is not JSON"],
    ["the front's end of the pipe closed", undefined, "the pipe is closed"],
  ] as const) {
    it(`${name} ends the process with a word and no secret; started again it serves, and remembers`, async () => {
      const { cap } = await world.mint("fetch");
      const words = dataKeysWords(world, world.agentDevice, "fetch", cap);
      expect((await data(words)).ok).to.equal(true);
      if (bytes === undefined) (vault.child.stdio[3] as { destroy(): void } | null)?.destroy();
      else vault.write(bytes);
      expect(await vault.gone).to.equal(0);
      const logs = vault.said.logs();
      expect(logs.toString()).to.contain(why);
      expect(secretsIn(logs, secrets)).to.deep.equal([]);

      vault = await startVault(stack, stateDir);
      expect((await honest()).ok).to.equal(true);
      const replayed = await data(words);
      expect(!replayed.ok && replayed.failure.code).to.equal("proof_invalid");
    });
  }

  it("ends when its supervisor's end of standard input closes", async () => {
    vault.child.stdin?.destroy();
    expect(await vault.gone).to.equal(0);
    vault = await startVault(stack, stateDir);
    expect((await honest()).ok).to.equal(true);
  });

  /** Frames that are no request at all: each is answered once, without a number. */
  function brokenEnvelopes(): Buffer[] {
    const good = { id: 1, route: ROUTE, caller: CALLER, body: "e30=" };
    const deep = `{"id":${"[".repeat(100_000)}${"]".repeat(100_000)},"route":"x","caller":"y","body":""}`;
    const ids = [undefined, null, "1", 1.5, -0.5, {}, [], 2 ** 53, true].map((id) => pipeFrame({ ...good, id }));
    const others = [null, 5, "x", [], {}, [good], { route: ROUTE }].map(pipeFrame);
    return [...ids, ...others, rawFrame(Buffer.from(deep)), rawFrame(Buffer.from('{"__proto__":{"id":7}}'))];
  }

  async function makeAttacks(): Promise<Attack[]> {
    const device = world.agentDevice;
    const { cap } = await world.mint("fetch");
    const store = await world.mint("store");
    const words = (wish = {}, change = {}): Record<string, unknown> =>
      dataKeysWords(world, device, "fetch", cap, wish, change);
    const body = (wish = {}, change = {}): string => JSON.stringify(words(wish, change));
    const often = (make: (n: number) => Attack): Attack[] => Array.from({ length: EACH }, (_, n) => make(n));
    const sample = <T>(values: fc.Arbitrary<T>): T[] => fc.sample(values, EACH);

    const burned = body();
    expect((await vault.ask(ROUTE, CALLER, burned)).ok).to.equal(true);
    const theirs = await capOf(other);
    const theirObject = parseObject(readFileSync(world.objectFile(world.service, other)));
    if (theirObject === undefined) throw new Error("no object of the other party");
    const theirHeader = { header: theirObject.headerText, encrypted_key: theirObject.encryptedKey };
    const [broker, thief] = [await world.stolenBroker(), testDevice()];
    const unscoped = world.cap({ op: "fetch", service: "anthropic" });
    const ungranted = countersign(broker, unscoped, signCap(world.separator, device, unscoped));
    const own = { ...world.cap({ op: "fetch" }), deviceKeyHash: thief.hash };
    const thiefs = countersign(broker, own, signCap(world.separator, thief, own));
    const forged = countersign(broker, world.cap({ op: "fetch" }), signCap(world.separator, thief, own));
    const proofless = { proof: toBase64url("{}") };
    const malformed: readonly ProblemCode[] = ["request_malformed"];

    return [
      ...often((n) => ({
        kind: "no cap",
        body: body({}, { cap: [undefined, "", "a.b.c", null][n % 4] }),
        codes: ["request_malformed", "broker_sig_invalid"],
      })),
      ...often((n) => ({
        kind: "another's cap",
        body:
          [
            JSON.stringify(dataKeysWords(world, device, "fetch", theirs, {}, theirHeader)),
            JSON.stringify(
              dataKeysWords(world, device, "fetch", theirs, { claims: other.agentDevice.hash }, theirHeader),
            ),
          ][n % 2] ?? "",
        codes: ["proof_invalid"],
      })),
      ...often(() => ({ kind: "another's object", body: body({}, theirHeader), codes: ["object_corrupt"] })),
      ...often(() => ({
        kind: "a service without a grant",
        body: JSON.stringify(dataKeysWords(world, device, "fetch", ungranted)),
        codes: ["service_not_in_scope"],
      })),
      ...often(() => ({ kind: "a replayed pair", body: burned, codes: ["proof_invalid"], reason: "replayed" })),
      ...often((n) => ({
        kind: "a digest of its own choice",
        route: [ROUTE, "POST /v1/sign", "POST /v1/unwrap", "POST /v1/derive-cred-kek"][n % 4] ?? "",
        body: JSON.stringify({ digest: own.nonce, hash: own.nonce, name: own, epoch: 1, claims: own }),
        codes: ["request_malformed", "route_not_found"],
      })),
      ...sample(fc.string()).map((route): Attack => {
        const names = ["__proto__", "constructor", "toString", ROUTE.toLowerCase(), `${ROUTE} `, `${ROUTE}\0`, ""];
        const name = names[route.length] ?? route;
        return { kind: "a method that is none", route: name, body: body(), codes: ["route_not_found"] };
      }),
      ...sample(fc.jsonValue()).map((one): Attack => {
        return { kind: "any JSON", body: JSON.stringify(one), codes: malformed };
      }),
      ...sample(fc.uint8Array({ maxLength: 300 })).map((one): Attack => {
        return { kind: "any bytes", body: Buffer.from(one), codes: malformed };
      }),
      ...often((n) => ({
        kind: "a caller of another name",
        caller:
          ["", "front", "URI:spiffe://agentkeys/broker", `${CALLER} `, CALLER.slice(4), `${CALLER}, ${CALLER}`][
            n % 6
          ] ?? "",
        body: body(),
        codes: ["caller_not_allowed"],
      })),
      ...often((n) => ({
        kind: "a device that the broker's thief made up",
        body:
          [
            JSON.stringify(dataKeysWords(world, thief, "fetch", thiefs)),
            JSON.stringify(dataKeysWords(world, device, "fetch", forged)),
          ][n % 2] ?? "",
        codes: ["device_not_active", "cap_pop_invalid"],
      })),
      ...often((n) => ({
        kind: "one word changed",
        body: body(
          {},
          [
            { method: "GET" },
            { target: `${stack.urls.worker.credentials}/v1/cred/store` },
            { target: "https://thief.example/v1/cred/fetch" },
            { body_hash: own.nonce },
            proofless,
            { cap: store.cap },
            { encrypted_key: toBase64url(Buffer.alloc(72, n)) },
            { encrypted_key: undefined },
            { header: toBase64url("{}") },
          ][n % 9],
        ),
        codes: ["proof_invalid", "cap_op_mismatch", "object_corrupt", "request_malformed"],
      })),
      ...often((n) => {
        // anywhere in what is signed or wrapped; salt and version in the header are for the reader to judge
        const honest = words();
        const member = ["cap", "proof", "encrypted_key"][n % 3] ?? "";
        const text = String(honest[member]);
        const at = (n * 7_919) % text.length;
        const letter = text[at] === "A" ? "B" : "A";
        const changed = { ...honest, [member]: text.slice(0, at) + letter + text.slice(at + 1) };
        return { kind: "one letter changed", body: JSON.stringify(changed), codes: anyCode() };
      }),
    ];
  }

  async function capOf(party: Party): Promise<string> {
    let cap = "";
    await world.as(party, async () => {
      cap = (await world.mint("fetch", {}, party.agentDevice)).cap;
    });
    return cap;
  }

  /** Writes frames in pieces that heed no border of a frame: some split, some merged. */
  async function writeCut(frames: readonly Buffer[], seed: number): Promise<void> {
    const bytes = Buffer.concat(frames);
    for (const [from, to] of pieces(bytes.length, seed)) {
      vault.write(bytes.subarray(from, to));
      if ((from + seed) % 5 === 0) await new Promise((done) => setImmediate(done));
    }
  }
});

/** Every refusal but the one that means a bug. */
function anyCode(): readonly ProblemCode[] {
  const codes = ["request_malformed", "broker_sig_invalid", "cap_pop_invalid", "proof_invalid", "object_corrupt"];
  return codes.filter(isProblemCode);
}

/** A small generator (xorshift32), so that a run can be repeated from its seed. */
function random(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) / 2 ** 32;
  };
}

function shuffled<T>(items: readonly T[], seed: number): T[] {
  const next = random(seed);
  return items
    .map((item) => ({ item, place: next() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

function* pieces(length: number, seed: number): Generator<readonly [number, number]> {
  const next = random(seed + 1);
  for (let from = 0; from < length;) {
    const size = next() < 0.3 ? 1 + Math.floor(next() * 8) : 1 + Math.floor(next() * 20_000);
    yield [from, Math.min(length, from + size)];
    from += size;
  }
}

import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";
import type { Suite } from "mocha";

import { objectKey } from "../../../offchain/signer/vault/k3";
import { unwrapKey } from "../../../offchain/signer/vault/key-wrap";
import { openVaultFile } from "../../../offchain/signer/vault/sealed-file";
import { fromBase64url } from "../../../offchain/wire/bytes";
import { parseObject } from "../../../offchain/wire/object";
import type { Result } from "../../../offchain/wire/result";
import { Secret } from "../../../offchain/wire/secret";
import { type Stack, startStack } from "../../../scripts/lib/stack";
import { type Party, World } from "../../drills/world";
import { type SoftHsm, noSoftHsm, softHsm } from "../../helpers/softhsm";
import { type Secrets, secretsIn } from "../../helpers/secret-forms";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { DATA_KEYS_ROUTE as ROUTE, WORKER_CALLER as CALLER, vaultAttacks } from "../../helpers/vault-attacks";
import { type VaultPipe, dataKeysWords, pipeFrame, rawFrame, startVault } from "../../helpers/vault";

/** Attacks of each kind; a dozen kinds make more than 1,000 frames. */
const EACH = 90;

for (const backEnd of ["a sealed file", "a PKCS#11 token"] as const) {
  const missing = backEnd === "a sealed file" ? undefined : noSoftHsm();
  const title = `signer: the vault, with attacker code in the front's place and its keys in ${backEnd}`;
  if (missing === undefined) describe(title, suite(backEnd === "a PKCS#11 token"));
  else describe(title, () => void it(`needs SoftHSM2: ${missing}`));
}

function suite(inToken: boolean): (this: Suite) => void {
  return function () {
    this.timeout(300_000);
    const folders = temporaryFolders();
    let hsm: SoftHsm | undefined;
    let stack: Stack;
    let world: World;
    let vault: VaultPipe;
    let stateDir: string;
    let other: Party;
    let secrets: Secrets;
    /** Where the sealed file is: the vault's own, or the one that the token was made from. */
    let keys: string;
    let keyEnvironment: Readonly<Record<string, string>> = {};

    before(async () => {
      const dir = folders.make();
      if (inToken) hsm = softHsm();
      const token = hsm && { ...hsm.newToken("agentkeys"), environment: `SOFTHSM2_CONF=${hsm.conf}` };
      stack = await startStack({ dir, logLevel: "warn", ...(token === undefined ? {} : { token }) });
      keys = join(dir, inToken ? "backup" : "vault");
      if (token !== undefined) {
        keyEnvironment = {
          VAULT_BACKEND: "pkcs11",
          VAULT_PKCS11_MODULE: token.module,
          VAULT_PKCS11_TOKEN: token.label,
          VAULT_PKCS11_PIN_FILE: join(dir, "vault", "pin"),
          VAULT_PKCS11_ENVIRONMENT: token.environment,
        };
      }
      world = await World.over(stack);
      other = await world.newParty("agent-b");
      await world.as(other, async () => {
        await world.store("sk-of-the-other");
      });
      stateDir = join(folders.make(), "vault-state");
      vault = await startVault(stack, stateDir, { env: keyEnvironment });
      secrets = vaultSecrets();
    });

    after(async () => {
      await vault.stop();
      await world.close();
      await stack.stop();
      hsm?.remove();
      folders.removeAll();
    });

    /** Everything that may not leave the vault, read with its own passphrase: K3, object keys, content keys at rest. */
    function vaultSecrets(): Secrets {
      const words = readFileSync(join(keys, "passphrase"));
      const ring = openVaultFile(join(keys, "vault.sealed"), new Secret(words));
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
      const attacks = await vaultAttacks(world, vault, other, EACH);
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

        vault = await startVault(stack, stateDir, { env: keyEnvironment });
        expect((await honest()).ok).to.equal(true);
        const replayed = await data(words);
        expect(!replayed.ok && replayed.failure.code).to.equal("proof_invalid");
      });
    }

    it("ends when its supervisor's end of standard input closes", async () => {
      vault.child.stdin?.destroy();
      expect(await vault.gone).to.equal(0);
      vault = await startVault(stack, stateDir, { env: keyEnvironment });
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

    /** Writes frames in pieces that heed no border of a frame: some split, some merged. */
    async function writeCut(frames: readonly Buffer[], seed: number): Promise<void> {
      const bytes = Buffer.concat(frames);
      for (const [from, to] of pieces(bytes.length, seed)) {
        vault.write(bytes.subarray(from, to));
        if ((from + seed) % 5 === 0) await new Promise((done) => setImmediate(done));
      }
    }
  };
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

import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";
import { Agent, request } from "undici";

import { objectKey } from "../../../offchain/signer/vault/k3";
import { unwrapKey } from "../../../offchain/signer/vault/key-wrap";
import { type K3Ring, openVaultFile } from "../../../offchain/signer/vault/sealed-file";
import { fromBase64url } from "../../../offchain/wire/bytes";
import { parseObject } from "../../../offchain/wire/object";
import { Secret } from "../../../offchain/wire/secret";
import { type Stack, startStack } from "../../../scripts/lib/stack";
import { K3EpochCounter__factory } from "../../../typechain-types";
import { World } from "../../drills/world";
import type { Answer } from "../../helpers/http";
import { descendants } from "../../helpers/process-memory";
import { type Secrets, secretsIn, secretsUnder } from "../../helpers/secret-forms";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { dataKeysWords } from "../../helpers/vault";
import { testDevice } from "../../helpers/words";

/** What the credential under test says: found wherever it lies in the clear. */
const CREDENTIAL = `sk-canary-${randomBytes(24).toString("hex")}`;

describe("signer: no secret leaves the vault's folder", function () {
  this.timeout(180_000);
  const folders = temporaryFolders();
  let stack: Stack;
  let world: World;
  let secrets: Secrets;
  const answers: Answer[] = [];
  const contentKeys: Buffer[] = [];

  before(async () => {
    stack = await startStack({ dir: folders.make(), logLevel: "debug" });
    world = await World.over(stack);
    await session();
    secrets = { ...vaultSecrets(), credential: Buffer.from(CREDENTIAL) };
  });

  after(async () => {
    await world.close();
    await stack.stop();
    folders.removeAll();
  });

  /** Stores, fetches, rotates, tears down, turns the epoch, restarts, and is refused at every door. */
  async function session(): Promise<void> {
    await world.store(CREDENTIAL);
    const fetched = await world.fetch();
    expect(fetched.secret).to.equal(CREDENTIAL);
    answers.push(fetched.answer);
    contentKeys.push(contentKeyAtRest());
    await refusals();
    await world.passTime(3_601);
    const commitment = await stack.prepareEpoch();
    const counter = K3EpochCounter__factory.connect(stack.contracts.K3EpochCounter, world.developer);
    await (await counter.advanceEpoch(commitment)).wait();
    await world.nextBlock();
    world.epoch = 2;
    const { cap } = await world.mint("rotate");
    const rotated = await world.redeem(world.agentDevice, "rotate", cap);
    expect(rotated.status, rotated.body.toString()).to.equal(200);
    answers.push(rotated);
    contentKeys.push(contentKeyAtRest());
    await stack.restart("signer", "SIGKILL");
    await stack.restart("worker", "SIGTERM");
    for (;;) {
      // the vault's start fence, which the worker's readiness does not wait for
      const again = await world.fetch();
      answers.push(again.answer);
      if (again.secret === CREDENTIAL) break;
      expect(again.answer.code).to.be.oneOf(["proof_invalid", "signer_unavailable"]);
      await new Promise((done) => setTimeout(done, 200));
    }
    await refusals();
    const teardown = await world.mint("teardown");
    answers.push(await world.redeem(world.agentDevice, "teardown", teardown.cap));
    expect(answers.at(-1)?.status).to.equal(200);
  }

  async function refusals(): Promise<void> {
    const device = world.agentDevice;
    const { cap } = await world.mint("fetch");
    const good = dataKeysWords(world, device, "fetch", cap);
    const refused = [
      await world.redeem(testDevice(), "fetch", cap),
      await world.redeemRaw("fetch", cap, undefined),
      await world.redeem(device, "store", cap),
      await world.mintRaw("fetch", "{}"),
      await world.askVaultRaw({}),
      await world.askVaultRaw({ ...good, encrypted_key: "AAAA" }),
      await world.askVaultRaw({ ...good, header: "e30" }),
      await world.askVaultRaw({ ...dataKeysWords(world, device, "fetch", cap), header: "e30" }),
      await world.askVault(device, "teardown", (await world.mint("teardown")).cap),
    ];
    for (const one of refused) expect(one.status).to.be.at.least(400);
    answers.push(...refused);
  }

  function openRing(): K3Ring {
    const words = readFileSync(join(stack.dir, "vault", "passphrase"));
    return openVaultFile(join(stack.dir, "vault", "vault.sealed"), new Secret(words));
  }

  /** The content key of the version that is stored now. */
  function contentKeyAtRest(): Buffer {
    const object = parseObject(readFileSync(world.objectFile()));
    const k3 = openRing()
      .get(object?.header.epoch ?? 0)
      ?.reveal();
    if (object === undefined || k3 === undefined) throw new Error("no object, or no key for it");
    const wrapped = fromBase64url(object.encryptedKey) ?? Buffer.of();
    const contentKey = unwrapKey(objectKey(k3, object.header.name), wrapped);
    if (contentKey === undefined) throw new Error("the stored key does not unwrap");
    return contentKey;
  }

  /** Every content key of the session, every K3, the object key of each, and the passphrase: read with the passphrase, as nobody else can. */
  function vaultSecrets(): Secrets {
    const words = readFileSync(join(stack.dir, "vault", "passphrase"));
    const ring = openRing();
    expect([...ring.keys()]).to.deep.equal([1, 2]);
    const found: Record<string, Buffer> = { passphrase: words };
    for (const [i, contentKey] of contentKeys.entries()) found[`content key ${String(i)}`] = contentKey;
    expect(contentKeys).to.have.length(2);
    const { omni, actor } = world.party;
    const name = { operatorOmni: omni, actorOmni: actor, dataClass: "credentials", service: world.service } as const;
    for (const [epoch, k3] of ring) {
      found[`K3 of epoch ${String(epoch)}`] = k3.reveal();
      found[`object key of epoch ${String(epoch)}`] = objectKey(k3.reveal(), name);
    }
    return found;
  }

  it("the search finds each of them, however it is written down", () => {
    const dir = folders.make();
    mkdirSync(join(dir, "below"));
    for (const [name, secret] of Object.entries(secrets)) {
      const bytes = Buffer.from(secret);
      const texts = [
        bytes,
        `log: 0x${bytes.toString("hex")}`,
        bytes.toString("hex").toUpperCase(),
        `{"k":"${bytes.toString("base64")}"}`,
        bytes.toString("base64url"),
        Buffer.concat([Buffer.from("x"), bytes, Buffer.from("y")]).toString("base64"),
        Buffer.concat([Buffer.from("xy"), bytes, Buffer.from("xyz")]).toString("base64url"),
      ];
      for (const [i, text] of texts.entries()) {
        writeFileSync(join(dir, "below", "file"), text);
        expect(secretsUnder(dir, secrets), `${name}, form ${String(i)}`).to.deep.equal([
          `${join(dir, "below", "file")}: ${name}`,
        ]);
      }
    }
  });

  it("in the vault's folder there is the passphrase's own file, and nothing else in the clear", () => {
    const vault = join(stack.dir, "vault");
    expect(secretsUnder(vault, secrets)).to.deep.equal([`${join(vault, "passphrase")}: passphrase`]);
  });

  it("in no file of any other service, and in no log at its most talkative", () => {
    const folder = readdirSync(stack.dir);
    expect(folder).to.include.members(["broker", "worker", "logs", "certs", "vault"]);
    expect(secretsUnder(stack.dir, secrets, [join(stack.dir, "vault")])).to.deep.equal([]);
    const logs = join(stack.dir, "logs");
    for (const name of ["broker.log", "signer.log", "worker.log"]) {
      expect(readFileSync(join(logs, name)).length, name).to.be.greaterThan(0);
    }
  });

  it("in no answer, refused or not, headers included", () => {
    expect(answers.length).to.be.greaterThan(20);
    for (const one of answers) {
      const bytes = Buffer.concat([one.body, Buffer.from(JSON.stringify(one.headers))]);
      expect(secretsIn(bytes, secrets), one.body.toString()).to.deep.equal([]);
    }
  });

  it("on no page that a service shows of itself", async () => {
    const mtls = new Agent({
      connect: { ...stack.workerTls("credentials"), checkServerIdentity: () => undefined },
    });
    const { broker, worker, signer } = stack.urls;
    for (const origin of [broker, worker.credentials, signer]) {
      for (const path of ["/healthz", "/readyz", "/metrics", "/.well-known/jwks.json", "/v1/epoch", "/debug", "/"]) {
        const dispatcher = origin === signer ? { dispatcher: mtls } : {};
        const answer = await request(origin + path, dispatcher);
        const body = Buffer.from(await answer.body.arrayBuffer());
        expect(secretsIn(body, secrets), origin + path).to.deep.equal([]);
      }
    }
    await mtls.close();
  });

  it("in no argument and no environment of a process of the stack (Linux shows them in /proc)", () => {
    const ids = descendants(process.pid);
    // node, broker, worker, and the signer's three
    expect(ids.length).to.be.at.least(6);
    for (const id of ids) {
      for (const what of ["cmdline", "environ"]) {
        expect(secretsIn(readFileSync(`/proc/${String(id)}/${what}`), secrets), `${String(id)} ${what}`).to.deep.equal(
          [],
        );
      }
    }
  });
});

import { hkdfSync, randomBytes, verify } from "node:crypto";

import { expect } from "chai";

import { k3Commitment } from "../../../../offchain/signer/vault/k3";
import { signCredential } from "../../../../offchain/signer/vault/keys/sign-credential";
import { drawSeeds } from "../../../../offchain/signer/vault/keys/vault-contents";
import {
  LONGEST_OVERLAP,
  STATE_ELSEWHERE,
  type VaultKeys,
  VaultKeysError,
  type VaultSeeds,
} from "../../../../offchain/signer/vault/keys/vault-keys";
import { type Hex, fromHex, toHex } from "../../../../offchain/wire/bytes";
import { parseJwks } from "../../../../offchain/wire/jwks";
import { Secret } from "../../../../offchain/wire/secret";
import type { ObjectName } from "../../../../offchain/wire/stored-by";
import { eventually } from "../../../helpers/eventually";
import { secretsUnder } from "../../../helpers/secret-forms";
import protocol from "../../../vectors/protocol.json";

/** Where one vault lies, whatever it is made of. */
export interface VaultPlace {
  /** Everything that it has on the disk lies under it. */
  readonly dir: string;
  create(seeds?: VaultSeeds): Promise<void>;
  open(now: () => number): Promise<VaultKeys>;
}

/** What every test's clock says at first: not a whole hour. */
export const START = 1_800_000_123;
const HOUR = 3_600;
const DAY = 24 * HOUR;

/** The object of protocol 3.10. */
export const KNOWN_NAME: ObjectName = {
  operatorOmni: protocol.operatorOmni as Hex,
  actorOmni: protocol.actorOmni as Hex,
  dataClass: "credentials",
  service: "openrouter",
};

/** A name that nobody has used. */
export function anyName(): ObjectName {
  return { ...KNOWN_NAME, operatorOmni: toHex(randomBytes(32)), actorOmni: toHex(randomBytes(32)) };
}

const k3Of = (byte: number): Secret<Buffer> => new Secret(Buffer.alloc(32, byte));
const owner = (): [Hex, Hex] => [toHex(randomBytes(32)), toHex(randomBytes(20))];

/** What was thrown, or undefined. */
export async function thrownBy(act: () => Promise<unknown>): Promise<unknown> {
  return act().then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** What the vault's keys promise, wherever they are kept. @see services note 4.3 */
export function behavesAsVaultKeys(newPlace: () => VaultPlace): void {
  let place: VaultPlace;
  let keys: VaultKeys;
  let clock: number;
  const opened: VaultKeys[] = [];
  const now = (): number => clock;

  async function open(where = place): Promise<VaultKeys> {
    const one = await where.open(now);
    opened.push(one);
    return one;
  }

  async function reopen(): Promise<void> {
    await keys.close();
    keys = await open();
  }

  /** Another vault beside, of these seeds. */
  async function another(seeds?: VaultSeeds): Promise<VaultKeys> {
    const where = newPlace();
    await where.create(seeds);
    return open(where);
  }

  beforeEach(async () => {
    clock = START;
    place = newPlace();
    await place.create();
    keys = await open();
  });

  afterEach(async () => {
    for (const one of opened.splice(0)) await one.close();
  });

  describe("epochs and object keys", () => {
    it("the known answer of protocol 3.10", async () => {
      await keys.receiveEpoch(1, new Secret(fromHex(protocol.objectKey.k3 as Hex)));
      const key = await keys.objectKey(1, KNOWN_NAME);
      expect(key && toHex(key)).to.equal(protocol.objectKey.key);
      await reopen();
      const again = await keys.objectKey(1, KNOWN_NAME);
      expect(again && toHex(again)).to.equal(protocol.objectKey.key);
    });

    it("is HKDF-SHA256 (RFC 5869) as another implementation computes it", async () => {
      for (let epoch = 1; epoch <= 5; epoch += 1) {
        const k3 = randomBytes(32);
        await keys.receiveEpoch(epoch, new Secret(k3));
        const name: ObjectName = { ...anyName(), dataClass: "memory", service: `memory:${String(epoch)}` };
        const info = Buffer.concat([
          Buffer.from("agentkeys.object.v1"),
          fromHex(name.operatorOmni),
          fromHex(name.actorOmni),
          Buffer.from(`memory\0${name.service}`),
        ]);
        const expected = Buffer.from(hkdfSync("sha256", k3, "agentkeys.kek-salt.v2", info, 32));
        expect((await keys.objectKey(epoch, name))?.equals(expected), `epoch ${String(epoch)}`).to.equal(true);
      }
    });

    it("a new vault holds none; each prepared epoch is the next, drawn anew, and committed to", async () => {
      expect([...keys.commitments()]).to.deep.equal([]);
      expect(await keys.objectKey(1, KNOWN_NAME)).to.equal(undefined);
      const drawn = [await keys.prepareEpoch(), await keys.prepareEpoch(), await keys.prepareEpoch()];
      expect(drawn.map((one) => one.epoch)).to.deep.equal([1, 2, 3]);
      expect(new Set(drawn.map((one) => one.commitment)).size).to.equal(3);
      const held = drawn.map((one): [number, Hex] => [one.epoch, one.commitment]);
      expect([...keys.commitments()].sort()).to.deep.equal(held);
      await reopen();
      expect([...keys.commitments()].sort()).to.deep.equal(held);
    });

    it("prepared at once many times, each is another epoch and none is lost", async () => {
      const drawn = await Promise.all(Array.from({ length: 6 }, () => keys.prepareEpoch()));
      expect(drawn.map((one) => one.epoch).sort()).to.deep.equal([1, 2, 3, 4, 5, 6]);
      await reopen();
      for (const { epoch, commitment } of drawn) expect(keys.commitments().get(epoch)).to.equal(commitment);
    });

    it("all past epochs are kept and give the same keys; one that is not held gives none", async () => {
      const before: Buffer[] = [];
      for (let epoch = 1; epoch <= 4; epoch += 1) {
        await keys.prepareEpoch();
        before.push((await keys.objectKey(epoch, KNOWN_NAME)) ?? Buffer.of());
      }
      expect(new Set(before.map(toHex)).size).to.equal(4);
      await reopen();
      for (const [i, key] of before.entries()) {
        expect((await keys.objectKey(i + 1, KNOWN_NAME))?.equals(key)).to.equal(true);
      }
      for (const epoch of [0, 5, 99]) expect(await keys.objectKey(epoch, KNOWN_NAME)).to.equal(undefined);
    });

    it("a received epoch is committed to as the contracts say; the same again is nothing, another is refused", async () => {
      expect(await keys.receiveEpoch(1, k3Of(1))).to.equal(k3Commitment(1, Buffer.alloc(32, 1)));
      const key = await keys.objectKey(1, KNOWN_NAME);
      expect(await keys.receiveEpoch(1, k3Of(1))).to.equal(k3Commitment(1, Buffer.alloc(32, 1)));
      expect(await thrownBy(() => keys.receiveEpoch(1, k3Of(2)))).to.be.instanceOf(VaultKeysError);
      await reopen();
      expect([...keys.commitments()]).to.deep.equal([[1, k3Commitment(1, Buffer.alloc(32, 1))]]);
      expect((await keys.objectKey(1, KNOWN_NAME))?.equals(key ?? Buffer.of())).to.equal(true);
    });

    it("two vaults that received the same epochs give the same keys, whatever else differs", async () => {
      const other = await another();
      for (const epoch of [1, 2]) {
        for (const one of [keys, other]) await one.receiveEpoch(epoch, k3Of(epoch));
        const name = anyName();
        const [a, b] = [await keys.objectKey(epoch, name), await other.objectKey(epoch, name)];
        expect(a?.equals(b ?? Buffer.of())).to.equal(true);
      }
      const [operatorOmni, account] = owner();
      const [a, b] = [await keys.operatorSeed(operatorOmni, account), await other.operatorSeed(operatorOmni, account)];
      expect(a.equals(b), "agent seeds are each vault's own").to.equal(false);
    });

    it("sees an epoch that another process prepared, without being opened again", async () => {
      const beside = await open();
      const { epoch, commitment } = await beside.prepareEpoch();
      await eventually(() => Promise.resolve(keys.commitments().get(epoch) === commitment));
      const [a, b] = [await keys.objectKey(epoch, KNOWN_NAME), await beside.objectKey(epoch, KNOWN_NAME)];
      expect(a?.equals(b ?? Buffer.of())).to.equal(true);
    });

    it("what a caller zeroes is its own copy", async () => {
      await keys.receiveEpoch(1, new Secret(fromHex(protocol.objectKey.k3 as Hex)));
      const [operatorOmni, account] = owner();
      const seed = toHex(await keys.operatorSeed(operatorOmni, account));
      for (let n = 0; n < 3; n += 1) {
        const key = await keys.objectKey(1, KNOWN_NAME);
        expect(key && toHex(key)).to.equal(protocol.objectKey.key);
        key?.fill(0);
        const again = await keys.operatorSeed(operatorOmni, account);
        expect(toHex(again)).to.equal(seed);
        again.fill(0);
      }
    });
  });

  describe("seeds", () => {
    it("an operator's seed is HKDF-SHA256 of the agent seed, another for each operator and account", async () => {
      const agentSeed = new Secret(randomBytes(32));
      const one = await another({ ...drawSeeds(), agentSeed: new Secret(Buffer.from(agentSeed.reveal())) });
      const [operatorOmni, account] = owner();
      const info = Buffer.concat([fromHex(operatorOmni), fromHex(account)]);
      const expected = Buffer.from(hkdfSync("sha256", agentSeed.reveal(), "agentkeys.agent-seed.v1", info, 32));
      expect((await one.operatorSeed(operatorOmni, account)).equals(expected)).to.equal(true);
      const others = [await one.operatorSeed(operatorOmni, owner()[1]), await one.operatorSeed(owner()[0], account)];
      for (const other of others) expect(other.equals(expected)).to.equal(false);
    });

    it("a vault made again of the same seeds is the same vault: epochs, agent keys, state key", async () => {
      const seeds = { ...drawSeeds(), epochs: new Map([1, 2, 3].map((epoch) => [epoch, k3Of(epoch)])) };
      const copy = (): VaultSeeds => ({
        epochs: new Map([...seeds.epochs].map(([epoch, k3]) => [epoch, new Secret(Buffer.from(k3.reveal()))])),
        agentSeed: new Secret(Buffer.from(seeds.agentSeed.reveal())),
        stateKey: new Secret(Buffer.from(seeds.stateKey.reveal())),
      });
      const [first, restored] = [await another(copy()), await another(copy())];
      expect([...restored.commitments()].sort()).to.deep.equal([...first.commitments()].sort());
      expect(first.commitments().size).to.equal(3);
      const [operatorOmni, account] = owner();
      const pairs = [
        [await first.objectKey(2, KNOWN_NAME), await restored.objectKey(2, KNOWN_NAME)],
        [await first.operatorSeed(operatorOmni, account), await restored.operatorSeed(operatorOmni, account)],
        [first.stateKey().reveal(), restored.stateKey().reveal()],
      ];
      for (const [a, b] of pairs) expect(a?.equals(b ?? Buffer.of())).to.equal(true);
      expect(first.stateKey().reveal().equals(seeds.stateKey.reveal())).to.equal(true);
    });

    it("the state key stays the same", async () => {
      const before = Buffer.from(keys.stateKey().reveal());
      expect(before).to.have.length(32);
      await reopen();
      expect(keys.stateKey().reveal().equals(before)).to.equal(true);
    });

    it("a vault is never made over another", async () => {
      await keys.receiveEpoch(1, k3Of(1));
      await keys.close();
      expect(await thrownBy(() => place.create())).to.be.instanceOf(VaultKeysError);
      keys = await open();
      expect(keys.commitments().size).to.equal(1);
    });

    it("nothing on the disk holds seed, state key, K3, PRK or object key in any readable form", async () => {
      const seeds = drawSeeds();
      const k3 = randomBytes(32);
      const where = newPlace();
      const secrets: Record<string, Buffer> = {
        "agent seed": Buffer.from(seeds.agentSeed.reveal()),
        "state key": Buffer.from(seeds.stateKey.reveal()),
        K3: Buffer.from(k3),
        PRK: Buffer.from(hkdfSync("sha256", k3, "agentkeys.kek-salt.v2", "", 32)),
      };
      await where.create(seeds);
      const one = await open(where);
      await one.receiveEpoch(1, new Secret(k3));
      await one.prepareEpoch();
      await one.rotateTokenSecret(clock, false);
      secrets["object key"] = (await one.objectKey(1, KNOWN_NAME)) ?? Buffer.of();
      secrets["operator seed"] = await one.operatorSeed(...owner());
      expect(secretsUnder(where.dir, secrets)).to.deep.equal([]);
    });
  });

  describe("token secrets", () => {
    const INPUT = Buffer.from("eyJhbGciOiJIUzI1NiJ9.e30");
    const signing = (): string => keys.tokenSecrets().find((one) => one.retiredAt === undefined)?.kid ?? "";

    it("one signs from the first opening on; its HMAC is stable, and another for other bytes and other secrets", async () => {
      expect(keys.tokenSecrets()).to.have.length(1);
      const kid = signing();
      const mac = await keys.macCredential(kid, INPUT);
      expect(mac).to.have.length(32);
      await reopen();
      expect(signing()).to.equal(kid);
      expect((await keys.macCredential(kid, INPUT))?.equals(mac ?? Buffer.of())).to.equal(true);
      expect((await keys.macCredential(kid, Buffer.from(`${INPUT.toString()}x`)))?.equals(mac ?? Buffer.of())).to.equal(
        false,
      );
      const next = await keys.rotateTokenSecret(clock, false);
      expect((await keys.macCredential(next.kid, INPUT))?.equals(mac ?? Buffer.of())).to.equal(false);
    });

    it("an unknown kid has no HMAC", async () => {
      for (const kid of ["", "x", `${signing()}A`, signing().slice(1), "__proto__"]) {
        expect(await keys.macCredential(kid, INPUT), kid).to.equal(undefined);
      }
    });

    it("retired, it verifies until what it signed has expired, and not a second longer", async () => {
      const first = signing();
      const exp = Math.ceil(clock / HOUR) * HOUR + 2 * DAY;
      await keys.noteExpiry(first, exp);
      const mac = await keys.macCredential(first, INPUT);
      clock += HOUR;
      const second = await keys.rotateTokenSecret(clock, false);
      expect(signing()).to.equal(second.kid);
      expect(keys.tokenSecrets().find((one) => one.kid === first)).to.deep.equal({
        kid: first,
        createdAt: START,
        retiredAt: START + HOUR,
        lastExpiry: exp,
      });
      await reopen();
      clock = exp - 1;
      expect((await keys.macCredential(first, INPUT))?.equals(mac ?? Buffer.of())).to.equal(true);
      clock = exp;
      expect(await keys.macCredential(first, INPUT)).to.equal(undefined);
      expect(await keys.macCredential(second.kid, INPUT)).to.have.length(32);
      await keys.rotateTokenSecret(clock, false);
      expect(keys.tokenSecrets().map((one) => one.kid)).to.not.include(first);
    });

    it("one that signed nothing is gone when it retires", async () => {
      const first = signing();
      const second = await keys.rotateTokenSecret(clock, false);
      expect(keys.tokenSecrets()).to.deep.equal([second]);
      expect(await keys.macCredential(first, INPUT)).to.equal(undefined);
    });

    it("verifies at most seven days after it retired, whatever it was asked to sign", async () => {
      const first = signing();
      await keys.noteExpiry(first, clock + 30 * DAY);
      await keys.rotateTokenSecret(clock, false);
      await keys.noteExpiry(first, clock + 60 * DAY);
      expect(keys.tokenSecrets()[0]?.lastExpiry).to.equal(clock + LONGEST_OVERLAP);
      clock = START + LONGEST_OVERLAP - 1;
      expect(await keys.macCredential(first, INPUT)).to.have.length(32);
      clock += 1;
      expect(await keys.macCredential(first, INPUT)).to.equal(undefined);
    });

    it("a forced rotation ends all before it at once, and for good", async () => {
      const kids = [signing()];
      for (let day = 1; day <= 3; day += 1) {
        await keys.noteExpiry(signing(), clock + 3 * DAY);
        clock += DAY / 2;
        kids.push((await keys.rotateTokenSecret(clock, false)).kid);
      }
      for (const kid of kids) expect(await keys.macCredential(kid, INPUT), kid).to.have.length(32);
      const forced = await keys.rotateTokenSecret(clock, true);
      const onlyForced = async (): Promise<void> => {
        expect(keys.tokenSecrets()).to.deep.equal([forced]);
        for (const kid of kids) expect(await keys.macCredential(kid, INPUT), kid).to.equal(undefined);
        expect(await keys.macCredential(forced.kid, INPUT)).to.have.length(32);
      };
      await onlyForced();
      await keys.noteExpiry(kids[0] ?? "", clock + DAY);
      await reopen();
      await onlyForced();
    });

    it("what is noted is on the disk when it answers, rounded up to the hour; an earlier one changes nothing", async () => {
      const kid = signing();
      const hour = Math.ceil(clock / HOUR) * HOUR;
      for (const [exp, noted] of [
        [hour + 1, hour + HOUR],
        [hour + HOUR, hour + HOUR],
        [hour - 5, hour + HOUR],
        [hour + HOUR + 1, hour + 2 * HOUR],
      ] as const) {
        await keys.noteExpiry(kid, exp);
        const beside = await open();
        expect(beside.tokenSecrets()).to.deep.equal([{ kid, createdAt: START, lastExpiry: noted }]);
        await beside.close();
      }
      await keys.noteExpiry("unknown", hour + 9 * DAY);
      expect(keys.tokenSecrets()).to.have.length(1);
    });

    it("ten days, an issue an hour, a rotation a day: nothing live dies early, nothing dead lives", async () => {
      const issued: { kid: string; exp: number; input: Uint8Array; mac: Buffer }[] = [];
      const lastOf = new Map<string, number>();
      const kids = new Set<string>();
      for (let hour = 0; hour <= 24 * 10; hour += 1) {
        clock = START + hour * HOUR;
        if (hour > 0 && hour % 24 === 0) await keys.rotateTokenSecret(clock, false);
        // lifetimes from a minute to seven days
        const exp = clock + 60 + ((hour * 7_919) % (LONGEST_OVERLAP - 60));
        let kid = "";
        const { signingInput, mac } = await signCredential(keys, exp, (by) => {
          kid = by;
          return Buffer.from(`${by}.${String(hour)}`);
        });
        kids.add(kid);
        lastOf.set(kid, Math.max(lastOf.get(kid) ?? 0, exp));
        issued.push({ kid, exp, input: signingInput, mac });
        if (hour === 100) await reopen();
        for (const secret of keys.tokenSecrets()) {
          if (secret.retiredAt === undefined) continue;
          expect(secret.lastExpiry).to.be.at.most(secret.retiredAt + LONGEST_OVERLAP);
          // coarse by at most an hour
          expect(secret.lastExpiry).to.be.at.most((lastOf.get(secret.kid) ?? 0) + HOUR);
        }
        for (const one of issued) {
          const again = await keys.macCredential(one.kid, one.input);
          if (clock < one.exp) expect(again?.equals(one.mac), `hour ${String(hour)}`).to.equal(true);
          else if (clock >= (lastOf.get(one.kid) ?? 0) + HOUR && one.kid !== signing()) {
            expect(again, `hour ${String(hour)}`).to.equal(undefined);
          }
        }
      }
      expect(kids.size).to.equal(11);
      clock += LONGEST_OVERLAP;
      for (const kid of kids) {
        const mac = await keys.macCredential(kid, INPUT);
        if (kid === signing()) expect(mac).to.have.length(32);
        else expect(mac).to.equal(undefined);
      }
    });

    it("10,000 issues beside rotations: each verifies under the kid that it names", async () => {
      const exp = clock + 3 * DAY;
      const made: { kid: string; input: Uint8Array; mac: Buffer }[] = [];
      const rotations: Promise<unknown>[] = [];
      for (let n = 0; n < 100; n += 1) {
        if (n % 4 === 1) rotations.push(keys.rotateTokenSecret(clock, false));
        const some = Array.from({ length: 100 }, async (_, i) => {
          let kid = "";
          const { signingInput, mac } = await signCredential(keys, exp, (by) => {
            kid = by;
            return Buffer.from(`${by}.${String(n)}.${String(i)}`);
          });
          made.push({ kid, input: signingInput, mac });
        });
        await Promise.all(some);
      }
      await Promise.all(rotations);
      expect(made).to.have.length(10_000);
      expect(new Set(made.map((one) => one.kid)).size).to.be.greaterThan(5);
      for (const { kid, input, mac } of made) {
        expect((await keys.macCredential(kid, input))?.equals(mac), kid).to.equal(true);
      }
    });

    it("a rotation that takes the secret away in the middle of an issue leaves one by the next secret", async () => {
      const composed: string[] = [];
      let forced: Promise<unknown> | undefined;
      const { mac, signingInput } = await signCredential(
        {
          ...keys,
          macCredential: async (kid, input) => {
            forced ??= keys.rotateTokenSecret(clock, true);
            await forced;
            return keys.macCredential(kid, input);
          },
        },
        clock + DAY,
        (kid) => {
          composed.push(kid);
          return Buffer.from(kid);
        },
      );
      expect(composed).to.have.length(2);
      expect(Buffer.from(signingInput).toString()).to.equal(signing());
      expect((await keys.macCredential(signing(), signingInput))?.equals(mac)).to.equal(true);
    });
  });

  describe("ES256", () => {
    it("verifies under the published key of its use and its kid, and under no other", async () => {
      const input = randomBytes(300);
      const published = {
        sts: parseJwks(Buffer.from(JSON.stringify(keys.publicJwks("sts")))),
        audit: parseJwks(Buffer.from(JSON.stringify(keys.publicJwks("audit")))),
      };
      for (const [use, otherUse] of [
        ["sts", "audit"],
        ["audit", "sts"],
      ] as const) {
        expect(published[use]?.size).to.equal(1);
        for (let n = 0; n < 5; n += 1) {
          const { kid, signature } = await keys.signEs256(use, input);
          expect(signature).to.have.length(64);
          const key = published[use]?.get(kid);
          const other = [...(published[otherUse]?.values() ?? [])][0];
          if (key === undefined || other === undefined) throw new Error(`no key ${kid}`);
          const under = (one: typeof key, bytes: Buffer): boolean =>
            verify("sha256", bytes, { key: one, dsaEncoding: "ieee-p1363" }, signature);
          expect(under(key, input)).to.equal(true);
          expect(under(other, input)).to.equal(false);
          expect(under(key, Buffer.concat([input, Buffer.of(0)]))).to.equal(false);
        }
      }
    });

    it("keys stay, are each vault's own, and what is published is public", async () => {
      const before = [keys.publicJwks("sts"), keys.publicJwks("audit")];
      for (const { keys: published } of before) {
        for (const jwk of published) expect(jwk).to.have.all.keys("kty", "crv", "x", "y", "kid", "use", "alg");
      }
      await reopen();
      expect([keys.publicJwks("sts"), keys.publicJwks("audit")]).to.deep.equal(before);
      expect((await another()).publicJwks("sts")).to.not.deep.equal(before[0]);
    });
  });

  describe("the anchor of the state", () => {
    it("belongs to one state for good", async () => {
      expect(keys.stateAnchor().id()).to.equal(undefined);
      await keys.stateAnchor().bind("one");
      await keys.stateAnchor().bind("one");
      expect(await thrownBy(() => keys.stateAnchor().bind("two"))).to.be.instanceOf(VaultKeysError);
      await reopen();
      expect(keys.stateAnchor().id()).to.equal("one");
    });

    it("made of seeds that are in use elsewhere, it says so until it is bound to a state, and never again", async () => {
      const where = newPlace();
      await where.create({ ...drawSeeds(), stateId: STATE_ELSEWHERE });
      let one = await open(where);
      expect(one.stateAnchor().id()).to.equal(STATE_ELSEWHERE);
      await one.rotateTokenSecret(clock, true);
      await one.close();
      one = await open(where);
      expect(one.stateAnchor().id()).to.equal(STATE_ELSEWHERE);
      await one.stateAnchor().bind("one");
      for (const id of [STATE_ELSEWHERE, "two"]) {
        expect(await thrownBy(() => one.stateAnchor().bind(id))).to.be.instanceOf(VaultKeysError);
      }
      await one.close();
      expect((await open(where)).stateAnchor().id()).to.equal("one");
    });

    it("keeps everything else when it is bound, and is kept when everything else changes", async () => {
      await keys.prepareEpoch();
      const [secrets, commitments] = [keys.tokenSecrets(), [...keys.commitments()]];
      await keys.stateAnchor().bind("one");
      expect(keys.tokenSecrets()).to.deep.equal(secrets);
      expect([...keys.commitments()]).to.deep.equal(commitments);
      await keys.rotateTokenSecret(clock, true);
      await keys.prepareEpoch();
      await reopen();
      expect(keys.stateAnchor().id()).to.equal("one");
    });
  });
}

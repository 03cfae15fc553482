import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { prepareEpoch } from "../../../../offchain/signer/vault/epochs";
import { k3Commitment } from "../../../../offchain/signer/vault/k3";
import { type SealedSource, prepareEverywhere, readSeeds } from "../../../../offchain/signer/vault/keys/hand-over";
import { VaultKeysError } from "../../../../offchain/signer/vault/keys/vault-keys";
import { type Hex, fromBase64url } from "../../../../offchain/wire/bytes";
import type { Op } from "../../../../offchain/wire/names";
import { decryptObject, encodeObjectHeader, parseObject, parseObjectHeader } from "../../../../offchain/wire/object";
import type { ProblemCode } from "../../../../offchain/wire/problem";
import type { Result } from "../../../../offchain/wire/result";
import { Secret } from "../../../../offchain/wire/secret";
import { type Stack, startStack } from "../../../../scripts/lib/stack";
import { backUp, restore } from "../../../../scripts/lib/vault-backup";
import { type Party, World } from "../../../drills/world";
import { type EpochVault, copyOf, forEachProcessBackEnd } from "../../../helpers/epoch-vaults";
import { nextEpoch } from "../../../helpers/epochs";
import { eventually } from "../../../helpers/eventually";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { type VaultPipe, dataKeysWords } from "../../../helpers/vault";
import { DATA_KEYS_ROUTE, WORKER_CALLER } from "../../../helpers/vault-attacks";
import { countersign, signCap } from "../../../helpers/words";

describe("signer: K3 epochs at work", function () {
  this.timeout(300_000);
  const folders = temporaryFolders();
  let stack: Stack;
  let world: World;
  /** Whose object was stored in epoch 1, 2 and 3. */
  const parties: Party[] = [];
  /** The stack's keys as they were in epoch 2; as they are; with a K3 of epoch 3 of its own; with one of epoch 4. */
  let older: SealedSource;
  let full: SealedSource;
  let diverged: SealedSource;
  let ahead: SealedSource;
  let commitments: ReadonlyMap<number, Hex>;

  before(async () => {
    stack = await startStack({ dir: folders.make(), logLevel: "warn" });
    world = await World.over(stack);
    const own = {
      file: join(stack.dir, "vault", "vault.sealed"),
      unlock: new Secret(readFileSync(join(stack.dir, "vault", "passphrase"))),
    };
    for (const epoch of [1, 2, 3]) {
      if (epoch === 3) older = copyOf(own, folders.make());
      if (epoch > 1) await nextEpoch(world);
      const party = await world.newParty();
      parties.push(party);
      await world.as(party, async () => {
        await world.store(secretOf(epoch));
      });
    }
    full = copyOf(own, folders.make());
    diverged = copyOf(older, folders.make());
    prepareEpoch(diverged.file, diverged.unlock, false);
    ahead = copyOf(own, folders.make());
    prepareEpoch(ahead.file, ahead.unlock, false);
    commitments = new Map((await keysOf(full)).map(({ epoch, commitment }) => [epoch, commitment]));
  });

  after(async () => {
    await world.close();
    await stack.stop();
    folders.removeAll();
  });

  const secretOf = (epoch: number): string => `sk-of-epoch-${String(epoch)}`;
  const partyOf = (epoch: number): Party => parties[epoch - 1] ?? never();

  async function keysOf(source: SealedSource): Promise<readonly { epoch: number; commitment: Hex }[]> {
    return [...(await readSeeds(source)).epochs].map(([epoch, k3]) => ({
      epoch,
      commitment: k3Commitment(epoch, k3.reveal()),
    }));
  }

  /** What an honest worker asks for the object of an epoch, as the text that it sends. */
  async function wordsFor(epoch: number, op: Op, change: Readonly<Record<string, unknown>> = {}): Promise<string> {
    let words: Record<string, unknown> = {};
    const party = partyOf(epoch);
    await world.as(party, async () => {
      const { cap } = await world.mint(op);
      words = dataKeysWords(world, party.agentDevice, op, cap, {}, change);
    });
    return JSON.stringify(words);
  }

  const ask = (vault: VaultPipe, words: string): Promise<Result<unknown>> =>
    vault.ask(DATA_KEYS_ROUTE, WORKER_CALLER, words);

  async function expectRefused(answer: Promise<Result<unknown>>, code: ProblemCode, about = ""): Promise<void> {
    const got = await answer;
    expect(got.ok ? "answered" : got.failure.code, about).to.equal(code);
  }

  function keyIn(answer: Result<unknown>): Buffer {
    if (!answer.ok) throw new Error(`${answer.failure.code}: ${answer.failure.detail}`);
    return fromBase64url((answer.value as { content_key?: unknown }).content_key) ?? never();
  }

  const stored = (epoch: number): ReturnType<typeof objectOf> => objectOf(world.objectFile(undefined, partyOf(epoch)));

  /** The header of an object as if it were of another epoch. */
  function headerAt(epoch: number, of: number): string {
    return encodeObjectHeader({ ...stored(of).header, epoch });
  }

  /** The object of an epoch opens with the key that this vault answers. */
  async function expectReads(vault: VaultPipe, epoch: number): Promise<void> {
    const key = keyIn(await ask(vault, await wordsFor(epoch, "fetch")));
    expect(decryptObject(stored(epoch), key)?.toString()).to.equal(secretOf(epoch));
  }

  it("objects of three epochs are stored, and the stack reads them all", async () => {
    expect([1, 2, 3].map((epoch) => stored(epoch).header.epoch)).to.deep.equal([1, 2, 3]);
    for (const epoch of [1, 2, 3]) {
      await world.as(partyOf(epoch), async () => {
        expect((await world.fetch()).secret).to.equal(secretOf(epoch));
      });
    }
  });

  it("restored from a backup of epoch 2 by the admin's own programs, a vault is that of epoch 2", async () => {
    const dir = folders.make();
    const backup = join(folders.make(), "backup");
    const elsewhere = folders.make();
    const { file } = copyOf(older, dir);
    expect(await backUp({ stateDir: dir, vaultFile: file, backup })).to.include.members(["keys", "keys.seq"]);
    const target = { stateDir: elsewhere, vaultFile: join(elsewhere, "vault.sealed") };
    await restore({ ...target, backup, force: false });
    const restored = { file: target.vaultFile, unlock: older.unlock };
    expect(await keysOf(restored)).to.deep.equal(await keysOf(older));
    older = restored;
  });

  forEachProcessBackEnd((backEnd) => {
    let [one, two, lacking, wrong, early]: VaultPipe[] = [];
    let lackingVault: EpochVault;
    let wrongVault: EpochVault;

    before(async () => {
      const by = backEnd();
      const make = (from: SealedSource): Promise<EpochVault> => by.make(stack, from, folders.make());
      const [first, second] = [await make(full), await make(full)];
      lackingVault = await make(older);
      wrongVault = await make(diverged);
      const earlyVault = await make(ahead);
      [one, two, lacking, wrong, early] = await Promise.all([
        first.start(),
        second.start(),
        lackingVault.start({ until: "signer_unavailable" }),
        wrongVault.start({ until: "signer_unavailable" }),
        earlyVault.start(),
      ]);
    });

    after(async () => {
      for (const vault of [one, two, lacking, wrong, early]) await vault?.stop();
    });

    const running = (vault: VaultPipe | undefined): VaultPipe => vault ?? never();

    it("every past epoch is read, and two vaults with the same keys answer the same content keys", async () => {
      for (const epoch of [1, 2, 3]) {
        const words = await wordsFor(epoch, "fetch");
        const [a, b] = [keyIn(await ask(running(one), words)), keyIn(await ask(running(two), words))];
        expect(a.equals(b)).to.equal(true);
        expect(decryptObject(stored(epoch), a)?.toString()).to.equal(secretOf(epoch));
      }
    });

    it("what one of them wraps the other unwraps, and an object of epoch 1 is rotated into epoch 3 by either", async () => {
      for (const [from, to] of [
        [running(one), running(two)],
        [running(two), running(one)],
      ] as const) {
        const words = JSON.parse(await wordsFor(1, "rotate")) as { next_header: string };
        const answer = await ask(from, JSON.stringify(words));
        const fresh = keyIn(answer);
        const { encrypted_key } = (answer.ok ? answer.value : {}) as { encrypted_key?: string };
        expect(parseObjectHeader(words.next_header)?.epoch).to.equal(3);
        const change = { header: words.next_header, encrypted_key };
        expect(keyIn(await ask(to, await wordsFor(1, "fetch", change))).equals(fresh)).to.equal(true);
      }
    });

    it("an epoch that is not yet is refused, also by a vault that holds its key", async () => {
      for (const vault of [running(one), running(early)]) {
        for (const op of ["fetch", "rotate"] as const) {
          const honest = await wordsFor(3, op);
          await expectRefused(ask(vault, await wordsFor(3, op, { header: headerAt(4, 3) })), "object_corrupt", op);
          expect((await ask(vault, honest)).ok, `the same ${op} of epoch 3`).to.equal(true);
        }
        const store = JSON.parse(await wordsFor(3, "store")) as { header: string };
        const header = parseObjectHeader(store.header) ?? never();
        const later = { ...store, header: encodeObjectHeader({ ...header, epoch: 4 }) };
        await expectRefused(ask(vault, JSON.stringify(later)), "object_corrupt", "store");
        expect((await ask(vault, await wordsFor(3, "store"))).ok).to.equal(true);
        const rotate = JSON.parse(await wordsFor(3, "rotate")) as { next_header: string };
        const next = parseObjectHeader(rotate.next_header) ?? never();
        const beyond = { ...rotate, next_header: encodeObjectHeader({ ...next, epoch: 4 }) };
        await expectRefused(ask(vault, JSON.stringify(beyond)), "object_corrupt", "into epoch 4");
      }
    });

    it("a write into a past epoch is refused: new versions are of the current one", async () => {
      const store = JSON.parse(await wordsFor(3, "store")) as { header: string };
      const header = parseObjectHeader(store.header) ?? never();
      const past = { ...store, header: encodeObjectHeader({ ...header, epoch: 2 }) };
      await expectRefused(ask(running(one), JSON.stringify(past)), "k3_epoch_mismatch");
    });

    it("a cap of an epoch that was or is not yet is refused, countersigned by the broker's own key", async () => {
      const broker = await world.stolenBroker();
      const party = partyOf(3);
      await world.as(party, async () => {
        for (const [k3Epoch, isCurrent] of [
          [2, false],
          [3, true],
          [4, false],
        ] as const) {
          const request = world.cap({ op: "fetch", k3Epoch });
          const cap = countersign(broker, request, signCap(world.separator, party.agentDevice, request));
          const words = JSON.stringify(dataKeysWords(world, party.agentDevice, "fetch", cap));
          const answer = await ask(running(early), words);
          expect(answer.ok ? "answered" : answer.failure.code).to.equal(isCurrent ? "answered" : "k3_epoch_mismatch");
        }
      });
    });

    it("a content key that was wrapped in one epoch does not unwrap as another's", async () => {
      for (const other of [2, 3]) {
        await expectRefused(
          ask(running(one), await wordsFor(1, "fetch", { header: headerAt(other, 1) })),
          "object_corrupt",
        );
      }
      await expectReads(running(one), 1);
    });

    for (const [what, vault, keys] of [
      ["without the current epoch's key (an older backup)", () => running(lacking), () => lackingVault],
      ["whose key of the current epoch is not the committed one", () => running(wrong), () => wrongVault],
    ] as const) {
      it(`a vault ${what} says so, works for older objects, and never draws a fresh key`, async () => {
        const before = await held(keys());
        await expectRefused(vault().ask("GET /readyz", "front", ""), "signer_unavailable", "readyz");
        await expectRefused(
          vault().ask("GET /v1/epoch", "URI:spiffe://agentkeys/broker", ""),
          "signer_unavailable",
          "epoch",
        );
        for (let n = 0; n < 5; n += 1) {
          await expectRefused(ask(vault(), await wordsFor(3, "fetch")), "signer_unavailable", "fetch of epoch 3");
          await expectRefused(ask(vault(), await wordsFor(3, "store")), "signer_unavailable", "store");
          await expectRefused(ask(vault(), await wordsFor(1, "rotate")), "signer_unavailable", "rotate into epoch 3");
        }
        expect(vault().said.logs().toString()).to.match(/"epoch":3[^\n]*no key for the epoch/);
        for (const epoch of [1, 2]) await expectReads(vault(), epoch);
        expect(await held(keys())).to.deep.equal(before);
      });
    }

    it("a key that is not the committed one is not replaced by the right one: somebody has to look", async () => {
      const right = (await readSeeds(full)).epochs.get(3) ?? never();
      const keys = await wrongVault.open();
      try {
        const refused: unknown = await keys.receiveEpoch(3, right).catch((error: unknown) => error);
        expect(refused).to.be.instanceOf(VaultKeysError);
        expect(keys.commitments().get(3)).to.not.equal(commitments.get(3));
        expect(await keys.receiveEpoch(2, (await readSeeds(full)).epochs.get(2) ?? never())).to.equal(
          commitments.get(2),
        );
      } finally {
        await keys.close();
      }
    });

    it("the vault of the older backup takes the missing epoch by hand-over, while it runs; nothing is drawn", async () => {
      const source = copyOf(full, folders.make());
      const keys = await lackingVault.open();
      try {
        const done = await prepareEverywhere(source, [keys]);
        expect(done).to.deep.equal({ epoch: 3, commitment: commitments.get(3), drawn: false });
      } finally {
        await keys.close();
      }
      await eventually(async () => (await running(lacking).ask("GET /readyz", "front", "")).ok);
      for (const epoch of [1, 2, 3]) await expectReads(running(lacking), epoch);
      const words = await wordsFor(3, "fetch");
      expect(keyIn(await ask(running(lacking), words)).equals(keyIn(await ask(running(one), words)))).to.equal(true);
      expect((await ask(running(lacking), await wordsFor(3, "store"))).ok).to.equal(true);
    });

    /** Commitments of what a vault's back end holds, read anew. */
    async function held(vault: EpochVault): Promise<readonly (readonly [number, Hex])[]> {
      const keys = await vault.open();
      try {
        return [...keys.commitments()].sort(([a], [b]) => a - b);
      } finally {
        await keys.close();
      }
    }
  });
});

function objectOf(file: string): NonNullable<ReturnType<typeof parseObject>> {
  return parseObject(readFileSync(file)) ?? never();
}

function never(): never {
  throw new Error("what the test relies on is not there");
}

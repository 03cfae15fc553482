import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { VaultFileError } from "../../../../offchain/signer/vault/keys/checked-file";
import { type StateAnchor, VaultKeysError } from "../../../../offchain/signer/vault/keys/vault-keys";
import { STATE_FILE, openVaultState } from "../../../../offchain/signer/vault/state/open-state";
import {
  type AgentKeyRecord,
  type KeyOwner,
  type VaultState,
  VaultStateError,
} from "../../../../offchain/signer/vault/state/vault-state";
import { StoreUnavailable } from "../../../../offchain/store/unavailable";
import { toHex } from "../../../../offchain/wire/bytes";
import { Secret } from "../../../../offchain/wire/secret";
import { anyOwner, anyRecord } from "../../../helpers/agent-key-record";
import { temporaryFolders } from "../../../helpers/temporary-folder";

type ErrorClass = abstract new (...args: never[]) => Error;

/** An anchor in memory; with `number` it keeps the state's sequence as a token does. */
function anchorInMemory(number?: number): StateAnchor & { bound?: string } {
  let value = number ?? 0;
  const sequence = {
    value: () => value,
    raise: (to: number) => {
      value = Math.max(value, to);
      return Promise.resolve();
    },
  };
  const anchor: StateAnchor & { bound?: string } = {
    id: () => anchor.bound,
    bind: (id) => {
      if (anchor.bound !== undefined && anchor.bound !== id) return Promise.reject(new VaultKeysError("bound already"));
      anchor.bound = id;
      return Promise.resolve();
    },
    ...(number === undefined ? {} : { sequence }),
  };
  return anchor;
}

describe("signer: the vault's state", function () {
  this.timeout(120_000);
  const folders = temporaryFolders();
  const owner = anyOwner();
  let dir: string;
  let file: string;
  let key: Secret<Buffer>;
  let anchor: StateAnchor;
  let state: VaultState | undefined;

  const open = async (): Promise<VaultState> => (state = await openVaultState({ dir, key, anchor }));
  const create = (one: VaultState, who: KeyOwner = owner): Promise<AgentKeyRecord> =>
    one.create(who, (index) => anyRecord(who, index));
  const close = async (): Promise<void> => {
    await state?.close();
    state = undefined;
  };
  const reopened = async (): Promise<VaultState> => {
    await close();
    return open();
  };

  /** The refusal's words, without the file's name. */
  async function refused(act: () => Promise<unknown>, kind: ErrorClass): Promise<string> {
    const error: unknown = await act().then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(kind);
    return (error as Error).message.replaceAll(file, "FILE");
  }

  beforeEach(() => {
    dir = join(folders.make(), "state");
    file = join(dir, STATE_FILE);
    key = new Secret(randomBytes(32));
    anchor = anchorInMemory();
  });

  afterEach(close);

  after(() => {
    folders.removeAll();
  });

  describe("records", () => {
    it("starts empty, writes nothing before the first change, and gives back what was put in", async () => {
      let one = await open();
      expect([one.all(), one.agentKeysOf(owner.operatorOmni), one.agentKey("x")]).to.deep.equal([[], [], undefined]);
      expect(existsSync(file)).to.equal(false);
      const other = anyOwner();
      const made = [await create(one), await create(one), await create(one, other)];
      expect(made.map((record) => record.index)).to.deep.equal([0, 1, 0]);
      expect(statSync(file).mode & 0o777).to.equal(0o600);
      expect(statSync(dir).mode & 0o777).to.equal(0o700);
      one = await reopened();
      expect(one.all()).to.deep.equal(made);
      expect(one.agentKeysOf(other.operatorOmni)).to.deep.equal(made.slice(2));
      expect(one.agentKey(made[1]?.keyId ?? "")).to.deep.equal(made[1]);
    });

    it("100 parallel creates give 100 indices, also after revocations and opening again; none is used twice", async () => {
      let one = await open();
      const indices = new Set<number>();
      for (let round = 0; round < 3; round += 1) {
        const made = await Promise.all(Array.from({ length: 100 }, () => create(one)));
        for (const { index } of made) indices.add(index);
        for (const { keyId } of made.slice(0, 10)) {
          await one.update(keyId, (now) => ({ ...now, epoch: now.epoch + 1, revokedAt: 1_800_000_000 }));
        }
        if (round === 1) one = await reopened();
      }
      expect([...indices].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: 300 }, (_, i) => i));
      expect(one.all()).to.have.length(300);
    });

    it("owners differ by operator and by account", async () => {
      const one = await open();
      const { operatorOmni, account } = anyOwner();
      for (const who of [owner, { ...owner, account }, { ...owner, operatorOmni }]) {
        expect(
          (await one.create(who, (index) => anyRecord(who, index, { keyId: `${who.operatorOmni}/${who.account}` })))
            .index,
        ).to.equal(0);
      }
    });

    it("a creation that fails reserves nothing, and those beside it are kept", async () => {
      const one = await open();
      const bad = [
        (index: number) => anyRecord(owner, index + 1),
        (index: number) => anyRecord(anyOwner(), index),
        (index: number) => anyRecord({ ...owner, account: anyOwner().account }, index),
        (index: number) => anyRecord(owner, index, { keyId: "" }),
        (index: number) => anyRecord(owner, index, { label: "\ud800" }),
        (index: number) => anyRecord(owner, index, { epoch: 1.5 }),
        (index: number) => anyRecord(owner, index, { createdAt: -1 }),
        (index: number) => anyRecord(owner, index, { agentAddress: "0x12" }),
        (index: number) => anyRecord(owner, index, { credentialHash: "0x12" }),
        () => {
          throw new VaultStateError("no passkey, no key");
        },
      ];
      const attempts = bad.flatMap((make) => [one.create(owner, make), create(one)]);
      const outcomes = await Promise.allSettled(attempts);
      for (const [i, outcome] of outcomes.entries()) {
        expect(outcome.status, String(i)).to.equal(i % 2 === 0 ? "rejected" : "fulfilled");
        if (outcome.status === "rejected") expect(outcome.reason).to.be.instanceOf(VaultStateError);
      }
      expect(one.all().map((record) => record.index)).to.deep.equal(bad.map((_, i) => i));
      await refused(
        () => one.create(owner, (index) => anyRecord(owner, index, { keyId: one.all()[0]?.keyId ?? "" })),
        VaultStateError,
      );
      expect((await reopened()).all()).to.have.length(bad.length);
    });

    it("an epoch never falls, a revocation stays, and what identifies a key never changes", async () => {
      let one = await open();
      const { keyId } = await create(one);
      const raised = await one.update(keyId, (now) => ({ ...now, epoch: 5 }));
      expect(raised.epoch).to.equal(5);
      await one.update(keyId, (now) => ({ ...now, epoch: 5, label: "the same epoch may stay" }));
      const changes: readonly Partial<AgentKeyRecord>[] = [
        { epoch: 4 },
        { epoch: 0 },
        { keyId: `${keyId}0` },
        { index: 7 },
        anyOwner(),
        { agentAddress: toHex(randomBytes(20)) },
        { createdAt: 1 },
      ];
      for (const change of changes) {
        await refused(() => one.update(keyId, (now) => ({ ...now, ...change })), VaultStateError);
      }
      await one.update(keyId, (now) => ({ ...now, epoch: now.epoch + 1, revokedAt: 1_800_000_000 }));
      await refused(() => one.update(keyId, (now) => ({ ...now, revokedAt: 1_800_000_001 })), VaultStateError);
      await refused(
        () =>
          one.update(keyId, (now) => {
            const { revokedAt, ...rest } = now;
            expect(revokedAt).to.equal(1_800_000_000);
            return rest;
          }),
        VaultStateError,
      );
      await refused(() => one.update("nobody's", (now) => now), VaultStateError);
      one = await reopened();
      expect(one.agentKey(keyId)).to.include({ epoch: 6, revokedAt: 1_800_000_000, label: "the same epoch may stay" });
    });

    it("what it gives out cannot be used to change it", async () => {
      const one = await open();
      const made = await create(one);
      expect(() => Object.assign(made, { epoch: 0 })).to.throw(TypeError);
      expect(() => Object.assign(one.agentKey(made.keyId) ?? {}, { epoch: 0 })).to.throw(TypeError);
      (one.all() as AgentKeyRecord[]).length = 0;
      expect(one.all()).to.have.length(1);
    });

    it("updates that come together are done one after the other, each on the one before", async () => {
      const one = await open();
      const { keyId } = await create(one);
      await Promise.all(
        Array.from({ length: 50 }, () => one.update(keyId, (now) => ({ ...now, epoch: now.epoch + 1 }))),
      );
      expect(one.agentKey(keyId)?.epoch).to.equal(51);
    });

    it("changes that wait together share a write", async () => {
      const one = await open();
      await create(one);
      const before = sequenceOf(file);
      await Promise.all(Array.from({ length: 200 }, () => create(one)));
      expect(sequenceOf(file) - before).to.be.within(1, 3);
    });
  });

  describe("signature counters (WebAuthn Level 3 §6.1.1)", () => {
    const passkey = toHex(randomBytes(32));

    it("0 is accepted while nothing else was seen; then only what is higher; kept for each passkey", async () => {
      let one = await open();
      const ask = (count: number, id = passkey): Promise<boolean> => one.acceptSignCount(id, count);
      expect([await ask(0), await ask(0)]).to.deep.equal([true, true]);
      expect(existsSync(file), "nothing to keep yet").to.equal(false);
      expect([await ask(3), await ask(3), await ask(2), await ask(0)]).to.deep.equal([true, false, false, false]);
      one = await reopened();
      expect([await ask(3), await ask(4), await ask(4_294_967_295)]).to.deep.equal([false, true, true]);
      expect(await ask(0, toHex(randomBytes(32)))).to.equal(true);
    });

    it("of many at once with one count, one is accepted", async () => {
      const one = await open();
      const answers = await Promise.all(Array.from({ length: 20 }, () => one.acceptSignCount(passkey, 9)));
      expect(answers.filter(Boolean)).to.have.length(1);
    });

    it("what is no counter is refused", async () => {
      const one = await open();
      for (const count of [-1, 1.5, Number.NaN, 2 ** 53]) {
        await refused(() => one.acceptSignCount(passkey, count), VaultStateError);
      }
      await refused(() => one.acceptSignCount("0x12", 1), VaultStateError);
    });
  });

  describe("the file", () => {
    it("shows nothing of what is in it", async () => {
      const one = await open();
      const { keyId, label, deviceKeyHash, agentAddress, credentialHash = "" } = await create(one);
      const bytes = readFileSync(file);
      for (const text of [
        keyId,
        label,
        owner.operatorOmni,
        owner.account,
        deviceKeyHash,
        agentAddress,
        credentialHash,
      ]) {
        expect(bytes.includes(text), text).to.equal(false);
        if (text.startsWith("0x")) expect(bytes.includes(Buffer.from(text.slice(2), "hex")), text).to.equal(false);
      }
    });

    it("has one writer: a second is refused and told who; after closing it may", async () => {
      await open();
      const words = await refused(() => openVaultState({ dir, key, anchor }), StoreUnavailable);
      expect(words).to.contain(`process ${String(process.pid)}`);
      await (await reopened()).close();
    });

    it("closed, it takes no change", async () => {
      const one = await open();
      const last = create(one);
      await one.close();
      await last;
      await refused(() => create(one), StoreUnavailable);
      expect((await reopened()).all()).to.have.length(1);
    });

    it("a write that fails changes nothing, says so, and the next one works", async () => {
      const one = await open();
      await create(one);
      mkdirSync(join(`${file}.tmp`, "in the way"), { recursive: true });
      const results = await Promise.allSettled([
        create(one),
        create(one),
        one.acceptSignCount(toHex(randomBytes(32)), 1),
      ]);
      for (const result of results) {
        expect(result.status).to.equal("rejected");
        if (result.status === "rejected") expect(result.reason).to.be.instanceOf(StoreUnavailable);
      }
      expect(one.all()).to.have.length(1);
      rmSync(`${file}.tmp`, { recursive: true });
      expect((await create(one)).index).to.equal(1);
      expect((await reopened()).all()).to.have.length(2);
    });

    describe("is refused, each cause in its own words", () => {
      const said = new Set<string>();
      let honest: Buffer;

      beforeEach(async () => {
        const one = await open();
        await create(one);
        await create(one);
        await close();
        honest = readFileSync(file);
      });

      async function refusedAs(pattern: RegExp, kind: ErrorClass): Promise<void> {
        const words = await refused(open, kind);
        expect(words).to.match(pattern);
        said.add(words.replace(/[0-9]+/g, "N"));
      }

      it("truncated at every third byte", async () => {
        for (let length = 0; length < honest.length; length += 3) {
          writeFileSync(file, honest.subarray(0, length));
          await refusedAs(/cut off|does not open/, VaultFileError);
        }
        writeFileSync(file, honest);
        expect((await open()).all()).to.have.length(2);
      });

      it("with one bit changed in every third byte", async () => {
        for (let at = 0; at < honest.length; at += 3) {
          const changed = Buffer.from(honest);
          changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
          writeFileSync(file, changed);
          await refused(open, Error);
        }
        writeFileSync(file, honest);
        expect((await open()).all()).to.have.length(2);
      });

      it("another file altogether, or another vault's", async () => {
        writeFileSync(file, "{}\n");
        await refusedAs(/no vault state/, VaultFileError);
        writeFileSync(file, honest);
        key = new Secret(randomBytes(32));
        await refusedAs(/belongs to another vault/, VaultFileError);
      });

      it("a symbolic link, or readable by others", async () => {
        chmodSync(file, 0o640);
        await refusedAs(/can be read by others/, VaultFileError);
        chmodSync(file, 0o600);
        renameSync(file, `${file}.real`);
        symlinkSync(`${file}.real`, file);
        await refusedAs(/symbolic link/, VaultFileError);
      });

      it("an older one put back", async () => {
        await create(await open());
        await close();
        writeFileSync(file, honest);
        await refusedAs(/rolled back/, VaultStateError);
      });

      it("gone, or another state of the same vault in its place", async () => {
        rmSync(file);
        await refusedAs(/is gone/, VaultStateError);
        rmSync(`${file}.seq`);
        await refusedAs(/is gone/, VaultStateError);
        const elsewhere = join(folders.make(), "state");
        const other = await openVaultState({ dir: elsewhere, key, anchor: anchorInMemory() });
        await create(other);
        await other.close();
        copyFileSync(join(elsewhere, STATE_FILE), file);
        await refusedAs(/another state/, VaultStateError);
      });

      it("its number damaged", async () => {
        writeFileSync(`${file}.seq`, "x");
        await refusedAs(/seq is damaged/, VaultFileError);
      });

      it("every cause above said something else", () => {
        expect(said.size).to.be.at.least(9);
      });
    });

    it("file and number put back together are not noticed where the number lies beside the file", async () => {
      // what a sealed file cannot promise, and a token can: see the suites of the back ends and decision 4
      const one = await open();
      await create(one);
      await close();
      const [old, number] = [readFileSync(file), readFileSync(`${file}.seq`)];
      await create(await open());
      await close();
      writeFileSync(file, old);
      writeFileSync(`${file}.seq`, number);
      expect((await open()).all()).to.have.length(1);
    });

    it("where the number is kept apart from the disk, nothing that lies on it can be put back together unnoticed", async () => {
      anchor = anchorInMemory(0);
      const folder = join(dir, "..", "copy");
      await create(await open());
      await close();
      mkdirSync(folder);
      for (const name of readdirSync(dir)) copyFileSync(join(dir, name), join(folder, name));
      await create(await open());
      await close();
      expect(existsSync(`${file}.seq`)).to.equal(false);
      rmSync(dir, { recursive: true });
      renameSync(folder, dir);
      expect(await refused(open, VaultStateError)).to.match(/rolled back/);
      rmSync(dir, { recursive: true });
      expect(await refused(open, VaultStateError)).to.match(/is gone/);
    });

    it("a state that was never bound is bound when it is opened: a restored backup of the keys may be older than it", async () => {
      await create(await open());
      await close();
      const bound = anchor.id();
      anchor = anchorInMemory();
      expect((await open()).all()).to.have.length(1);
      expect(anchor.id()).to.equal(bound);
    });

    it("two states of one vault: the one that writes first stays, the other's changes are refused", async () => {
      const first = await open();
      const elsewhere = join(folders.make(), "state");
      const second = await openVaultState({ dir: elsewhere, key, anchor });
      await create(first);
      await refused(() => create(second), StoreUnavailable);
      expect(second.all()).to.deep.equal([]);
      await second.close();
      expect(existsSync(join(elsewhere, STATE_FILE))).to.equal(false);
      expect(await refused(() => openVaultState({ dir: elsewhere, key, anchor }), VaultStateError)).to.match(/is gone/);
    });
  });

  describe("a crash", () => {
    const writer = join(__dirname, "killed-state-writer.ts");

    /** Runs the writer and kills it; what it acknowledged. */
    async function killed(afterMs: number): Promise<readonly string[]> {
      const args = ["-r", "tsx/cjs", writer, dir, key.reveal().toString("hex"), owner.operatorOmni, owner.account];
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      let text = "";
      child.stdout.on("data", (chunk: Buffer) => {
        if (text === "") setTimeout(() => child.kill("SIGKILL"), afterMs);
        text += chunk.toString();
      });
      await once(child, "close");
      expect(child.signalCode).to.equal("SIGKILL");
      // a last line without its end was not said whole
      return text.split("\n").slice(1, -1);
    }

    it("at any moment leaves the old or the new: all that was acknowledged, every index once, and it goes on", async () => {
      const said = new Set<string>();
      for (let round = 0; round < 10 || said.size < 60; round += 1) {
        for (const line of await killed(Math.floor(Math.random() * 120))) said.add(line);
        const one = await open();
        const records = one.all();
        for (const line of said) {
          const record = one.agentKey(line.replace(/^-/, ""));
          expect(record, line).to.not.equal(undefined);
          if (line.startsWith("-")) expect(record?.revokedAt, line).to.equal(1_800_000_000);
        }
        expect(records.map((record) => record.index).sort((a, b) => a - b)).to.deep.equal(records.map((_, i) => i));
        expect((await create(one)).index).to.equal(records.length);
        await close();
      }
    });

    it("between file and number: the next opening catches up, and a rollback is noticed again", async () => {
      await create(await open());
      await close();
      const [old, number] = [readFileSync(file), readFileSync(`${file}.seq`)];
      await create(await open());
      await close();
      writeFileSync(`${file}.seq`, number);
      expect((await open()).all()).to.have.length(2);
      await close();
      writeFileSync(file, old);
      expect(await refused(open, VaultStateError)).to.match(/rolled back/);
    });

    it("before the file was replaced: what lies beside it is no state", async () => {
      await create(await open());
      await close();
      for (const bytes of [Buffer.of(), readFileSync(file).subarray(0, 100), Buffer.from("anything")]) {
        writeFileSync(`${file}.tmp`, bytes);
        const one = await open();
        expect(one.all()).to.have.length(1);
        await close();
      }
      expect((await create(await open())).index).to.equal(1);
    });
  });
});

/** The number in a state file's head. */
function sequenceOf(file: string): number {
  const head = JSON.parse(readFileSync(file, "utf8").split("\n")[0] ?? "") as { sequence: number };
  return head.sequence;
}

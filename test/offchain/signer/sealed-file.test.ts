import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  chownSync,
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

import { commitments, prepareEpoch } from "../../../offchain/signer/vault/epochs";
import {
  type K3Ring,
  VaultFileError,
  changeVaultFile,
  openVaultFile,
} from "../../../offchain/signer/vault/sealed-file";
import { lockFolder } from "../../../offchain/store/folder-lock";
import { StoreUnavailable } from "../../../offchain/store/unavailable";
import { Secret } from "../../../offchain/wire/secret";
import { secretForms } from "../../helpers/secret-forms";
import { temporaryFolders } from "../../helpers/temporary-folder";

const WORDS = "correct horse battery staple";
const passphrase = new Secret(Buffer.from(WORDS));

/** What was thrown. */
function thrown(act: () => unknown): Error | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

/** The words of a refusal, without the file's name. */
function refusal(file: string, words = passphrase): string {
  const error = thrown(() => openVaultFile(file, words));
  expect(error, "opened").to.be.instanceOf(VaultFileError);
  return (error?.message ?? "").replaceAll(file, "FILE");
}

const keysOf = (ring: K3Ring): readonly (readonly [number, string])[] =>
  [...ring].map(([epoch, k3]) => [epoch, k3.reveal().toString("hex")]);

describe("signer: the vault's sealed file", function () {
  // each right opening costs half a second of scrypt
  this.timeout(180_000);
  const folders = temporaryFolders();
  const newFile = (): string => join(folders.make(), "vault.sealed");

  after(() => {
    folders.removeAll();
  });

  it("opens with its passphrase and gives back every key", () => {
    const file = newFile();
    const drawn = [true, false, false].map((isNew) => prepareEpoch(file, passphrase, isNew));
    expect(drawn.map((one) => one.epoch)).to.deep.equal([1, 2, 3]);
    const ring = openVaultFile(file, passphrase);
    expect([...commitments(ring)]).to.deep.equal(drawn.map((one) => [one.epoch, one.commitment]));
    expect(new Set(keysOf(ring).map(([, key]) => key)).size).to.equal(3);
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    expect(readdirSync(join(file, "..")).filter((name) => !name.startsWith(".lock-"))).to.have.members([
      "vault.sealed",
      "vault.sealed.seq",
    ]);
  });

  it("holds neither key nor passphrase in any readable form, and is another text each time", () => {
    const file = newFile();
    prepareEpoch(file, passphrase, true);
    const first = readFileSync(file);
    const ring = openVaultFile(file, passphrase);
    const secrets = [...ring.values()].map((k3) => k3.reveal());
    for (const bytes of [...secrets, Buffer.from(WORDS)]) {
      for (const form of secretForms(bytes)) expect(first.includes(form)).to.equal(false);
    }
    changeVaultFile(file, passphrase, false, (same) => same);
    const parts = [first, readFileSync(file)].map((text) => text.toString().split("\n")[1]);
    expect(parts[0]).to.not.equal(parts[1]);
    expect(keysOf(openVaultFile(file, passphrase))).to.deep.equal(keysOf(ring));
  });

  describe("is refused, each cause in its own words", () => {
    let file: string;
    let honest: string;

    before(() => {
      honest = newFile();
      prepareEpoch(honest, passphrase, true);
    });

    beforeEach(() => {
      file = newFile();
      copyFileSync(honest, file);
      copyFileSync(`${honest}.seq`, `${file}.seq`);
    });

    const said = new Set<string>();
    const refusedAs = (pattern: RegExp, words = passphrase): void => {
      const got = refusal(file, words);
      expect(got).to.match(pattern);
      said.add(got.replace(/[0-9]+/g, "N"));
    };

    it("another passphrase", () => {
      const close = ["", " ", `${WORDS} `, `${WORDS}\n`, WORDS.slice(0, -1), WORDS.toUpperCase()];
      for (const one of close) refusedAs(/does not open/, new Secret(Buffer.from(one)));
      expect(openVaultFile(file, passphrase).size).to.equal(1);
    });

    it("missing", () => {
      rmSync(file);
      refusedAs(/does not exist/);
    });

    it("a directory", () => {
      rmSync(file);
      mkdirSync(file, { mode: 0o700 });
      refusedAs(/is not a file/);
    });

    it("a symbolic link, to a good file or to nothing", () => {
      rmSync(file);
      symlinkSync(honest, file);
      refusedAs(/symbolic link/);
      rmSync(file);
      symlinkSync(`${honest}.none`, file);
      refusedAs(/symbolic link/);
    });

    it("readable or writable by others, in any bit", () => {
      for (const bit of [0o001, 0o002, 0o004, 0o010, 0o020, 0o040]) {
        chmodSync(file, 0o600 | bit);
        refusedAs(/can be read by others/);
      }
      chmodSync(file, 0o600);
      expect(openVaultFile(file, passphrase).size).to.equal(1);
      chmodSync(file, 0o400);
      expect(openVaultFile(file, passphrase).size).to.equal(1);
    });

    // only root can give a file away; anybody else cannot read one that is not theirs
    if (process.getuid?.() === 0) {
      it("another user's", () => {
        chownSync(file, 65_534, 65_534);
        refusedAs(/belongs to another user/);
      });
    } else {
      it("unreadable", () => {
        chmodSync(file, 0o000);
        refusedAs(/cannot be opened \(EACCES\)/);
      });
    }

    it("empty", () => {
      writeFileSync(file, "");
      refusedAs(/is no vault file/);
    });

    it("another file altogether", () => {
      for (const text of ["x", "{}\n", "\n\n", '{"format":"agentkeys-vault.v3"}\n\n', '{"format":1}\nAAAA\n']) {
        writeFileSync(file, text);
        refusedAs(/is no vault file/);
      }
    });

    it("a head without its members", () => {
      const [head = "", sealed = ""] = readFileSync(honest, "utf8").split("\n");
      const members = JSON.parse(head) as Record<string, unknown>;
      for (const name of ["sequence", "salt", "iv"]) {
        for (const value of [undefined, "", "AAAA", null]) {
          writeFileSync(file, `${JSON.stringify({ ...members, [name]: value })}\n${sealed}\n`);
          refusedAs(/damaged head/);
        }
      }
    });

    it("truncated at every byte", () => {
      const whole = readFileSync(honest);
      for (let length = 0; length < whole.length; length += 1) {
        writeFileSync(file, whole.subarray(0, length));
        refusedAs(/cut off|does not open/);
      }
    });

    it("with anything behind its end", () => {
      const whole = readFileSync(honest);
      for (const more of ["\n", "x", "x\n", "\0"]) {
        writeFileSync(file, Buffer.concat([whole, Buffer.from(more)]));
        refusedAs(/behind its end/);
      }
    });

    it("with one bit changed, wherever it is", () => {
      const whole = readFileSync(honest);
      // a sample: where the damage leaves a form that can be tried, each costs half a second
      const sample = Array.from({ length: whole.length }, (_, at) => at).filter((at) => at % 9 === 0);
      for (const at of [...sample, whole.indexOf(0x0a), whole.length - 1]) {
        const changed = Buffer.from(whole);
        changed[at] = (changed[at] ?? 0) ^ (1 << (at % 7));
        writeFileSync(file, changed);
        refusedAs(/is no vault file|damaged head|cut off|does not open|behind its end/);
      }
    });

    it("its number raised or lowered by hand: the head is sealed too", () => {
      const whole = readFileSync(honest, "utf8");
      for (const number of [0, 2, 99]) {
        writeFileSync(file, whole.replace('"sequence":1', `"sequence":${String(number)}`));
        refusedAs(/does not open/);
      }
    });

    it("an older one put back", () => {
      prepareEpoch(file, passphrase, false);
      const older = readFileSync(honest);
      writeFileSync(`${file}.old`, older, { mode: 0o600 });
      renameSync(`${file}.old`, file);
      refusedAs(/rolled back/);
      const error = thrown(() => prepareEpoch(file, passphrase, false));
      expect(error).to.be.instanceOf(VaultFileError);
      expect(readFileSync(file).equals(older)).to.equal(true);
    });

    it("its number file damaged", () => {
      for (const text of ["", "x", "-1", "1 ", "1".repeat(16)]) {
        writeFileSync(`${file}.seq`, text);
        refusedAs(/seq is damaged/);
      }
    });

    it("every cause above said something else", () => {
      expect(said.size).to.be.at.least(11);
      for (const one of said) expect(one).to.not.contain(WORDS);
    });
  });

  describe("writing", () => {
    const writer = join(__dirname, "killed-vault-writer.ts");

    /** Runs the writer; what it acknowledged, and whether it was killed. */
    async function write(
      file: string,
      at: number,
      killAfterMs?: number,
    ): Promise<{ lines: string[]; killed: boolean }> {
      const child = spawn(process.execPath, ["-r", "tsx/cjs", writer, file, WORDS, String(at)], {
        stdio: ["ignore", "pipe", "pipe"],
      });
      let text = "";
      let words = "";
      child.stderr.on("data", (chunk: Buffer) => (words += chunk.toString()));
      child.stdout.on("data", (chunk: Buffer) => {
        const isFirst = text === "";
        text += chunk.toString();
        if (isFirst && killAfterMs !== undefined) setTimeout(() => child.kill("SIGKILL"), killAfterMs);
      });
      await once(child, "close");
      const killed = child.signalCode === "SIGKILL";
      if (!killed && child.exitCode !== 0) throw new Error(words);
      return { lines: text.trimEnd().split("\n").slice(1), killed };
    }

    /** Calls `round` with 0, `step`, 2 `step`, …, three at a time, until one says that it is the last. */
    async function eachCall(step: number, round: (at: number) => Promise<boolean>): Promise<number> {
      for (let at = 0; ; at += 3 * step) {
        const last = await Promise.all([at, at + step, at + 2 * step].map(round));
        if (last.includes(true)) return at + step * last.indexOf(true);
      }
    }

    it("killed at any call of the file system, the old file or the new one is there", async () => {
      const start = newFile();
      prepareEpoch(start, passphrase, true);
      const before = keysOf(openVaultFile(start, passphrase));
      const outcomes: number[] = [];
      const calls = await eachCall(1, async (at) => {
        const file = newFile();
        copyFileSync(start, file);
        copyFileSync(`${start}.seq`, `${file}.seq`);
        const { lines, killed } = await write(file, at);
        const now = keysOf(openVaultFile(file, passphrase));
        expect(now.slice(0, 1), `killed at call ${String(at)}`).to.deep.equal(before);
        expect(now.length - 1, `killed at call ${String(at)}`).to.be.within(lines.length, 1);
        if (killed) outcomes[at] = now.length - 1;
        return !killed;
      });
      // old until the file is replaced, new from then on; both were seen
      expect(outcomes).to.have.length(calls);
      expect(outcomes.join("")).to.match(/^0{5,}1{2,}$/);
    });

    it("killed at every third call of the first write, there is no file or the whole one, and the next writer works", async () => {
      const calls = await eachCall(3, async (at) => {
        const file = newFile();
        const { killed } = await write(file, at);
        const there = existsSync(file) ? openVaultFile(file, passphrase).size : 0;
        expect(prepareEpoch(file, passphrase, there === 0).epoch).to.equal(there + 1);
        return !killed;
      });
      expect(calls).to.be.greaterThan(10);
    });

    it("killed at random moments, every acknowledged epoch is kept and none is lost", async () => {
      const file = newFile();
      const acknowledged = new Set<number>();
      // on a busy machine a writer may get little done before it is killed: then more of them, each with more time
      for (let round = 0; round < 8 || acknowledged.size <= 2; round += 1) {
        const { lines, killed } = await write(file, -2, 200 * (1 + round) + Math.floor(Math.random() * 1_500));
        expect(killed).to.equal(true);
        for (const line of lines) acknowledged.add(parseInt(line, 10));
      }
      const epochs = keysOf(openVaultFile(file, passphrase)).map(([epoch]) => epoch);
      expect(epochs).to.include.members([...acknowledged]);
      expect(epochs).to.deep.equal(epochs.map((_, i) => i + 1));
    });

    it("a crash between file and number: the next opening catches up, and a rollback is noticed again", () => {
      const file = newFile();
      prepareEpoch(file, passphrase, true);
      const old = readFileSync(file);
      prepareEpoch(file, passphrase, false);
      writeFileSync(`${file}.seq`, "1");
      expect(openVaultFile(file, passphrase).size).to.equal(2);
      expect(readFileSync(`${file}.seq`, "utf8")).to.equal("2");
      writeFileSync(file, old);
      expect(refusal(file)).to.match(/rolled back/);
    });

    it("one writer at a time: a second is refused and named, and nothing that was drawn is lost", async () => {
      const file = newFile();
      prepareEpoch(file, passphrase, true);
      const results = await Promise.allSettled(Array.from({ length: 4 }, () => write(file, -1)));
      const drawn = results.flatMap((one) => (one.status === "fulfilled" ? one.value.lines : []));
      const epochs = drawn.map((line) => parseInt(line, 10));
      expect(epochs.length).to.be.at.least(1);
      for (const one of results) {
        if (one.status === "rejected") expect(String(one.reason)).to.contain("StoreUnavailable");
      }
      expect(new Set(epochs).size, "two writers acknowledged one epoch").to.equal(epochs.length);
      expect(keysOf(openVaultFile(file, passphrase)).map(([epoch]) => epoch)).to.include.members(epochs);

      const lock = lockFolder(join(file, ".."));
      const error = thrown(() => prepareEpoch(file, passphrase, false));
      expect(error).to.be.instanceOf(StoreUnavailable);
      expect(error?.message).to.contain(`process ${String(process.pid)}`);
      expect(openVaultFile(file, passphrase).size, "readers are not kept out").to.equal(epochs.length + 1);
      lock.release();
      expect(prepareEpoch(file, passphrase, false).epoch).to.equal(epochs.length + 2);
    });

    it("never draws over a file that is there", () => {
      const file = newFile();
      prepareEpoch(file, passphrase, true);
      const before = readFileSync(file);
      for (const bytes of [before, Buffer.from("damaged")]) {
        writeFileSync(file, bytes);
        const error = thrown(() => prepareEpoch(file, passphrase, true));
        expect(error?.message).to.match(/exists already/);
        expect(readFileSync(file).equals(bytes)).to.equal(true);
      }
      writeFileSync(file, before);
      expect(openVaultFile(file, passphrase).size).to.equal(1);
    });

    it("does not follow what lies where its temporary file goes", () => {
      const file = newFile();
      const target = join(file, "..", "elsewhere");
      writeFileSync(target, "untouched");
      symlinkSync(target, `${file}.tmp`);
      prepareEpoch(file, passphrase, true);
      expect(readFileSync(target, "utf8")).to.equal("untouched");
      expect(openVaultFile(file, passphrase).size).to.equal(1);
    });

    it("with another passphrase changes nothing", () => {
      const file = newFile();
      prepareEpoch(file, passphrase, true);
      const before = readFileSync(file);
      const error = thrown(() => prepareEpoch(file, new Secret(randomBytes(16)), false));
      expect(error).to.be.instanceOf(VaultFileError);
      expect(readFileSync(file).equals(before)).to.equal(true);
    });
  });
});

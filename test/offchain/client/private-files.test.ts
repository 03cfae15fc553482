import { randomBytes } from "node:crypto";
import { chmodSync, mkdirSync, readFileSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { expect } from "chai";

import { deviceKey, deviceKeyAt } from "../../../offchain/client/device-key-file";
import { fileMarks } from "../../../offchain/client/high-water-marks";
import { LooseKeyFile } from "../../../offchain/client/private-file";
import { fromHex, toHex } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { recoverAddress } from "../../../offchain/wire/secp256k1";
import type { ObjectName, StoredBy } from "../../../offchain/wire/stored-by";
import { temporaryFolders } from "../../helpers/temporary-folder";

const folders = temporaryFolders();
const SECRET = `0x${"11".repeat(32)}`;
const bytes32 = () => toHex(randomBytes(32));

function rejection(promise: Promise<unknown>): Promise<unknown> {
  return promise.then(
    () => undefined,
    (error: unknown) => error,
  );
}

/** Modes that let others read, write or run it, and what stands in a file's place. */
const LOOSE = [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666];

describe("client: files that only their owner may read", () => {
  before(keccakReady);
  after(() => {
    folders.removeAll();
  });

  function file(content: string, mode = 0o600): string {
    const path = join(folders.make(), "private");
    writeFileSync(path, content);
    chmodSync(path, mode);
    return path;
  }

  describe("device key", () => {
    it("is made where it is missing: 0600, in a folder of 0700, and read again as the same", async () => {
      const path = join(folders.make(), "new", "k10");
      const made = await deviceKeyAt(path);
      expect(statSync(path).mode & 0o777).to.equal(0o600);
      expect(statSync(dirname(path)).mode & 0o777).to.equal(0o700);
      expect(readdirSync(dirname(path))).to.deep.equal(["k10"]);
      const read = await deviceKeyAt(path);
      expect([read.address, read.deviceKeyHash]).to.deep.equal([made.address, made.deviceKeyHash]);
    });

    it("two are never alike", async () => {
      const [one, two] = await Promise.all([
        deviceKeyAt(join(folders.make(), "a")),
        deviceKeyAt(join(folders.make(), "b")),
      ]);
      expect(one.address).not.to.equal(two.address);
    });

    it("signs as its address, and shows its secret nowhere", async () => {
      const key = await deviceKeyAt(file(`${SECRET}\n`));
      expect(key.address).to.equal("0x19e7e376e7c213b7e7e7e46cc70a5dd086daff2a");
      const digest = randomBytes(32);
      expect(recoverAddress(digest, key.sign(digest))).to.equal(key.address);
      expect(JSON.stringify(key)).not.to.include("1111");
      expect(deviceKey(fromHex(SECRET as `0x${string}`)).deviceKeyHash).to.equal(key.deviceKeyHash);
    });

    for (const mode of LOOSE) {
      it(`of mode ${mode.toString(8)} is refused, and left as it is`, async () => {
        const path = file(SECRET, mode);
        expect(await rejection(deviceKeyAt(path))).to.be.instanceOf(LooseKeyFile);
        expect(readFileSync(path, "utf8")).to.equal(SECRET);
      });
    }
    for (const [name, content] of Object.entries({
      nothing: "",
      "no 0x": "11".repeat(32),
      "31 bytes": `0x${"11".repeat(31)}`,
      "33 bytes": `0x${"11".repeat(33)}`,
      "upper case": `0x${"AA".repeat(32)}`,
      "two keys": `${SECRET}\n${SECRET}\n`,
      "a PEM": "-----BEGIN PRIVATE KEY-----\n",
    })) {
      it(`with ${name} in it is refused, not replaced`, async () => {
        const path = file(content);
        expect(await rejection(deviceKeyAt(path))).to.be.instanceOf(LooseKeyFile);
        expect(readFileSync(path, "utf8")).to.equal(content);
      });
    }
    it("zero, and the order of the curve, are no secrets", async () => {
      for (const secret of ["00".repeat(32), "fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141"]) {
        expect(await rejection(deviceKeyAt(file(`0x${secret}`)))).to.be.an("error");
      }
    });
    it("behind a symbolic link, or a folder in its place, is refused", async () => {
      const link = join(folders.make(), "link");
      symlinkSync(file(SECRET), link);
      expect(await rejection(deviceKeyAt(link))).to.be.instanceOf(LooseKeyFile);
      const dangling = join(folders.make(), "dangling");
      symlinkSync(join(folders.make(), "nothing"), dangling);
      expect(await rejection(deviceKeyAt(dangling))).to.be.instanceOf(LooseKeyFile);
      const dir = join(folders.make(), "dir");
      mkdirSync(dir, { mode: 0o700 });
      expect(await rejection(deviceKeyAt(dir))).to.be.instanceOf(LooseKeyFile);
    });
  });

  describe("high-water marks", () => {
    const name: ObjectName = { operatorOmni: bytes32(), actorOmni: bytes32(), dataClass: "credentials", service: "s" };
    const by = (issuedAt = 1_000, nonce = bytes32()): StoredBy => ({
      device_key_hash: bytes32(),
      content_hash: bytes32(),
      k3_epoch: 1,
      issued_at: issuedAt,
      expires_at: issuedAt + 300,
      nonce,
      client_sig: `0x${"11".repeat(65)}`,
    });

    it("are durable before raise answers: 0600, and the same after a restart", async () => {
      const path = join(folders.make(), "new", "marks.json");
      const marks = await fileMarks(path);
      expect(marks.get(name)).to.equal(undefined);
      const stored = by();
      await marks.raise(name, 3, stored);
      expect(statSync(path).mode & 0o777).to.equal(0o600);
      const expected = { version: 3, issuedAt: stored.issued_at, nonce: stored.nonce };
      expect((await fileMarks(path)).get(name)).to.deep.equal(expected);
    });

    it("are kept apart by operator, actor, class and service", async () => {
      const path = join(folders.make(), "marks.json");
      const marks = await fileMarks(path);
      await marks.raise(name, 3, by());
      const others: readonly ObjectName[] = [
        { ...name, operatorOmni: bytes32() },
        { ...name, actorOmni: bytes32() },
        { ...name, dataClass: "memory" },
        { ...name, service: "t" },
      ];
      for (const other of others) expect(marks.get(other)).to.equal(undefined);
      await Promise.all(others.map((other, i) => marks.raise(other, i + 10, by())));
      const again = await fileMarks(path);
      expect(others.map((other) => again.get(other)?.version)).to.deep.equal([10, 11, 12, 13]);
      expect(again.get(name)?.version).to.equal(3);
    });

    it("keep the latest date that they have seen", async () => {
      const path = join(folders.make(), "marks.json");
      const marks = await fileMarks(path);
      await marks.raise(name, 1, by(2_000));
      await marks.raise(name, 2, by(1_900));
      expect((await fileMarks(path)).get(name)).to.include({ version: 2, issuedAt: 2_000 });
    });

    const GOOD = { version: 3, issued_at: 1_000, nonce: bytes32() };
    const DAMAGED: Readonly<Record<string, string>> = {
      nothing: "",
      "no JSON": "{",
      cut: JSON.stringify({ a: GOOD }).slice(0, -2),
      "a list": "[]",
      "a mark that is none": JSON.stringify({ a: GOOD, b: 3 }),
      "a mark without a version": JSON.stringify({ a: { ...GOOD, version: undefined } }),
      "a version as text": JSON.stringify({ a: { ...GOOD, version: "3" } }),
      "a negative version": JSON.stringify({ a: { ...GOOD, version: -3 } }),
      "a mark without a date": JSON.stringify({ a: { ...GOOD, issued_at: undefined } }),
      "a mark without a nonce": JSON.stringify({ a: { ...GOOD, nonce: undefined } }),
      "a nonce that is none": JSON.stringify({ a: { ...GOOD, nonce: "0x12" } }),
      "a mark twice": `{"a":${JSON.stringify(GOOD)},"a":${JSON.stringify({ ...GOOD, version: 1 })}}`,
    };
    it("are read where they are whole", async () => {
      expect(await rejection(fileMarks(file(JSON.stringify({ a: GOOD }))))).to.equal(undefined);
    });
    for (const [what, content] of Object.entries(DAMAGED)) {
      it(`are not read where they are damaged: ${what}; forgetting is rollback`, async () => {
        const path = file(content);
        expect(await rejection(fileMarks(path))).to.be.an("error");
        expect(readFileSync(path, "utf8")).to.equal(content);
      });
    }
    for (const mode of LOOSE) {
      it(`are not read where others could write or read them: mode ${mode.toString(8)}`, async () => {
        expect(await rejection(fileMarks(file(JSON.stringify({ a: GOOD }), mode)))).to.be.instanceOf(LooseKeyFile);
      });
    }
  });
});

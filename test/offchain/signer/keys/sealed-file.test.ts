import { createCipheriv, createHmac, randomBytes, scryptSync } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { serviceLog } from "../../../../offchain/http/log";
import { VaultFileError } from "../../../../offchain/signer/vault/keys/checked-file";
import { createFromSeeds } from "../../../../offchain/signer/vault/keys/hand-over";
import { openSealedFile } from "../../../../offchain/signer/vault/keys/sealed-file";
import { KeyFile, type VaultUnlock } from "../../../../offchain/signer/vault/keys/unlock";
import { drawSeeds } from "../../../../offchain/signer/vault/keys/vault-contents";
import type { VaultKeys } from "../../../../offchain/signer/vault/keys/vault-keys";
import { openContents, openVaultFile } from "../../../../offchain/signer/vault/sealed-file";
import { prepareEpoch } from "../../../../offchain/signer/vault/epochs";
import { lockFolder } from "../../../../offchain/store/folder-lock";
import { Secret } from "../../../../offchain/wire/secret";
import { eventually } from "../../../helpers/eventually";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { KNOWN_NAME, START, type VaultPlace, behavesAsVaultKeys, thrownBy } from "./vault-keys.behavior";

const log = serviceLog("test", "silent");

describe("signer: the vault's keys in a sealed file", function () {
  this.timeout(180_000);
  const folders = temporaryFolders();

  after(() => {
    folders.removeAll();
  });

  function newPlace(unlock: VaultUnlock): VaultPlace {
    const dir = folders.make();
    const file = join(dir, "vault.sealed");
    return {
      dir,
      create: (seeds = drawSeeds()) => createFromSeeds({ file, unlock }, seeds),
      open: (now) => openSealedFile({ file, unlock, now, log }),
    };
  }

  // one with its passphrase, which costs half a second of scrypt for each file
  describe("by key file", () => {
    behavesAsVaultKeys(() => newPlace(new KeyFile(randomBytes(32))));
  });

  describe("what opens it", () => {
    const passphrase = new Secret(Buffer.from("correct horse battery staple"));
    const keyFile = new KeyFile(randomBytes(32));
    const now = (): number => START;

    /** A file of this kind, and its path. */
    async function made(unlock: VaultUnlock): Promise<string> {
      const file = join(folders.make(), "vault.sealed");
      await createFromSeeds({ file, unlock }, drawSeeds());
      return file;
    }

    const words = async (file: string, unlock: VaultUnlock): Promise<string> => {
      const error = await thrownBy(() => openSealedFile({ file, unlock, now, log }));
      expect(error).to.be.instanceOf(VaultFileError);
      return (error as Error).message.replaceAll(file, "FILE");
    };

    it("a passphrase opens what it sealed, and so does a key file", async () => {
      for (const unlock of [passphrase, keyFile]) {
        const file = await made(unlock);
        const keys = await openSealedFile({ file, unlock, now, log });
        expect(keys.tokenSecrets()).to.have.length(1);
        await keys.close();
      }
    });

    it("another passphrase, another key file, and one in the other's place are refused, each in its own words", async () => {
      const [byPassphrase, byKeyFile] = [await made(passphrase), await made(keyFile)];
      const said = [
        await words(byPassphrase, new Secret(Buffer.from("correct horse battery stapler"))),
        await words(byKeyFile, new KeyFile(randomBytes(32))),
        await words(byPassphrase, keyFile),
        await words(byKeyFile, passphrase),
      ];
      expect(said[0]).to.match(/passphrase is wrong/);
      expect(said[1]).to.match(/another key file/);
      expect(new Set(said).size).to.equal(4);
    });

    it("the kind in the head cannot be changed: it is sealed too", async () => {
      const file = await made(keyFile);
      writeFileSync(file, readFileSync(file, "utf8").replace('"kdf":"hkdf"', '"kdf":"scrypt"'));
      // the bytes of the key file as a passphrase
      expect(await words(file, new Secret(keyFile.reveal()))).to.match(/passphrase is wrong/);
      writeFileSync(file, readFileSync(file, "utf8").replace('"kdf":"scrypt"', '"kdf":"none"'));
      expect(await words(file, keyFile)).to.match(/damaged head/);
    });
  });

  describe("a file of format v1", () => {
    const passphrase = new Secret(Buffer.from("the first format"));
    const now = (): number => START;
    let file: string;
    let k3: Buffer;

    /** As the first release wrote it: K3 alone. */
    beforeEach(() => {
      file = join(folders.make(), "vault.sealed");
      k3 = randomBytes(32);
      const [salt, iv] = [randomBytes(16), randomBytes(12)];
      const [saltText, ivText] = [salt.toString("base64url"), iv.toString("base64url")];
      const head = JSON.stringify({ format: "agentkeys-vault.v1", sequence: 7, salt: saltText, iv: ivText });
      const key = scryptSync(passphrase.reveal(), salt, 32, { N: 2 ** 17, r: 8, p: 1, maxmem: 256 * 1024 * 1024 });
      const cipher = createCipheriv("aes-256-gcm", key, iv).setAAD(Buffer.from(head));
      const clear = JSON.stringify({ "1": k3.toString("base64url") });
      const sealed = Buffer.concat([cipher.update(clear), cipher.final(), cipher.getAuthTag()]);
      writeFileSync(file, `${head}\n${sealed.toString("base64url")}\n`, { mode: 0o600 });
      writeFileSync(`${file}.seq`, "7");
    });

    it("opens; its K3 is kept, everything else is drawn once, and it is of format v2 from then on", async () => {
      expect(openVaultFile(file, passphrase).get(1)?.reveal().equals(k3)).to.equal(true);
      expect(openContents(file, passphrase)).to.equal(undefined);
      const keys = await openSealedFile({ file, unlock: passphrase, now, log });
      const before = [keys.stateKey().reveal().toString("hex"), keys.publicJwks("sts"), keys.tokenSecrets()];
      expect(openContents(file, passphrase)?.epochs.get(1)?.reveal().equals(k3)).to.equal(true);
      expect(JSON.parse(readFileSync(file, "utf8").split("\n")[0] ?? "")).to.include({
        format: "agentkeys-vault.v2",
        sequence: 8,
      });
      await keys.close();
      const again = await openSealedFile({ file, unlock: passphrase, now, log });
      const after = [again.stateKey().reveal().toString("hex"), again.publicJwks("sts"), again.tokenSecrets()];
      expect(after).to.deep.equal(before);
      await again.close();
    });

    it("is completed once where two processes open it together", async () => {
      const both = await Promise.all([0, 1].map(() => openSealedFile({ file, unlock: passphrase, now, log })));
      const [a, b] = both.map((one) => one.stateKey().reveal());
      expect(a?.equals(b ?? Buffer.of())).to.equal(true);
      await Promise.all(both.map((one) => one.close()));
    });

    it("waits for another writer to end before it completes it", async () => {
      const lock = lockFolder(join(file, ".."));
      let isOpen = false;
      const opening = openSealedFile({ file, unlock: passphrase, now, log }).then((keys) => {
        isOpen = true;
        return keys;
      });
      await new Promise((done) => setTimeout(done, 300));
      expect(isOpen).to.equal(false);
      lock.release();
      await (await opening).close();
    });

    it("put back after it was completed, it is refused as rolled back", async () => {
      const first = readFileSync(file);
      await (await openSealedFile({ file, unlock: passphrase, now, log })).close();
      writeFileSync(file, first);
      const error = await thrownBy(() => openSealedFile({ file, unlock: passphrase, now, log }));
      expect((error as Error).message).to.match(/rolled back/);
    });
  });

  describe("while it is open", () => {
    const unlock = new KeyFile(randomBytes(32));
    let file: string;
    let keys: VaultKeys;

    beforeEach(async () => {
      file = join(folders.make(), "vault.sealed");
      prepareEpoch(file, unlock, true);
      keys = await openSealedFile({ file, unlock, now: () => START, log });
    });

    afterEach(() => keys.close());

    it("an HMAC is HMAC-SHA-256 by the 32 bytes in the file", async () => {
      const secret = openContents(file, unlock)?.tokenSecrets[0];
      const input = randomBytes(200);
      const expected = createHmac("sha256", secret?.key.reveal() ?? "")
        .update(input)
        .digest();
      expect((await keys.macCredential(secret?.kid ?? "", input))?.equals(expected)).to.equal(true);
    });

    it("an epoch prepared by the command line is seen, and what the vault writes afterwards keeps it", async () => {
      const drawn = prepareEpoch(file, unlock, false);
      await keys.rotateTokenSecret(START, false);
      expect(keys.commitments().get(drawn.epoch)).to.equal(drawn.commitment);
      expect(openVaultFile(file, unlock).size).to.equal(2);
    });

    it("a file that no longer opens leaves what was read in use, and refuses to be changed", async () => {
      const good = readFileSync(file);
      const before = await keys.objectKey(1, KNOWN_NAME);
      writeFileSync(file, "damaged");
      await new Promise((done) => setTimeout(done, 1_500));
      expect((await keys.objectKey(1, KNOWN_NAME))?.equals(before ?? Buffer.of())).to.equal(true);
      expect(await thrownBy(() => keys.rotateTokenSecret(START, true))).to.be.instanceOf(VaultFileError);
      expect(await thrownBy(() => keys.prepareEpoch())).to.be.instanceOf(VaultFileError);
      expect(readFileSync(file, "utf8")).to.equal("damaged");
      writeFileSync(file, good);
      await eventually(async () => (await thrownBy(() => keys.prepareEpoch())) === undefined);
    });
  });
});

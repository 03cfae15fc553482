import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { renameSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";
import type * as Pkcs11 from "pkcs11js";

import { serviceLog } from "../../../../offchain/http/log";
import { hkdfExtract } from "../../../../offchain/signer/vault/k3";
import {
  type EpochReceiver,
  createFromSeeds,
  prepareEverywhere,
  readSeeds,
} from "../../../../offchain/signer/vault/keys/hand-over";
import { createInToken } from "../../../../offchain/signer/vault/keys/pkcs11/create";
import { createData } from "../../../../offchain/signer/vault/keys/pkcs11/data-object";
import { openPkcs11 } from "../../../../offchain/signer/vault/keys/pkcs11/keys";
import { type Cryptoki, codeOf, loadLibrary } from "../../../../offchain/signer/vault/keys/pkcs11/library";
import { LABELS, importHmacKey } from "../../../../offchain/signer/vault/keys/pkcs11/objects";
import { type Token, type TokenSettings, openToken } from "../../../../offchain/signer/vault/keys/pkcs11/token";
import { openSealedFile } from "../../../../offchain/signer/vault/keys/sealed-file";
import { KeyFile } from "../../../../offchain/signer/vault/keys/unlock";
import { drawSeeds } from "../../../../offchain/signer/vault/keys/vault-contents";
import { type VaultKeys, VaultKeysError, type VaultSeeds } from "../../../../offchain/signer/vault/keys/vault-keys";
import { StoreUnavailable } from "../../../../offchain/store/unavailable";
import { toHex } from "../../../../offchain/wire/bytes";
import { Secret } from "../../../../offchain/wire/secret";
import { eventually } from "../../../helpers/eventually";
import { secretsUnder } from "../../../helpers/secret-forms";
import { type SoftHsm, PIN, SOFTHSM_MODULE, noSoftHsm, softHsm } from "../../../helpers/softhsm";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import hkdf from "../../../vectors/hkdf-rfc5869.json";
import { KNOWN_NAME, START, type VaultPlace, behavesAsVaultKeys, thrownBy } from "./vault-keys.behavior";

const log = serviceLog("test", "silent");
const now = (): number => START;
const missing = noSoftHsm();

/** SoftHSM2 sees new tokens when it is loaded; these are made before. */
const TOKENS = 80;

if (missing !== undefined) {
  console.log(`pending: ${missing}`);
  describe("signer: the vault's keys in a PKCS#11 token", () => {
    it(`needs SoftHSM2: ${missing}`);
  });
} else suite();

function suite(): void {
  describe("signer: the vault's keys in a PKCS#11 token", function () {
    this.timeout(180_000);
    const folders = temporaryFolders();
    let hsm: SoftHsm;
    let tokens: TokenSettings[];

    before(() => {
      hsm = softHsm();
      tokens = Array.from({ length: TOKENS }, (_, n) => hsm.newToken(`vault ${String(n)}`));
    });

    after(() => {
      hsm.remove();
      folders.removeAll();
    });

    type Place = VaultPlace & { readonly settings: TokenSettings & { readonly writerDir: string } };

    function newPlace(): Place {
      const token = tokens.pop();
      if (token === undefined) throw new Error("more tokens are needed than were made");
      const settings = { ...token, writerDir: folders.make() };
      return {
        dir: hsm.dir,
        settings,
        create: (seeds) => createInToken(settings, seeds),
        open: (clock) => openPkcs11({ ...settings, now: clock, log }),
      };
    }

    behavesAsVaultKeys(newPlace);

    describe("opening", () => {
      const opened = async (settings: TokenSettings): Promise<Error | undefined> =>
        (await thrownBy(async () => {
          await (await openPkcs11({ ...settings, writerDir: folders.make(), now, log })).close();
        })) as Error | undefined;

      it("is refused for another PIN, token or library, and for a token without a vault, each in its own words", async () => {
        const { settings } = newPlace();
        const said: string[] = [];
        for (const [change, pattern] of [
          [{ pin: new Secret("0000") }, /PIN is wrong/],
          [{ label: "nobody's" }, /no token is labelled/],
          [{ module: "/nowhere/lib.so" }, /does not load/],
          [{}, /holds no vault/],
        ] as const) {
          const error = await opened({ ...settings, ...change });
          expect(error).to.be.instanceOf(VaultKeysError);
          expect(error?.message).to.match(pattern);
          expect(error?.message).to.not.contain(PIN);
          said.push(error?.message ?? "");
        }
        expect(new Set(said).size).to.equal(4);
        await createInToken(settings);
        expect(await opened(settings)).to.equal(undefined);
      });

      it("says what is missing where the optional package is not installed", () => {
        const program = [
          'const Module = require("node:module"); const load = Module._load;',
          'Module._load = (name, ...rest) => { if (name === "pkcs11js") throw new Error("Cannot find module"); return load(name, ...rest); };',
          'const { loadLibrary } = require("./offchain/signer/vault/keys/pkcs11/library.ts");',
          "try { loadLibrary(process.argv[1]); } catch (error) { console.log(error.name, error.message); }",
        ];
        const args = ["-r", "tsx/cjs", "-e", program.join("\n"), SOFTHSM_MODULE];
        const { stdout } = spawnSync(process.execPath, args, { encoding: "utf8" });
        expect(stdout).to.match(/^VaultKeysError .*optional package pkcs11js/);
      });

      it("a set-up that was cut off opens for nobody, and is completed by the same seeds only", async () => {
        const place = newPlace();
        const seeds: VaultSeeds = { ...drawSeeds(), epochs: new Map([[1, new Secret(randomBytes(32))]]) };
        await place.create(seeds);
        const first = await place.open(now);
        const before = [first.publicJwks("sts"), [...first.commitments()]];
        await first.close();
        const token = openToken(place.settings);
        // the book is what comes last
        for (const book of token.find(LABELS.book)) token.destroy(book);
        token.close();
        expect((await opened(place.settings))?.message).to.match(/holds no vault/);
        const other = { ...drawSeeds(), epochs: new Map([[1, new Secret(randomBytes(32))]]) };
        expect(await thrownBy(() => place.create(other))).to.be.instanceOf(VaultKeysError);
        await place.create(seeds);
        const again = await place.open(now);
        expect([again.publicJwks("sts"), [...again.commitments()]]).to.deep.equal(before);
        expect(again.stateKey().reveal().equals(seeds.stateKey.reveal())).to.equal(true);
        await again.close();
      });
    });

    describe("what the token keeps", () => {
      let keys: VaultKeys;
      let token: Token;
      let ck: Token["ck"];
      let settings: TokenSettings;

      beforeEach(async () => {
        const place = newPlace();
        settings = place.settings;
        await place.create();
        keys = await place.open(now);
        await keys.prepareEpoch();
        await keys.noteExpiry(keys.tokenSecrets()[0]?.kid ?? "", START + 1);
        await keys.rotateTokenSecret(START, false);
        token = openToken(place.settings);
        ({ ck } = token);
      });

      afterEach(async () => {
        token.close();
        await keys.close();
      });

      it("of every key nothing can be read, copied, changed or wrapped, with the PIN in hand", () => {
        const other = thief(settings);
        const secret = [LABELS.k3, LABELS.tokenSecret, LABELS.wrap].flatMap((label) => other.find(label));
        const signing = (["sts", "audit"] as const).flatMap((use) =>
          other.find(LABELS.signing(use), ck.CKO_PRIVATE_KEY),
        );
        expect([secret.length, signing.length]).to.deep.equal([4, 2]);
        const [by] = other.find(LABELS.wrap);
        if (by === undefined) throw new Error("no wrap key");
        for (const key of [...secret, ...signing]) {
          for (const flag of [ck.CKA_SENSITIVE, ck.CKA_PRIVATE, ck.CKA_TOKEN]) {
            expect(token.read(key, flag), String(flag)).to.deep.equal(Buffer.of(1));
          }
          for (const flag of [ck.CKA_EXTRACTABLE, ck.CKA_MODIFIABLE]) {
            expect(token.read(key, flag), String(flag)).to.deep.equal(Buffer.of(0));
          }
          const read = other.code((calls, session) =>
            calls.C_GetAttributeValue(session, key, [{ type: ck.CKA_VALUE }]),
          );
          expect(read).to.equal(ck.CKR_ATTRIBUTE_SENSITIVE);
          for (const loose of [
            { type: ck.CKA_EXTRACTABLE, value: true },
            { type: ck.CKA_SENSITIVE, value: false },
          ]) {
            const tries = [
              other.code((calls, session) => {
                calls.C_SetAttributeValue(session, key, [loose]);
              }),
              other.code((calls, session) => calls.C_CopyObject(session, key, [loose])),
            ];
            expect(tries).to.not.include(undefined);
          }
          const wrapped = other.code((calls, session) =>
            calls.C_WrapKey(session, { mechanism: ck.CKM_AES_KEY_WRAP }, by, key, Buffer.alloc(512)),
          );
          expect(wrapped).to.equal(ck.CKR_KEY_UNEXTRACTABLE);
        }
        // the same try on a key that may be wrapped, so that the refusal is the key's and not the mechanism's
        const loose = other.code((calls, session) => {
          const open = { type: ck.CKA_EXTRACTABLE, value: true };
          const type = { type: ck.CKA_KEY_TYPE, value: ck.CKK_GENERIC_SECRET };
          const value = { type: ck.CKA_VALUE, value: Buffer.alloc(32, 1) };
          const key = calls.C_CreateObject(session, [
            { type: ck.CKA_CLASS, value: ck.CKO_SECRET_KEY },
            ...[open, type, value, { type: ck.CKA_SENSITIVE, value: false }],
          ]);
          expect(calls.C_GetAttributeValue(session, key, [{ type: ck.CKA_VALUE }])[0]?.value).to.have.length(32);
          calls.C_CopyObject(session, key, [{ type: ck.CKA_LABEL, value: "copied" }]);
        });
        expect(loose).to.equal(undefined);
        other.close();
      });

      it("without the PIN there is not even a name", () => {
        expect(labelsWithoutPin(settings.label)).to.equal("[]");
      });

      it("HMAC of RFC 5869: the token expands what was extracted outside", () => {
        for (const one of hkdf.cases) {
          const [salt, ikm] = [Buffer.from(one.salt, "hex"), Buffer.from(one.ikm, "hex")];
          const prk = hkdfExtract(salt, ikm);
          expect(prk.toString("hex")).to.equal(one.prk);
          const key = importHmacKey(token, "rfc5869", Buffer.from(one.name), prk);
          const info = Buffer.concat([Buffer.from(one.info, "hex"), Buffer.of(1)]);
          const okm = token.sign(ck.CKM_SHA256_HMAC, key, info);
          expect(okm.toString("hex"), one.name).to.equal(one.okm.slice(0, 64));
          token.destroy(key);
        }
      });

      it("wrapped seeds that were changed do not open", async () => {
        const [stored] = token.find(LABELS.seeds);
        if (stored === undefined) throw new Error("no seeds");
        const value = token.read(stored, ck.CKA_VALUE);
        for (const at of [0, 12, 43, 44, value.length - 1]) {
          for (const old of token.find(LABELS.seeds)) token.destroy(old);
          const changed = Buffer.from(value);
          changed[at] = (changed[at] ?? 0) ^ 1;
          createData(token, LABELS.seeds, changed);
          expect(await thrownBy(() => Promise.resolve().then(() => keys.stateKey()))).to.be.instanceOf(VaultKeysError);
          const seed = await thrownBy(() => keys.operatorSeed(`0x${"11".repeat(32)}`, `0x${"22".repeat(20)}`));
          expect(seed).to.be.instanceOf(VaultKeysError);
        }
        for (const old of token.find(LABELS.seeds)) token.destroy(old);
        createData(token, LABELS.seeds, value);
        expect(keys.stateKey().reveal()).to.have.length(32);
      });

      it("what a crash left of a book is passed over, and goes with the next write", async () => {
        const before = keys.tokenSecrets();
        createData(token, LABELS.book, Buffer.from('{"token_secrets":[],"seque'));
        createData(token, LABELS.book, Buffer.from('{"token_secrets":[],"sequence":1}'));
        const next = await keys.rotateTokenSecret(START, false);
        expect(keys.tokenSecrets()).to.deep.equal([...before.filter((one) => one.retiredAt !== undefined), next]);
        expect(token.find(LABELS.book)).to.have.length(1);
      });

      it("the state's number is the token's: it only rises, and is there after opening again", async () => {
        const { sequence } = keys.stateAnchor();
        expect(sequence?.value()).to.equal(0);
        await sequence?.raise(5);
        await sequence?.raise(3);
        expect(sequence?.value()).to.equal(5);
        expect(token.find(LABELS.stateSequence)).to.have.length(1);
      });
    });

    describe("a token that is lost", () => {
      it("sessions closed under it: the next use logs in again", async () => {
        const place = newPlace();
        await place.create();
        const keys = await place.open(now);
        await keys.prepareEpoch();
        const key = await keys.objectKey(1, KNOWN_NAME);
        const other = thief(place.settings);
        other.closeAllSessions();
        expect((await keys.objectKey(1, KNOWN_NAME))?.equals(key ?? Buffer.of())).to.equal(true);
        other.closeAllSessions();
        expect((await keys.prepareEpoch()).epoch).to.equal(2);
        other.closeAllSessions();
        expect(await keys.macCredential(keys.tokenSecrets()[0]?.kid ?? "", Buffer.of(1))).to.have.length(32);
        other.closeAllSessions();
        expect((await keys.signEs256("sts", Buffer.of(1))).signature).to.have.length(64);
        other.closeAllSessions();
        expect(await keys.operatorSeed(`0x${"11".repeat(32)}`, `0x${"22".repeat(20)}`)).to.have.length(32);
        other.close();
        await keys.close();
      });

      it("gone altogether: no epoch is held, each use is StoreUnavailable; back again, it works again", async () => {
        const place = newPlace();
        await place.create();
        const keys = await place.open(now);
        await keys.prepareEpoch();
        const other = thief(place.settings);
        const folder = join(hsm.dir, "tokens");
        renameSync(folder, `${folder}.away`);
        other.closeAllSessions();
        try {
          await eventually(() => Promise.resolve(keys.commitments().size === 0));
          expect(await thrownBy(() => keys.objectKey(1, KNOWN_NAME))).to.be.instanceOf(StoreUnavailable);
          expect(await thrownBy(() => keys.signEs256("sts", Buffer.of(1)))).to.be.instanceOf(StoreUnavailable);
        } finally {
          renameSync(`${folder}.away`, folder);
        }
        await eventually(() => Promise.resolve(keys.commitments().size === 1));
        expect(await keys.objectKey(1, KNOWN_NAME)).to.have.length(32);
        other.close();
        await keys.close();
      });

      it("a writer killed at random moments leaves one signing secret, and all that it acknowledged", async () => {
        const place = newPlace();
        await place.create();
        const { label, writerDir } = place.settings;
        const acknowledged: string[] = [];
        for (let round = 0; round < 6; round += 1) {
          const child = spawn(
            process.execPath,
            ["-r", "tsx/cjs", join(__dirname, "killed-token-writer.ts"), SOFTHSM_MODULE, label, writerDir],
            { stdio: ["ignore", "pipe", "inherit"] },
          );
          let text = "";
          child.stdout.on("data", (chunk: Buffer) => {
            const before = text;
            text += chunk.toString();
            // from the first acknowledgement on, however long a slow machine takes to it
            const isFirst = text.includes(" ") && !before.includes(" ");
            if (isFirst) setTimeout(() => child.kill("SIGKILL"), Math.floor(Math.random() * 450));
          });
          await once(child, "close");
          expect(child.signalCode).to.equal("SIGKILL");
          acknowledged.push(
            ...text
              .trimEnd()
              .split("\n")
              .filter((line) => line.includes(" ")),
          );
        }
        const keys = await place.open(now);
        const secrets = keys.tokenSecrets();
        expect(secrets.filter((one) => one.retiredAt === undefined)).to.have.length(1);
        const [epoch, commitment] = acknowledged.at(-1)?.split(" ") ?? [];
        expect(acknowledged.length).to.be.greaterThan(3);
        for (const line of acknowledged) {
          const [number = "", hex] = line.split(" ");
          expect(keys.commitments().get(Number(number)), line).to.equal(hex);
        }
        expect(keys.commitments().get(Number(epoch))).to.equal(commitment);
        expect([...keys.commitments().keys()].sort((a, b) => a - b)).to.deep.equal(
          Array.from({ length: keys.commitments().size }, (_, i) => i + 1),
        );
        expect(await keys.macCredential(secrets.at(-1)?.kid ?? "", Buffer.of(1))).to.have.length(32);
        await keys.rotateTokenSecret(START, true);
        await keys.close();
      });
    });

    describe("several vaults and a backup", () => {
      it("hold the same keys of every epoch: token, second token, sealed file; one restored from the backup too", async () => {
        const unlock = new KeyFile(randomBytes(32));
        const source = { file: join(folders.make(), "backup.sealed"), unlock };
        await createFromSeeds(source, drawSeeds());
        const [place, second] = [newPlace(), newPlace()];
        await place.create(await readSeeds(source));
        await second.create();
        const token = await place.open(now);
        const other = await second.open(now);
        const drawn = [
          await prepareEverywhere(source, [token, other]),
          await prepareEverywhere(source, [token, other]),
        ];
        expect(drawn.map(({ epoch, drawn: isNew }) => [epoch, isNew])).to.deep.equal([
          [1, true],
          [2, true],
        ]);
        const restored = { file: join(folders.make(), "vault.sealed"), unlock };
        await createFromSeeds(restored, await readSeeds(source));
        const [fromBackup, backup] = [
          await openSealedFile({ ...restored, now, log }),
          await openSealedFile({ ...source, now, log }),
        ];
        const all = [token, other, fromBackup, backup];
        for (const { epoch, commitment } of drawn) {
          const keys = await Promise.all(all.map((one) => one.objectKey(epoch, KNOWN_NAME)));
          expect(new Set(keys.map((key) => toHex(key ?? Buffer.of()))).size).to.equal(1);
          for (const one of all) expect(one.commitments().get(epoch)).to.equal(commitment);
        }
        const seedOf = async (one: VaultKeys): Promise<string> =>
          toHex(await one.operatorSeed(`0x${"11".repeat(32)}`, `0x${"22".repeat(20)}`));
        expect(await seedOf(fromBackup)).to.equal(await seedOf(token));
        expect(await seedOf(other), "a vault with seeds of its own").to.not.equal(await seedOf(token));
        const { agentSeed, stateKey, epochs } = await readSeeds(source);
        const secrets = Object.fromEntries([...epochs].map(([epoch, k3]) => [`K3 of ${String(epoch)}`, k3.reveal()]));
        expect(
          secretsUnder(hsm.dir, { ...secrets, agentSeed: agentSeed.reveal(), stateKey: stateKey.reveal() }),
        ).to.deep.equal([]);
        for (const one of all) await one.close();
      });

      it("a run that was cut off is completed by the next, and draws nothing", async () => {
        const source = { file: join(folders.make(), "backup.sealed"), unlock: new KeyFile(randomBytes(32)) };
        await createFromSeeds(source, drawSeeds());
        const places = [newPlace(), newPlace()];
        for (const one of places) await one.create();
        const tokens = await Promise.all(places.map((one) => one.open(now)));
        await prepareEverywhere(source, tokens);
        const failing: EpochReceiver = {
          commitments: () => tokens[1]?.commitments() ?? new Map(),
          receiveEpoch: () => Promise.reject(new StoreUnavailable("cut off")),
        };
        expect(await thrownBy(() => prepareEverywhere(source, [...tokens.slice(0, 1), failing]))).to.be.instanceOf(
          StoreUnavailable,
        );
        expect(tokens.map((one) => one.commitments().size)).to.deep.equal([2, 1]);
        const completed = await prepareEverywhere(source, tokens);
        expect([completed.epoch, completed.drawn]).to.deep.equal([2, false]);
        expect([...(tokens[1]?.commitments() ?? [])].sort()).to.deep.equal(
          [...(tokens[0]?.commitments() ?? [])].sort(),
        );
        expect(completed.commitment).to.equal(tokens[0]?.commitments().get(2));
        for (const one of tokens) await one.close();
      });

      it("a receiver with another key of an epoch, or a later one, stops it before anything is drawn", async () => {
        const source = { file: join(folders.make(), "backup.sealed"), unlock: new KeyFile(randomBytes(32)) };
        await createFromSeeds(source, drawSeeds());
        const place = newPlace();
        await place.create();
        const keys = await place.open(now);
        await keys.prepareEpoch();
        expect(await thrownBy(() => prepareEverywhere(source, [keys]))).to.be.instanceOf(VaultKeysError);
        expect((await readSeeds(source)).epochs.size).to.equal(0);
        await prepareEverywhere(source, []);
        expect(await thrownBy(() => prepareEverywhere(source, [keys]))).to.be.instanceOf(VaultKeysError);
        expect((await readSeeds(source)).epochs.size).to.equal(1);
        await keys.close();
      });
    });
  });
}

/** What somebody who holds the PIN, or who runs in the vault's process, may try directly. */
interface Thief {
  readonly ck: Cryptoki;
  find(label: string, objectClass?: number): Pkcs11.Handle[];
  /** The code of a refusal; undefined where it was done. */
  code(act: (calls: Pkcs11.PKCS11, session: Pkcs11.Handle) => unknown): number | undefined;
  closeAllSessions(): void;
  close(): void;
}

function thief({ module, label, pin }: TokenSettings): Thief {
  const { ck, calls, release } = loadLibrary(module);
  const slot = calls.C_GetSlotList(true).find((one) => calls.C_GetTokenInfo(one).label.trimEnd() === label);
  if (slot === undefined) throw new Error("no such token");
  const session = calls.C_OpenSession(slot, ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION);
  const code: Thief["code"] = (act) => {
    try {
      act(calls, session);
      return undefined;
    } catch (error) {
      const refused = codeOf(ck, error);
      if (refused === undefined) throw error;
      return refused;
    }
  };
  code(() => {
    calls.C_Login(session, ck.CKU_USER, pin.reveal());
  });
  return {
    ck,
    code,
    find(name, objectClass) {
      const template: Pkcs11.Template = [{ type: ck.CKA_LABEL, value: name }];
      if (objectClass !== undefined) template.push({ type: ck.CKA_CLASS, value: objectClass });
      calls.C_FindObjectsInit(session, template);
      const found = calls.C_FindObjects(session, 100);
      calls.C_FindObjectsFinal(session);
      return found;
    },
    closeAllSessions() {
      calls.C_CloseAllSessions(slot);
    },
    close: release,
  };
}

/** Labels of all objects that a process sees which does not log in. */
function labelsWithoutPin(label: string): string {
  const program = `
    const ck = require("pkcs11js"); const calls = new ck.PKCS11(); calls.load(process.argv[1]); calls.C_Initialize();
    const slot = calls.C_GetSlotList(true).find((one) => calls.C_GetTokenInfo(one).label.trimEnd() === process.argv[2]);
    const session = calls.C_OpenSession(slot, ck.CKF_SERIAL_SESSION | ck.CKF_RW_SESSION);
    calls.C_FindObjectsInit(session, []);
    console.log(JSON.stringify(calls.C_FindObjects(session, 100).map((one) =>
      calls.C_GetAttributeValue(session, one, [{ type: ck.CKA_LABEL }])[0].value.toString())));`;
  const { stdout, stderr } = spawnSync(process.execPath, ["-e", program, SOFTHSM_MODULE, label], { encoding: "utf8" });
  return stdout.trim() || stderr;
}

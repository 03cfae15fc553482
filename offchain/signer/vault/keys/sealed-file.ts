import { type KeyObject, createHmac, randomBytes, sign } from "node:crypto";
import { statSync } from "node:fs";

import type { Logger } from "../../../http/log";
import type { Hex } from "../../../wire/bytes";
import { type PublicJwk, publicJwk } from "../../../wire/jwks";
import { Secret } from "../../../wire/secret";
import { commitments, nextEpoch } from "../epochs";
import { hkdfFirstBlock, k3Commitment, k3Prk, objectInfo } from "../k3";
import { changeContents, openContents } from "../sealed-file";
import { operatorSeed } from "./agent-seed";
import { datesOf, isLive, laterExpiry, rotated, signing } from "./token-secrets";
import type { VaultUnlock } from "./unlock";
import { type TokenSecretKey, type VaultContents, randomName } from "./vault-contents";
import { type SigningUse, type VaultKeys, VaultKeysError, nextBond } from "./vault-keys";
import { whenFree } from "./when-free";

/** What the sealed-file back end is opened with. */
export interface SealedFileSettings {
  readonly file: string;
  readonly unlock: VaultUnlock;
  /** Unix seconds. */
  readonly now: () => number;
  readonly log: Logger;
}

/** What is computed once per reading of the file. */
interface Loaded {
  readonly contents: VaultContents;
  readonly commitments: ReadonlyMap<number, Hex>;
  readonly prks: ReadonlyMap<number, Buffer>;
  readonly jwks: Readonly<Record<SigningUse, PublicJwk>>;
}

const REREAD_MS = 1_000;

/**
 * Keys in a sealed file, all of them in this process's memory while it runs. The file is read again within a second of
 * another process's write (an epoch prepared by the command line); one that no longer opens leaves what was read.
 * A file of format v1 is completed here, its K3 kept.
 * @throws VaultFileError whose words name the cause; StoreUnavailable beside another writer that does not end
 */
export async function openSealedFile(settings: SealedFileSettings): Promise<VaultKeys> {
  const { file, unlock, now, log } = settings;
  let stamp = stampOf(file);
  let loaded: Loaded;
  const found = openContents(file, unlock);
  if (found !== undefined && signing(found.tokenSecrets) !== undefined) loaded = load(found);
  else loaded = load(await whenFree(() => changeContents(file, unlock, (contents) => withSigner(contents, now()))));

  const follow = setInterval(() => {
    try {
      const fresh = stampOf(file);
      if (fresh === stamp) return;
      stamp = fresh;
      const contents = openContents(file, unlock);
      if (contents === undefined) throw new VaultKeysError(`${file} was replaced by one of an older format`);
      loaded = load(contents);
      log.info({ epochs: [...contents.epochs.keys()] }, "the vault file was read again");
    } catch (error) {
      log.error({ err: error }, "the vault file no longer opens; the keys read before stay in use");
    }
  }, REREAD_MS).unref();

  async function change(make: (contents: VaultContents) => VaultContents): Promise<VaultContents> {
    return whenFree(() => {
      const contents = changeContents(file, unlock, make);
      // before anything else runs: what the next caller compares with is what is on the disk
      loaded = load(contents);
      return contents;
    });
  }

  async function keep(epoch: number | undefined, k3: Secret<Buffer>): Promise<{ epoch: number; commitment: Hex }> {
    let kept = 0;
    await change((contents) => {
      kept = epoch ?? nextEpoch(contents.epochs);
      const held = contents.epochs.get(kept);
      if (held === undefined) return { ...contents, epochs: new Map([...contents.epochs, [kept, k3]]) };
      if (held.reveal().equals(k3.reveal())) return contents;
      throw new VaultKeysError(`another key of epoch ${String(kept)} is held: it is not replaced`);
    });
    return { epoch: kept, commitment: k3Commitment(kept, k3.reveal()) };
  }

  return {
    backend: "sealed-file",
    commitments: () => loaded.commitments,
    objectKey(epoch, name) {
      const prk = loaded.prks.get(epoch);
      return Promise.resolve(prk === undefined ? undefined : hkdfFirstBlock(prk, objectInfo(name)));
    },
    operatorSeed: (operatorOmni, account) =>
      Promise.resolve(operatorSeed(loaded.contents.agentSeed.reveal(), operatorOmni, account)),
    macCredential(kid, signingInput) {
      const secret = loaded.contents.tokenSecrets.find((one) => one.kid === kid);
      if (secret === undefined || !isLive(secret, now())) return Promise.resolve(undefined);
      return Promise.resolve(createHmac("sha256", secret.key.reveal()).update(signingInput).digest());
    },
    tokenSecrets: () => loaded.contents.tokenSecrets.map(datesOf),
    async rotateTokenSecret(at, force) {
      const next = drawTokenSecret(at);
      await change((contents) => ({
        ...contents,
        tokenSecrets: rotated<TokenSecretKey>(contents.tokenSecrets, next, at, force),
      }));
      return datesOf(next);
    },
    async noteExpiry(kid, exp) {
      const known = loaded.contents.tokenSecrets.find((one) => one.kid === kid);
      if (known === undefined || laterExpiry(known, exp) === undefined) return;
      await change((contents) => ({
        ...contents,
        tokenSecrets: contents.tokenSecrets.map((one) =>
          one.kid === kid ? { ...one, lastExpiry: laterExpiry(one, exp) ?? one.lastExpiry } : one,
        ),
      }));
    },
    signEs256(use, signingInput) {
      const key: KeyObject = loaded.contents.signing[use].reveal();
      const signature = sign("sha256", signingInput, { key, dsaEncoding: "ieee-p1363" });
      return Promise.resolve({ kid: loaded.jwks[use].kid, signature });
    },
    publicJwks: (use) => ({ keys: [loaded.jwks[use]] }),
    stateKey: () => loaded.contents.stateKey,
    stateAnchor: () => ({
      id: () => loaded.contents.stateId,
      async bind(id) {
        await change((contents) =>
          contents.stateId === id ? contents : { ...contents, stateId: nextBond(contents.stateId, id) },
        );
      },
    }),
    prepareEpoch: () => keep(undefined, new Secret(randomBytes(32))),
    async receiveEpoch(epoch, k3) {
      return (await keep(epoch, k3)).commitment;
    },
    close() {
      clearInterval(follow);
      return Promise.resolve();
    },
  };
}

function stampOf(file: string): string {
  const { mtimeMs, ino } = statSync(file, { throwIfNoEntry: false }) ?? { mtimeMs: 0, ino: 0 };
  return `${String(mtimeMs)}/${String(ino)}`;
}

function load(contents: VaultContents): Loaded {
  const { epochs, signing: keys } = contents;
  return {
    contents,
    commitments: commitments(epochs),
    prks: new Map([...epochs].map(([epoch, k3]) => [epoch, k3Prk(k3.reveal())])),
    jwks: { sts: publicJwk(keys.sts.reveal()), audit: publicJwk(keys.audit.reveal()) },
  };
}

function drawTokenSecret(at: number): TokenSecretKey {
  return { kid: randomName(), createdAt: at, lastExpiry: 0, key: new Secret(randomBytes(32)) };
}

/** A new file, or one of format v1, has no token secret yet. */
function withSigner(contents: VaultContents, at: number): VaultContents {
  if (signing(contents.tokenSecrets) !== undefined) return contents;
  return { ...contents, tokenSecrets: [...contents.tokenSecrets, drawTokenSecret(at)] };
}

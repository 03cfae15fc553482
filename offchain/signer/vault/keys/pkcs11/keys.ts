import { createHash, randomBytes } from "node:crypto";

import type { Handle } from "pkcs11js";

import type { Logger } from "../../../../http/log";
import { lockFolder } from "../../../../store/folder-lock";
import { fromBase64url } from "../../../../wire/bytes";
import { type Jwks, type PublicJwk, publicJwk } from "../../../../wire/jwks";
import { Secret } from "../../../../wire/secret";
import { nextEpoch } from "../../epochs";
import { objectInfo } from "../../k3";
import { operatorSeed } from "../agent-seed";
import { datesOf, isLive, laterExpiry, rotated, signing } from "../token-secrets";
import { randomName } from "../vault-contents";
import { type SigningUse, type TokenSecret, type VaultKeys, VaultKeysError, nextBond } from "../vault-keys";
import { whenFree } from "../when-free";
import { type Book, readBook, writeBook } from "./book";
import { readNumbered, writeNumbered } from "./data-object";
import { type EpochKey, keepEpoch, readEpochKeys } from "./epoch-keys";
import { LABELS, drawHmacKey, must, publicKeyOf } from "./objects";
import { unwrapSeeds } from "./seeds";
import { type Token, type TokenSettings, openToken } from "./token";

/** What the PKCS#11 back end is opened with. */
export interface Pkcs11Settings extends TokenSettings {
  /** Folder whose lock is held while objects are changed: one writer at a time on this host. */
  readonly writerDir: string;
  /** Unix seconds. */
  readonly now: () => number;
  readonly log: Logger;
}

/** What is read of the token; read again within a second of another process's change. */
interface Seen {
  readonly book: Book;
  readonly epochs: ReadonlyMap<number, EpochKey>;
  readonly secrets: ReadonlyMap<string, Handle>;
  readonly signing: Readonly<Record<SigningUse, { readonly key: Handle; readonly jwk: PublicJwk }>>;
}

const REREAD_MS = 1_000;

/**
 * Keys in a PKCS#11 token. PRKs of K3, token secrets and signing keys never leave it; agent seed and state key come
 * into memory when they are used. A token that does not answer holds no epoch, and each use of it is StoreUnavailable.
 * @throws VaultKeysError whose words name the cause; StoreUnavailable
 */
export async function openPkcs11(settings: Pkcs11Settings): Promise<VaultKeys> {
  const { now, log, writerDir } = settings;
  const token = openToken(settings);
  const { ck } = token;
  let seen: Seen;
  let isAnswering = true;
  try {
    seen = token.within(() => look(token, settings.label));
    if (signing(seen.book.tokenSecrets) === undefined) await change((book) => withNewSecret(book, now(), true));
  } catch (error) {
    token.close();
    throw error;
  }
  let stateSequence = token.within(() => readNumbered(token, LABELS.stateSequence)?.sequence ?? 0);

  const follow = setInterval(() => {
    try {
      const held = seen.epochs.size;
      seen = token.within(() => look(token, settings.label));
      if (seen.epochs.size !== held) log.info({ epochs: [...seen.epochs.keys()] }, "the token was read again");
      if (!isAnswering) log.info("the token answers again");
      isAnswering = true;
    } catch (error) {
      if (isAnswering) log.error({ err: error }, "the token does not answer, or is no longer whole");
      isAnswering = false;
    }
  }, REREAD_MS).unref();

  /** Uses what was seen; where handles were lost with the session, what is seen anew. */
  function use<T>(act: (now: Seen) => T): T {
    let isFirst = true;
    return token.within(() => {
      if (!isFirst) seen = look(token, settings.label);
      isFirst = false;
      return act(seen);
    });
  }

  /** One writer at a time; `make` sees what the token holds now. */
  async function alone<T>(make: () => T): Promise<T> {
    return whenFree(() => {
      const lock = lockFolder(writerDir);
      try {
        return token.within(() => {
          const result = make();
          seen = look(token, settings.label);
          return result;
        });
      } finally {
        lock.release();
      }
    });
  }

  async function change(make: (book: Book) => Book): Promise<Book> {
    return alone(() => {
      const before = mustBook(token, settings.label);
      const after = make(before);
      return after === before ? before : writeBook(token, after);
    });
  }

  function withNewSecret(book: Book, at: number, force: boolean): Book {
    const kid = randomName();
    drawHmacKey(token, LABELS.tokenSecret, kidBytes(kid));
    const next: TokenSecret = { kid, createdAt: at, lastExpiry: 0 };
    return { ...book, tokenSecrets: rotated(book.tokenSecrets, next, at, force) };
  }

  /** Deletes the keys that the book no longer names; before that they were dead already. */
  function sweep(): void {
    const kids = new Set(mustBook(token, settings.label).tokenSecrets.map((one) => one.kid));
    for (const [kid, key] of readSecrets(token)) if (!kids.has(kid)) token.destroy(key);
  }

  return {
    backend: "pkcs11",
    commitments: () =>
      new Map(isAnswering ? [...seen.epochs].map(([epoch, { commitment }]) => [epoch, commitment]) : []),
    objectKey(epoch, name) {
      return later(() =>
        use(({ epochs }) => {
          const prk = epochs.get(epoch)?.prk;
          if (prk === undefined) return undefined;
          const info = objectInfo(name).map((part) => Buffer.from(part as Uint8Array));
          return token.sign(ck.CKM_SHA256_HMAC, prk, Buffer.concat([...info, Buffer.from([1])]));
        }),
      );
    },
    operatorSeed(operatorOmni, account) {
      return later(() => {
        const { agentSeed, stateKey } = token.within(() => unwrapSeeds(token));
        const seed = operatorSeed(agentSeed.reveal(), operatorOmni, account);
        agentSeed.reveal().fill(0);
        stateKey.reveal().fill(0);
        return seed;
      });
    },
    macCredential(kid, signingInput) {
      return later(() =>
        use(({ book, secrets }) => {
          const secret = book.tokenSecrets.find((one) => one.kid === kid);
          const key = secrets.get(kid);
          if (secret === undefined || key === undefined || !isLive(secret, now())) return undefined;
          return token.sign(ck.CKM_SHA256_HMAC, key, Buffer.from(signingInput));
        }),
      );
    },
    tokenSecrets: () => seen.book.tokenSecrets.map(datesOf),
    async rotateTokenSecret(at, force) {
      const { tokenSecrets } = await change((book) => withNewSecret(book, at, force));
      await alone(sweep);
      const next = signing(tokenSecrets);
      if (next === undefined) throw new VaultKeysError("the token's book names no secret that signs");
      return datesOf(next);
    },
    async noteExpiry(kid, exp) {
      const known = seen.book.tokenSecrets.find((one) => one.kid === kid);
      if (known === undefined || laterExpiry(known, exp) === undefined) return;
      await change((book) => ({
        ...book,
        tokenSecrets: book.tokenSecrets.map((one) =>
          one.kid === kid ? { ...one, lastExpiry: laterExpiry(one, exp) ?? one.lastExpiry } : one,
        ),
      }));
    },
    signEs256(what, signingInput) {
      return later(() => {
        const digest = createHash("sha256").update(signingInput).digest();
        return use(({ signing: keys }) => ({
          kid: keys[what].jwk.kid,
          signature: token.sign(ck.CKM_ECDSA, keys[what].key, digest),
        }));
      });
    },
    publicJwks: (what): Jwks => ({ keys: [seen.signing[what].jwk] }),
    stateKey() {
      const { agentSeed, stateKey } = token.within(() => unwrapSeeds(token));
      agentSeed.reveal().fill(0);
      return stateKey;
    },
    stateAnchor: () => ({
      id: () => seen.book.stateId,
      async bind(id) {
        await change((book) => (book.stateId === id ? book : { ...book, stateId: nextBond(book.stateId, id) }));
      },
      sequence: {
        value: () => stateSequence,
        raise: (to) =>
          later(() => {
            if (to <= stateSequence) return;
            token.within(() => {
              writeNumbered(token, LABELS.stateSequence, to, {});
            });
            stateSequence = to;
          }),
      },
    }),
    async prepareEpoch() {
      const k3 = new Secret(randomBytes(32));
      const prepared = await alone(() => {
        const epoch = nextEpoch(readEpochKeys(token));
        return { epoch, commitment: keepEpoch(token, epoch, k3.reveal()) };
      });
      k3.reveal().fill(0);
      return prepared;
    },
    receiveEpoch: (epoch, k3) => alone(() => keepEpoch(token, epoch, k3.reveal())),
    close() {
      clearInterval(follow);
      token.close();
      return Promise.resolve();
    },
  };
}

/** What is thrown comes as a rejection. */
function later<T>(act: () => T): Promise<T> {
  return new Promise((done) => {
    done(act());
  });
}

function kidBytes(kid: string): Buffer {
  const bytes = fromBase64url(kid);
  if (bytes === undefined) throw new VaultKeysError("the token's book names a secret by no base64url text");
  return bytes;
}

function mustBook(token: Token, label: string): Book {
  const book = readBook(token);
  if (book === undefined)
    throw new VaultKeysError(`the token ${label} holds no vault: make it with npm run signer:init`);
  return book;
}

function readSecrets(token: Token): ReadonlyMap<string, Handle> {
  const { ck } = token;
  const keys = token.find(LABELS.tokenSecret, ck.CKO_SECRET_KEY);
  return new Map(keys.map((key) => [token.read(key, ck.CKA_ID).toString("base64url"), key]));
}

function look(token: Token, label: string): Seen {
  const book = mustBook(token, label);
  const pair = (use: SigningUse) => ({
    key: must(token, LABELS.signing(use), token.ck.CKO_PRIVATE_KEY),
    jwk: publicJwk(publicKeyOf(token, LABELS.signing(use))),
  });
  return {
    book,
    epochs: readEpochKeys(token),
    secrets: readSecrets(token),
    signing: { sts: pair("sts"), audit: pair("audit") },
  };
}

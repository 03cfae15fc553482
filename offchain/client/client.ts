import { randomBytes } from "node:crypto";

import type { ChainReader } from "../chain/reader";
import { type Hex, ZERO32, fromBase64url, toHex } from "../wire/bytes";
import { parseCap } from "../wire/cap";
import { type CapRequest, capRequestDigest } from "../wire/cap-request";
import { contentHash } from "../wire/content-hash";
import { type Domain, domainSeparator } from "../wire/eip712";
import { type SealKeyPair, generateSealKeyPair, hpkeOpen, hpkeSeal } from "../wire/hpke";
import { readJsonObject } from "../wire/json";
import { keccakReady } from "../wire/keccak";
import { encodeMint, mintPath } from "../wire/mint";
import type { DataClass, Op } from "../wire/names";
import { isOrigin } from "../wire/origin";
import {
  REPLY_INFO,
  STORE_INFO,
  type WriteAnswer,
  encodeSealedPayload,
  encodeSealedStoreBody,
  encodeStoreBody,
  parseFetchAnswer,
  parseWriteAnswer,
  redeemPath,
} from "../wire/redeem";
import { type Result, ok, refuse } from "../wire/result";
import type { ObjectName } from "../wire/stored-by";
import type { DeviceKey } from "./device-key-file";
import type { HighWaterMarks } from "./high-water-marks";
import { httpExchange } from "./http-exchange";
import { readerRefusal } from "./reader-check";
import { proveRequest } from "./request-proof";

/** What a client is made of. */
export interface ClientOptions {
  /** This machine's K10. */
  readonly device: DeviceKey;
  readonly operatorOmni: Hex;
  readonly domain: Domain;
  /** Public base URLs, from this machine's own configuration: no answer changes them. */
  readonly urls: { readonly broker: string; readonly worker: Readonly<Partial<Record<DataClass, string>>> };
  /** Pinned X25519 keys of workers: stores are sealed to them. */
  readonly workerSealKeys?: Readonly<Partial<Record<DataClass, Hex>>>;
  readonly chain: ChainReader;
  readonly marks: HighWaterMarks;
  /** PEM, in place of the system's roots. */
  readonly ca?: string | Buffer;
  /** Milliseconds for one exchange with one service; 30,000 by default. */
  readonly timeoutMs?: number;
  /** Unix seconds. */
  readonly now: () => number;
}

/** Which object, of the operator's actors. */
export interface ObjectWish {
  readonly actorOmni: Hex;
  readonly dataClass: DataClass;
  readonly service: string;
}

/** What was read, after every check of the reader. */
export interface Fetched {
  readonly plaintext: Buffer;
  readonly version: number;
}

/** Typed calls of a device; every refusal is a value with its code. @see services note 4.6 */
export interface Client {
  /** `object_corrupt` when the answer is not what a device of this actor stored last. */
  fetch(wish: ObjectWish): Promise<Result<Fetched>>;
  /** Stores the next version; `ifVersion` 0 means that nothing may be there yet. */
  store(wish: ObjectWish, plaintext: Uint8Array, ifVersion?: number): Promise<Result<WriteAnswer>>;
  teardown(wish: ObjectWish): Promise<Result<WriteAnswer>>;
  /** Re-encrypts under the current epoch. */
  rotate(wish: ObjectWish): Promise<Result<WriteAnswer>>;
  close(): Promise<void>;
}

/** Seconds that a cap lives; the longest allowed. */
const CAP_SECONDS = 300;

/** A client over the wire. Throws where an origin is neither https nor loopback. */
export async function createClient(options: ClientOptions): Promise<Client> {
  await keccakReady();
  for (const url of [options.urls.broker, ...Object.values(options.urls.worker)]) {
    if (!isOrigin(url)) throw new RangeError(`${url} is no origin: https (http on loopback only), no trailing slash`);
  }
  const { device, operatorOmni, chain, marks, now } = options;
  const separator = domainSeparator(options.domain);
  const exchange = httpExchange(options.ca, options.timeoutMs);

  async function mint(op: Op, wish: ObjectWish, hash: Hex): Promise<Result<{ cap: string; request: CapRequest }>> {
    if (options.urls.worker[wish.dataClass] === undefined) return noWorker(wish);
    const query = { ...wish, deviceKeyHash: device.deviceKeyHash, operatorOmni };
    const facts = await chain.access(query);
    if (!facts.ok) return facts;
    const issuedAt = now();
    const request: CapRequest = {
      ...query,
      op,
      contentHash: hash,
      k3Epoch: facts.value.k3Epoch,
      issuedAt,
      expiresAt: issuedAt + CAP_SECONDS,
      nonce: toHex(randomBytes(32)),
    };
    const digest = capRequestDigest(separator, request);
    const body = encodeMint(request, device.sign(digest));
    const answer = await exchange.post(options.urls.broker + mintPath(op, wish.dataClass), body);
    if (answer === "unreachable") return refuse("upstream_unavailable", "The broker did not answer: is its URL right?");
    if (!answer.ok) return answer;
    const read = readJsonObject(answer.value);
    const cap = read.ok ? read.value["cap"] : undefined;
    const parsed = typeof cap === "string" ? parseCap(cap) : undefined;
    if (typeof cap !== "string" || parsed?.ok !== true) {
      return refuse("internal_error", "The broker's answer is none.");
    }
    // an older cap of this device would be redeemed with a proof that it makes now
    return capRequestDigest(separator, parsed.value.claims.request).equals(digest)
      ? ok({ cap, request })
      : refuse("internal_error", "The broker answered with another cap than the one that was asked for.");
  }

  /** One request to the worker with a proof of its own; `digest` binds the sealed answer. */
  async function redeem(
    op: Op,
    wish: ObjectWish,
    cap: string,
    body: string,
    sealTo: Hex,
  ): Promise<Result<{ bytes: Buffer; digest: Buffer }> | "unreachable"> {
    const origin = options.urls.worker[wish.dataClass];
    if (origin === undefined) return noWorker(wish);
    const target = origin + redeemPath(op, wish.dataClass);
    const { headers, digest } = proveRequest({ device, separator, target, body, credential: cap, sealTo, now: now() });
    const answer = await exchange.post(target, body, headers);
    if (answer === "unreachable") return answer;
    return answer.ok ? ok({ bytes: answer.value, digest }) : answer;
  }

  async function write(
    op: Op,
    wish: ObjectWish,
    hash: Hex,
    body: (request: CapRequest) => Promise<string>,
  ): Promise<Result<WriteAnswer>> {
    const minted = await mint(op, wish, hash);
    if (!minted.ok) return minted;
    const text = await body(minted.value.request);
    const answer = await redeem(op, wish, minted.value.cap, text, ZERO32);
    // a write may have happened: it is never repeated by itself
    if (answer === "unreachable")
      return refuse("upstream_unavailable", "The worker did not answer; the write may have happened.");
    if (!answer.ok) return answer;
    const written = parseWriteAnswer(answer.value.bytes);
    return written === undefined ? refuse("internal_error", "The worker's answer is none.") : ok(written);
  }

  async function storeBody(
    wish: ObjectWish,
    plaintext: Uint8Array,
    salt: Hex,
    request: CapRequest,
    ifVersion?: number,
  ): Promise<string> {
    const sealKey = options.workerSealKeys?.[wish.dataClass];
    if (sealKey === undefined) return encodeStoreBody(plaintext, salt, ifVersion);
    const info = Buffer.concat([Buffer.from(STORE_INFO), capRequestDigest(separator, request)]);
    const sealed = await hpkeSeal(sealKey, info, Buffer.from(encodeSealedPayload(plaintext, salt)));
    return encodeSealedStoreBody(sealed, ifVersion);
  }

  /** Opens, then checks as protocol 3.4 asks of the reader. */
  async function believe(wish: ObjectWish, pair: SealKeyPair, bytes: Buffer, digest: Buffer): Promise<Result<Fetched>> {
    const read = readJsonObject(bytes);
    const sealed = read.ok ? fromBase64url(read.value["sealed"]) : undefined;
    const info = Buffer.concat([Buffer.from(REPLY_INFO), digest]);
    const opened = sealed === undefined ? undefined : await hpkeOpen(pair, info, sealed);
    const answer = opened === undefined ? undefined : parseFetchAnswer(opened);
    if (answer === undefined) return refuse("object_corrupt", "The answer is not sealed to this request.");
    const name: ObjectName = { operatorOmni, ...wish };
    const storer = await chain.getDevice(answer.stored_by.device_key_hash);
    if (!storer.ok) return storer;
    const { plaintext } = answer;
    const refused = readerRefusal({ name, answer, plaintext, separator, storer: storer.value, mark: marks.get(name) });
    if (refused !== undefined) {
      plaintext.fill(0);
      return { ok: false, failure: refused };
    }
    await marks.raise(name, answer.version, answer.stored_by);
    return ok({ plaintext, version: answer.version });
  }

  return {
    async fetch(wish) {
      const minted = await mint("fetch", wish, ZERO32);
      if (!minted.ok) return minted;
      const pair = await generateSealKeyPair();
      let answer = await redeem("fetch", wish, minted.value.cap, "{}", pair.publicKey);
      // reading twice is safe: the cap lives on, and each try has a proof of its own
      if (answer === "unreachable") answer = await redeem("fetch", wish, minted.value.cap, "{}", pair.publicKey);
      if (answer === "unreachable")
        return refuse("upstream_unavailable", "The worker did not answer: is its URL right?");
      if (answer.ok) return believe(wish, pair, answer.value.bytes, answer.value.digest);
      const mark = marks.get({ operatorOmni, ...wish });
      if (answer.failure.code !== "object_not_found" || mark === undefined) return answer;
      const seen = `This device has seen version ${String(mark.version)}: it was torn down, or the store lost it.`;
      return refuse("object_not_found", seen);
    },
    store(wish, plaintext, ifVersion) {
      const salt = toHex(randomBytes(32));
      const hash = contentHash(salt, plaintext);
      return write("store", wish, hash, (request) => storeBody(wish, plaintext, salt, request, ifVersion));
    },
    teardown: (wish) => write("teardown", wish, ZERO32, () => Promise.resolve("{}")),
    rotate: (wish) => write("rotate", wish, ZERO32, () => Promise.resolve("{}")),
    close: () => exchange.close(),
  };
}

function noWorker(wish: ObjectWish): Result<never> {
  return refuse("request_malformed", `No worker is configured for ${wish.dataClass}.`);
}

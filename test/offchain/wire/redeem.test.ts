import { randomBytes } from "node:crypto";

import { expect } from "chai";
import fc from "fast-check";

import { fromBase64url, fromHex, isBytes32, toBase64url, toHex } from "../../../offchain/wire/bytes";
import { parseDataKeysAnswer, parseDataKeysRequest } from "../../../offchain/wire/data-keys";
import { generateSealKeyPair, hpkeOpen, hpkeSeal, sealKeyPairFrom } from "../../../offchain/wire/hpke";
import {
  MAX_PLAINTEXT_BYTES,
  REDEEM_ROUTES,
  encodeSealedPayload,
  encodeSealedStoreBody,
  encodeStoreBody,
  parseEmptyBody,
  parseFetchAnswer,
  parseSealedPayload,
  parseStoreBody,
  parseWriteAnswer,
  redeemPath,
} from "../../../offchain/wire/redeem";
import { encodeProofHeader, isSealTo, parseProofHeader } from "../../../offchain/wire/request-proof";
import type { Result } from "../../../offchain/wire/result";
import { anyBytes32, anySignature, anyWhole } from "../../helpers/arbitraries";
import { openByHand } from "../../helpers/hpke-by-hand";
import { mutated } from "../../helpers/mutated";
import frozen from "../../vectors/frozen.json";

const salt = `0x${"55".repeat(32)}` as const;
const bytesOf = (value: unknown): Buffer => Buffer.from(typeof value === "string" ? value : JSON.stringify(value));
const codeOf = (result: Result<unknown>): string => (result.ok ? "ok" : result.failure.code);
const anyPlaintext = fc.uint8Array({ maxLength: 3_000 });
const anyIfVersion = fc.option(anyWhole, { nil: undefined });

describe("wire/redeem: bodies", () => {
  it("reads the stores that it writes, in the clear and sealed", () => {
    fc.assert(
      fc.property(anyPlaintext, anyBytes32, anyIfVersion, (plaintext, contentSalt, ifVersion) => {
        const payload = { plaintext: Buffer.from(plaintext), contentSalt };
        const clear = parseStoreBody(bytesOf(encodeStoreBody(plaintext, contentSalt, ifVersion)));
        expect(clear).to.deep.equal({ ok: true, value: { payload, ifVersion } });
        const sealed = parseStoreBody(bytesOf(encodeSealedStoreBody(plaintext, ifVersion)));
        const held = { sealed: Buffer.from(plaintext) };
        expect(sealed).to.deep.equal({ ok: true, value: { payload: held, ifVersion } });
        const inside = parseSealedPayload(bytesOf(encodeSealedPayload(plaintext, contentSalt)));
        expect(inside).to.deep.equal({ ok: true, value: payload });
      }),
    );
  });

  const store = { payload_b64: "c2s", content_salt: salt, if_version: 1 };
  const sealed = { sealed: "AAAA", if_version: 1 };
  it("the good ones", () => {
    for (const one of [store, sealed, { ...store, unknown: 1 }])
      expect(codeOf(parseStoreBody(bytesOf(one)))).to.equal("ok");
  });
  const refused: readonly (readonly [string, unknown])[] = [
    ...mutated(store, ["if_version"]),
    ...mutated(sealed, ["if_version"]),
    ...mutated(store).filter(([what]) => what.startsWith("if_version")),
    ["both forms at once", { ...store, ...sealed }],
    ["sealed beside a salt", { ...sealed, content_salt: salt }],
    ["sealed beside a payload", { ...sealed, payload_b64: "c2s" }],
    ["a padded payload", { ...store, payload_b64: "c2s=" }],
    ["a payload in the other alphabet", { ...store, payload_b64: "++++" }],
    ["nothing", ""],
    ["a list", [store]],
    ["a payload twice", `{"payload_b64":"AAAA","payload_b64":"c2s","content_salt":"${salt}"}`],
  ];
  for (const [what, body] of refused) {
    it(`refuses a store with ${what}`, () => {
      expect(codeOf(parseStoreBody(bytesOf(body)))).to.equal("request_malformed");
    });
  }

  it("takes a plaintext of 1 MiB and none above, in the clear and sealed", () => {
    const [most, more] = [Buffer.alloc(MAX_PLAINTEXT_BYTES), Buffer.alloc(MAX_PLAINTEXT_BYTES + 1)];
    expect(codeOf(parseStoreBody(bytesOf(encodeStoreBody(most, salt))))).to.equal("ok");
    expect(codeOf(parseStoreBody(bytesOf(encodeStoreBody(more, salt))))).to.equal("request_too_large");
    expect(codeOf(parseSealedPayload(bytesOf(encodeSealedPayload(most, salt))))).to.equal("ok");
    expect(codeOf(parseSealedPayload(bytesOf(encodeSealedPayload(more, salt))))).to.equal("request_too_large");
  });

  it("calls whatever else was sealed payload_invalid", () => {
    const { payload_b64, content_salt } = store;
    for (const [what, one] of [...mutated({ payload_b64, content_salt }), ["text", "sk"], ["nothing", ""]] as const) {
      expect(codeOf(parseSealedPayload(bytesOf(one))), what).to.equal("payload_invalid");
    }
  });

  it("takes nothing or any object where a body says nothing", () => {
    for (const body of ["", "{}", '{"a":1}']) expect(codeOf(parseEmptyBody(bytesOf(body))), body).to.equal("ok");
    for (const body of ["[]", "null", "{", " ", '{"a":1.5}']) {
      expect(codeOf(parseEmptyBody(bytesOf(body))), body).to.equal("request_malformed");
    }
  });
});

describe("wire/redeem: answers and routes", () => {
  const answer = JSON.parse(frozen.reply.plaintext) as Record<string, unknown>;

  it("reads the frozen answer, and none with a member missing or in another form", () => {
    expect(parseFetchAnswer(bytesOf(answer))?.plaintext.toString()).to.equal(frozen.contentHash.plaintext);
    for (const [what, changed] of mutated(answer)) {
      expect(parseFetchAnswer(bytesOf(changed)), what).to.equal(undefined);
    }
    for (const [what, stored_by] of mutated(answer["stored_by"] as Record<string, unknown>)) {
      expect(parseFetchAnswer(bytesOf({ ...answer, stored_by })), what).to.equal(undefined);
    }
  });

  it("reads the answer to a write", () => {
    const written = { version: 1, digest: salt };
    expect(parseWriteAnswer(bytesOf(written))).to.deep.equal(written);
    for (const [what, changed] of [...mutated(written), ["version 0", { ...written, version: 0 }]] as const) {
      expect(parseWriteAnswer(bytesOf(changed)), what).to.equal(undefined);
    }
  });

  it("has twelve routes of objects and two of classify, each path once", () => {
    expect(REDEEM_ROUTES.filter((one) => one.dataClass !== undefined)).to.have.length(12);
    expect(new Set(REDEEM_ROUTES.map((one) => one.path)).size).to.equal(14);
    expect(redeemPath("store", "memory")).to.equal("/v1/memory/put");
    expect(() => redeemPath("classify", "memory")).to.throw(RangeError);
  });
});

describe("wire/request-proof: the header", () => {
  const good = JSON.parse(Buffer.from(frozen.proof.header, "base64url").toString()) as Record<string, unknown>;
  const outcome = (text: string): string => {
    const parsed = parseProofHeader(text);
    return parsed.ok ? "ok" : `${parsed.failure.code} ${String(parsed.failure.reason)}`;
  };
  const encoded = (value: unknown): string => toBase64url(bytesOf(value));
  const MALFORMED = "proof_invalid malformed";

  it("reads what it writes, with any key that is not of small order", () => {
    fc.assert(
      fc.property(
        anyBytes32,
        anyBytes32,
        anyBytes32,
        anyWhole,
        anySignature,
        (device, sealTo, nonce, issuedAt, sig) => {
          const proof = { deviceKeyHash: device, sealTo, nonce, issuedAt, sig };
          expect(isSealTo(sealTo)).to.equal(true);
          expect(parseProofHeader(encodeProofHeader(proof))).to.deep.equal({ ok: true, value: proof });
        },
      ),
    );
  });

  it("takes the members in any order, and others beside them", () => {
    const reversed = Object.fromEntries(Object.entries(good).reverse());
    for (const one of [good, reversed, { ...good, htm: "GET", nested: { a: [1] } }]) {
      expect(outcome(encoded(one))).to.equal("ok");
    }
  });

  for (const [what, changed] of mutated(good)) {
    it(`refuses ${what}`, () => expect(outcome(encoded(changed))).to.equal(MALFORMED));
  }

  it("refuses other encodings of a good one", () => {
    const text = JSON.stringify(good);
    const forms = [
      text,
      `${frozen.proof.header}=`,
      ` ${frozen.proof.header}`,
      `${frozen.proof.header},${frozen.proof.header}`,
      encoded(`${text}${text}`),
      encoded(`\ufeff${text}`),
      encoded(text.replace("{", `{"sig":"${String(good["sig"])}",`)),
      encoded([good]),
      "",
    ];
    for (const form of forms) expect(outcome(form), form.slice(0, 40)).to.equal(MALFORMED);
  });

  it("knows a small-order key by the arithmetic itself: X25519 with it gives zero", async () => {
    // u = 0, 1, p-1, p, p+1 and the two points of order 8, with the bit that X25519 masks set and not
    const p = 2n ** 255n - 19n;
    const order8 = ["e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800"].concat(
      "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157",
    );
    const little = (u: bigint): string =>
      Buffer.from(u.toString(16).padStart(64, "0"), "hex").reverse().toString("hex");
    for (const u of [...[1n, p - 1n, p, p + 1n].map(little), ...order8]) {
      for (const mask of [0, 0x80]) {
        const bytes = Buffer.from(u, "hex");
        bytes[31] = (bytes[31] ?? 0) | mask;
        const key = toHex(bytes);
        expect(isSealTo(key), key).to.equal(false);
        expect(outcome(encoded({ ...good, seal_to: key })), key).to.equal(MALFORMED);
        expect(await hpkeSeal(key, Buffer.alloc(0), Buffer.alloc(1)).catch(() => "refused"), key).to.equal("refused");
      }
    }
  });
});

describe("wire/hpke", () => {
  it("opens what was sealed to this key with this info, and node:crypto by hand agrees", async () => {
    const pair = await generateSealKeyPair();
    await fc.assert(
      fc.asyncProperty(anyPlaintext, fc.uint8Array({ maxLength: 64 }), async (plaintext, info) => {
        const sealed = await hpkeSeal(pair.publicKey, info, plaintext);
        expect(await hpkeOpen(pair, info, sealed)).to.deep.equal(Buffer.from(plaintext));
        expect(await hpkeOpen(pair, Buffer.concat([info, Buffer.of(0)]), sealed)).to.equal(undefined);
      }),
      { numRuns: 20 },
    );
    const secret = randomBytes(32);
    const own = await sealKeyPairFrom(secret);
    const sealed = await hpkeSeal(own.publicKey, Buffer.from("info"), Buffer.from("text"));
    expect(openByHand(secret, Buffer.from("info"), sealed).toString()).to.equal("text");
  });

  it("opens nothing with any byte changed, missing or added, nor with another key", async () => {
    const [pair, other] = [await generateSealKeyPair(), await generateSealKeyPair()];
    const info = Buffer.from("info");
    const sealed = await hpkeSeal(pair.publicKey, info, Buffer.from("text"));
    expect(await hpkeOpen(other, info, sealed)).to.equal(undefined);
    for (let at = 0; at < sealed.length; at += 1) {
      const changed = Buffer.from(sealed);
      changed[at] = (changed[at] ?? 0) ^ 1;
      expect(await hpkeOpen(pair, info, changed), String(at)).to.equal(undefined);
      expect(await hpkeOpen(pair, info, sealed.subarray(0, at)), String(at)).to.equal(undefined);
    }
    expect(await hpkeOpen(pair, info, Buffer.concat([sealed, Buffer.of(0)]))).to.equal(undefined);
  });
});

describe("wire/data-keys", () => {
  const request = {
    cap: "a.b.c",
    proof: "AAAA",
    method: "POST",
    target: "https://creds.example.org/v1/cred/fetch",
    body_hash: salt,
    header: "AAAA",
    encrypted_key: "AAAA",
    next_header: "AAAA",
  };
  const key = (length: number): string => toBase64url(Buffer.alloc(length, 1));
  const answer = { content_key: key(64), encrypted_key: key(72), previous_content_key: key(64) };

  it("reads a request, and none with a member in another form", () => {
    expect(parseDataKeysRequest(bytesOf(request))).to.deep.equal({ ok: true, value: request });
    for (const [what, changed] of mutated(request)) {
      const expected = /^no (encrypted_key|next_header)$/.test(what) ? "ok" : "request_malformed";
      expect(codeOf(parseDataKeysRequest(bytesOf(changed))), what).to.equal(expected);
    }
  });

  it("reads an answer, and no key of another length", () => {
    expect(parseDataKeysAnswer(bytesOf(answer))).to.deep.equal(answer);
    for (const [what, changed] of mutated(answer)) {
      expect(parseDataKeysAnswer(bytesOf(changed)) !== undefined, what).to.equal(what === "no previous_content_key");
    }
    for (const [member, lengths] of Object.entries({ content_key: [0, 32, 63, 65], encrypted_key: [64, 71, 73] })) {
      for (const length of lengths) {
        expect(parseDataKeysAnswer(bytesOf({ ...answer, [member]: key(length) }))).to.equal(undefined);
      }
    }
    expect(fromBase64url(answer.content_key)?.length).to.equal(64);
    expect(isBytes32(request.body_hash) && fromHex(request.body_hash).length).to.equal(32);
  });
});

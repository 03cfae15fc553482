import { createSecretKey, randomBytes } from "node:crypto";

import { expect } from "chai";
import fc from "fast-check";
import { CompactEncrypt, compactDecrypt } from "jose";

import { objectKey } from "../../../offchain/signer/vault/k3";
import { unwrapKey, wrapKey } from "../../../offchain/signer/vault/key-wrap";
import { type Hex, fromBase64url, fromHex, toBase64url } from "../../../offchain/wire/bytes";
import { objectPath } from "../../../offchain/wire/names";
import {
  CONTENT_KEY_BYTES,
  type ObjectHeader,
  decryptObject,
  encodeObjectHeader,
  encodeTombstone,
  encryptObject,
  parseObject,
  parseObjectHeader,
  parseTombstone,
  sameName,
} from "../../../offchain/wire/object";
import { anyBytes32, anyName, anyStoredBy } from "../../helpers/arbitraries";
import { mutated } from "../../helpers/mutated";
import frozen from "../../vectors/frozen.json";
import vectors from "../../vectors/protocol.json";

const good = Buffer.from(frozen.object.compact);
const tombstone = Buffer.from(frozen.tombstone.compact);
const k3 = fromHex(vectors.objectKey.k3 as Hex);
const parts = good.toString().split(".");
const headerText = parts[0] ?? "";
const headerJson = JSON.parse(Buffer.from(headerText, "base64url").toString()) as Record<string, unknown>;
const encoded = (value: unknown): string => toBase64url(JSON.stringify(value));

/** Members of JOSE headers (RFC 7516 §4.1) and others that the product does not write. */
const FOREIGN: readonly (readonly [string, unknown])[] = [
  ["crit", []],
  ["crit", ["exp"]],
  ["crit", null],
  ["zip", "DEF"],
  ["zip", "none"],
  ["cty", "JWE"],
  ...["jku", "jwk", "x5u", "x5c", "x5t", "x5t#S256", "epk", "apu", "apv", "iv", "tag", "p2s", "p2c"].map(
    (member) => [member, "AAAA"] as const,
  ),
  ["b64", false],
  ["exp", 1],
  ["epoch", 1],
  ["Alg", "dir"],
  ["", 0],
  ["__proto__", {}],
  ["constructor", {}],
  ["removed_by", headerJson["stored_by"]],
];

/** As `JSON.stringify` of the header and one more member, also one that an object literal would not keep. */
function withMember(header: Readonly<Record<string, unknown>>, member: string, value: unknown): string {
  const more = `,${JSON.stringify(member)}:${JSON.stringify(value)}}`;
  return toBase64url(JSON.stringify(header).slice(0, -1) + more);
}

const anyHeader: fc.Arbitrary<ObjectHeader> = fc.record({
  name: anyName,
  epoch: fc.integer({ min: 1, max: 2 ** 48 }),
  version: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
  contentSalt: anyBytes32,
  storedBy: anyStoredBy,
});

/** As vault and worker open an object together: the key is that of whatever the header names. */
function open(bytes: Uint8Array): string | undefined {
  const object = parseObject(bytes);
  const wrapped = fromBase64url(object?.encryptedKey);
  if (object === undefined || wrapped === undefined) return undefined;
  const contentKey = unwrapKey(objectKey(k3, object.header.name), wrapped);
  return contentKey && decryptObject(object, contentKey)?.toString();
}

describe("wire/object", () => {
  it("opens what it seals, whatever the header and the length, and jose agrees", async () => {
    await fc.assert(
      fc.asyncProperty(anyHeader, fc.uint8Array({ maxLength: 100 }), async (header, plaintext) => {
        const [key, contentKey] = [objectKey(k3, header.name), randomBytes(CONTENT_KEY_BYTES)];
        const text = encodeObjectHeader(header);
        expect(parseObjectHeader(text)).to.deep.equal(header);
        const bytes = encryptObject(text, toBase64url(wrapKey(key, contentKey)), contentKey, plaintext);
        const parsed = parseObject(bytes);
        expect(parsed?.header).to.deep.equal(header);
        expect(parsed && decryptObject(parsed, contentKey)).to.deep.equal(Buffer.from(plaintext));
        const { plaintext: byJose } = await compactDecrypt(bytes.toString(), createSecretKey(key));
        expect(Buffer.from(byJose)).to.deep.equal(Buffer.from(plaintext));
      }),
      { numRuns: 50 },
    );
  });

  it("opens what jose seals", async () => {
    const name = parseObject(good)?.header.name;
    const text = await new CompactEncrypt(Buffer.from("by jose"))
      .setProtectedHeader({ ...headerJson, alg: "A256KW", enc: "A256CBC-HS512" })
      .encrypt(createSecretKey(name === undefined ? Buffer.alloc(32) : objectKey(k3, name)));
    expect(open(Buffer.from(text))).to.equal("by jose");
  });

  it("opens 1 MiB and nothing at all", () => {
    const contentKey = randomBytes(CONTENT_KEY_BYTES);
    for (const length of [0, 15, 16, 17, 1024 * 1024]) {
      const plaintext = randomBytes(length);
      const parsed = parseObject(encryptObject(headerText, parts[1] ?? "", contentKey, plaintext));
      expect(parsed && decryptObject(parsed, contentKey)?.equals(plaintext), String(length)).to.equal(true);
    }
  });

  it("opens with no bit of it changed", () => {
    expect(open(good)).to.equal(frozen.contentHash.plaintext);
    for (let bit = 0; bit < good.length * 8; bit += 1) {
      const changed = Buffer.from(good);
      changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      expect(open(changed), `bit ${String(bit)}`).to.equal(undefined);
    }
  });

  it("opens at no other length", () => {
    for (let length = 0; length < good.length; length += 1) {
      expect(open(good.subarray(0, length)), String(length)).to.equal(undefined);
      expect(open(good.subarray(good.length - length)), String(length)).to.equal(undefined);
    }
    for (const more of ["A", "=", ".", "\n", "\0", "AAAA", ".AAAA"]) {
      expect(open(Buffer.concat([good, Buffer.from(more)])), JSON.stringify(more)).to.equal(undefined);
      expect(open(Buffer.concat([Buffer.from(more), good])), JSON.stringify(more)).to.equal(undefined);
    }
  });

  it("opens with no part of another version of the same object in place of its own", () => {
    const contentKey = randomBytes(CONTENT_KEY_BYTES);
    const name = parseObject(good)?.header.name;
    if (name === undefined) throw new Error("not an object");
    const header = encoded({ ...headerJson, version: 2 });
    const key = toBase64url(wrapKey(objectKey(k3, name), contentKey));
    const other = encryptObject(header, key, contentKey, Buffer.from("another secret")).toString().split(".");
    expect(open(Buffer.from(other.join(".")))).to.equal("another secret");
    for (let mask = 1; mask < 31; mask += 1) {
      const mixed = parts.map((part, i) => ((mask >> i) & 1 ? (other[i] ?? "") : part));
      expect(open(Buffer.from(mixed.join("."))), mask.toString(2)).to.equal(undefined);
    }
  });

  it("opens under no other name, epoch, version, salt or evidence than those it was sealed with", () => {
    const by = headerJson["stored_by"] as Record<string, unknown>;
    const changes: readonly Record<string, unknown>[] = [
      { operator_omni: vectors.actorOmni },
      { actor_omni: vectors.operatorOmni },
      { data_class: "memory" },
      { service: "openai" },
      { kid: "k3:2" },
      { version: 2 },
      { content_salt: vectors.actorOmni },
      { stored_by: { ...by, issued_at: 1 } },
    ];
    for (const change of changes) {
      const object = [encoded({ ...headerJson, ...change }), ...parts.slice(1)].join(".");
      expect(parseObject(Buffer.from(object)), JSON.stringify(change)).to.not.equal(undefined);
      expect(open(Buffer.from(object)), JSON.stringify(change)).to.equal(undefined);
    }
    const respaced = toBase64url(JSON.stringify(headerJson, undefined, 1));
    expect(open(Buffer.from([respaced, ...parts.slice(1)].join(".")))).to.equal(undefined);
  });

  it("takes no content key of another length", () => {
    const parsed = parseObject(good);
    const contentKey = fromHex(frozen.object.contentKey as Hex);
    expect(parsed && decryptObject(parsed, contentKey)?.toString()).to.equal(frozen.contentHash.plaintext);
    for (const key of [Buffer.alloc(0), contentKey.subarray(0, 32), contentKey.subarray(0, 63)]) {
      expect(parsed && decryptObject(parsed, key)).to.equal(undefined);
    }
    expect(parsed && decryptObject(parsed, Buffer.concat([contentKey, Buffer.of(0)]))).to.equal(undefined);
  });

  describe("its header", () => {
    const refused: readonly (readonly [string, unknown])[] = [
      ...mutated(headerJson),
      ...["A128KW", "dir", "RSA-OAEP", "a256kw"].map((alg) => [`alg ${alg}`, { ...headerJson, alg }] as const),
      ...["A256GCM", "A128CBC-HS256"].map((enc) => [`enc ${enc}`, { ...headerJson, enc }] as const),
      ...["JWE", "agentkeys-tombstone"].map((typ) => [`typ ${typ}`, { ...headerJson, typ }] as const),
      ...["k3:0", "k3:01", "k3:", "k3:-1", "k3:1 ", "K3:1", "1", "k3:1e3", `k3:${"9".repeat(16)}`].map(
        (kid) => [`kid ${kid}`, { ...headerJson, kid }] as const,
      ),
      ["version 0", { ...headerJson, version: 0 }],
      ["class all", { ...headerJson, data_class: "all" }],
      ["service ../x", { ...headerJson, service: "../x" }],
      ["a list", [headerJson]],
    ];
    for (const [what, value] of refused) {
      it(`refuses ${what}`, () => expect(parseObjectHeader(encoded(value))).to.equal(undefined));
    }
    it("refuses every other form of the evidence", () => {
      for (const [what, stored_by] of mutated(headerJson["stored_by"] as Record<string, unknown>)) {
        expect(parseObjectHeader(encoded({ ...headerJson, stored_by })), what).to.equal(undefined);
      }
    });
  });

  it("is none with any member in its header that the product does not write, sealed by its own content key", async () => {
    const name = parseObject(good)?.header.name;
    if (name === undefined) throw new Error("not an object");
    const [key, contentKey] = [objectKey(k3, name), randomBytes(CONTENT_KEY_BYTES)];
    const sealed = (text: string): Buffer =>
      encryptObject(text, toBase64url(wrapKey(key, contentKey)), contentKey, Buffer.from("a secret"));
    expect(open(sealed(encoded(headerJson)))).to.equal("a secret");
    for (const [member, value] of FOREIGN) {
      const text = withMember(headerJson, member, value);
      expect(parseObjectHeader(text), member).to.equal(undefined);
      expect(parseObject(sealed(text)), member).to.equal(undefined);
    }
    const byJose = await new CompactEncrypt(Buffer.from("a secret"))
      .setProtectedHeader({ ...headerJson, alg: "A256KW", enc: "A256CBC-HS512", cty: "JWE" })
      .encrypt(createSecretKey(key));
    expect(parseObject(Buffer.from(byJose))).to.equal(undefined);
  });

  describe("tombstone", () => {
    const json = JSON.parse(
      Buffer.from(frozen.tombstone.compact.split(".")[0] ?? "", "base64url").toString(),
    ) as Record<string, unknown>;

    it("reads what it writes", () => {
      fc.assert(
        fc.property(anyName, fc.integer({ min: 1 }), anyStoredBy, (name, version, removedBy) => {
          const one = { name, version, removedBy };
          expect(parseTombstone(encodeTombstone(one))).to.deep.equal(one);
        }),
      );
    });

    it("is no object, and an object is no tombstone", () => {
      expect(parseTombstone(tombstone)?.version).to.equal(2);
      expect(parseObject(tombstone)).to.equal(undefined);
      expect(parseTombstone(good)).to.equal(undefined);
      expect(parseTombstone(Buffer.from(`${headerText}....`))).to.equal(undefined);
    });

    it("is none with any member that the product does not write", () => {
      for (const [member, value] of [...FOREIGN.slice(0, -1), ["alg", "A256KW"], ["stored_by", json["removed_by"]]]) {
        const text = withMember(json, String(member), value);
        expect(parseTombstone(Buffer.from(`${text}....`)), String(member)).to.equal(undefined);
      }
    });

    it("is refused with any member in another form, or anything behind its header", () => {
      for (const [what, changed] of mutated(json)) {
        expect(parseTombstone(Buffer.from(`${encoded(changed)}....`)), what).to.equal(undefined);
      }
      const header = frozen.tombstone.compact.slice(0, -4);
      for (const end of ["", "...", ".....", "....A", "A....", ".A...", "....\n"]) {
        expect(parseTombstone(Buffer.from(header + end)), JSON.stringify(end)).to.equal(undefined);
      }
    });
  });

  it("names are the same in all four parts or not at all", () => {
    fc.assert(
      fc.property(anyName, anyName, (a, b) => {
        expect(sameName(a, { ...a })).to.equal(true);
        for (const part of ["operatorOmni", "actorOmni", "dataClass", "service"] as const) {
          expect(sameName(a, { ...a, [part]: b[part] })).to.equal(a[part] === b[part]);
        }
      }),
    );
  });

  it("every name has a path below bots/ of exactly four folders and file names, none of them . or ..", () => {
    fc.assert(
      fc.property(anyName, ({ actorOmni, dataClass, service }) => {
        const path = objectPath(actorOmni, dataClass, service);
        expect(path).to.match(/^bots\/[0-9a-f]{64}\/(credentials|memory|config)\/[a-z0-9][a-z0-9._:-]{0,63}\.enc$/);
      }),
    );
  });
});

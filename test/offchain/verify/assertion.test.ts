import { createHash } from "node:crypto";

import { expect } from "chai";
import fc from "fast-check";

import type { Passkey } from "../../../offchain/chain/passkeys";
import { type AssertionQuestion, type VerifiedAssertion, verifyAssertion } from "../../../offchain/verify/assertion";
import { type Hex, toBase64url, toHex } from "../../../offchain/wire/bytes";
import { type Ceremony, ceremonyChallenge, ceremonyDigest } from "../../../offchain/wire/ceremony";
import { domainSeparator } from "../../../offchain/wire/eip712";
import { keccak256Hex, keccakReady } from "../../../offchain/wire/keccak";
import type { Result } from "../../../offchain/wire/result";
import {
  type AssertionWish,
  FLAG,
  P256_ORDER,
  type TestAuthenticator,
  authenticatorData,
  derOf,
  makeAssertion,
  malformedDer,
  numbersOf,
  testAuthenticator,
} from "../../helpers/assertion";
import known from "../../vectors/protocol.json";
import vectors from "../../vectors/webauthn-l3-vectors.json";

const RP_ID = "example.org";
const ORIGINS = ["https://example.org", "https://console.example.org"];
const EXTENSIONS = Buffer.from("a16a746573742d76616c75f5", "hex");
const UP_UV = FLAG.UP | FLAG.UV;

const ceremony: Ceremony = {
  operation: "create",
  operatorOmni: known.operatorOmni as Hex,
  account: known.masterAccount as Hex,
  keyId: "",
  label: "agent-a",
  deviceKeyHash: known.deviceKeyHash as Hex,
  signerOrigin: "https://signer.example.org",
  expiresAt: 1767225900,
};
const NONCE: Hex = `0x${"ab".repeat(32)}`;

describe("verifyAssertion", () => {
  let mine: TestAuthenticator;
  let other: TestAuthenticator;
  let challenge: Buffer;

  before(async () => {
    await keccakReady();
    mine = testAuthenticator();
    other = testAuthenticator();
    challenge = challengeOf(ceremony);
  });

  function challengeOf(of: Ceremony, nonce = NONCE): Buffer {
    const separator = domainSeparator({ chainId: known.domain.chainId, registry: known.domain.registry as Hex });
    return ceremonyChallenge(nonce, ceremonyDigest(separator, of));
  }

  /** The honest question about an assertion that is honest but for the wish. */
  function question(wish: AssertionWish = {}): AssertionQuestion {
    const assertion = makeAssertion(mine, challenge, wish);
    return { assertion, challenge, rpId: RP_ID, origins: ORIGINS, passkeys: [other.passkey, mine.passkey] };
  }

  const honest = (wish: AssertionWish = {}): Result<VerifiedAssertion> => verifyAssertion(question(wish));

  function expectRefused(result: Result<VerifiedAssertion>, words: RegExp, name?: string): void {
    expect(result.ok, name).to.equal(false);
    if (result.ok) return;
    expect(result.failure.code, name).to.equal("payload_invalid");
    expect(result.failure.detail, name).to.match(words);
  }

  const accepted: Readonly<Record<string, AssertionWish>> = {
    "user present and verified": {},
    "eligible for backup": { flags: UP_UV | FLAG.BE },
    "backed up": { flags: UP_UV | FLAG.BE | FLAG.BS },
    "reserved flags set": { flags: UP_UV | 0x22 },
    "with extensions": { flags: UP_UV | FLAG.ED, extensions: EXTENSIONS },
    "at the other origin": { origin: "https://console.example.org" },
    "without crossOrigin": { clientData: (text) => text.replace(`,"crossOrigin":false`, "") },
    "with members that later browsers may add": {
      clientData: (text) => text.replace(/}$/, `,"other_keys":{"do not":["compare"]}}`),
    },
    "with members in another order": {
      clientData: (text) => text.replace(/^{("type":[^,]*),("challenge":[^,]*),/, "{$2,$1,"),
    },
    "with s in the other half": {
      signature: (der) => derOf(numbersOf(der).r, P256_ORDER - numbersOf(der).s),
    },
  };
  for (const [name, wish] of Object.entries(accepted)) {
    it(`accepts: ${name}`, () => {
      const result = honest(wish);
      expect(result).to.deep.equal({ ok: true, value: { credIdHash: mine.passkey.credIdHash, signCount: 0 } });
    });
  }

  it("accepts credential ids of 1 to 1,023 bytes", () => {
    for (const length of [1, 16, 1023]) {
      const one = testAuthenticator(RP_ID, Buffer.alloc(length, 7));
      const asked = { ...question(), assertion: makeAssertion(one, challenge), passkeys: [one.passkey] };
      expect(verifyAssertion(asked).ok, `${length}`).to.equal(true);
    }
  });

  it("tells the counter, all four bytes of it", () => {
    for (const signCount of [0, 1, 0x01020304, 0xffffffff]) {
      const result = honest({ signCount });
      expect(result.ok && result.value.signCount).to.equal(signCount);
    }
  });

  const refused: Readonly<Record<string, readonly [RegExp, AssertionWish]>> = {
    "a user who was verified but not present": [/not present/, { flags: FLAG.UV }],
    "a user who was present but not verified": [/not verified/, { flags: FLAG.UP }],
    "neither present nor verified": [/not present/, { flags: 0 }],
    "backed up without being eligible": [/eligible/, { flags: UP_UV | FLAG.BS }],
    "attested credential data": [/new credential/, { flags: UP_UV | FLAG.AT, extensions: Buffer.alloc(60, 1) }],
    "bytes behind that no flag announces": [/as long as/, { extensions: EXTENSIONS }],
    "extensions announced and missing": [/as long as/, { flags: UP_UV | FLAG.ED }],
    "an authenticator that served another relying party": [/made for another relying/, { rpId: "example.com" }],
    "a registration": [/not of an assertion/, { type: "webauthn.create" }],
    "a type in other case": [/not of an assertion/, { type: "WebAuthn.get" }],
    "a longer type": [/not of an assertion/, { type: "webauthn.get " }],
    "no type": [/not of an assertion/, { clientData: (text) => text.replace(`"type"`, `"kind"`) }],
    "a registration with an assertion inside": [
      /not of an assertion/,
      { clientData: (text) => `{"type":"webauthn.create","challenge":"AA","nested":${text}}` },
    ],
    "the type twice": [/not a JSON/, { clientData: (text) => text.replace("{", `{"type":"webauthn.create",`) }],
    "the type twice by escape": [
      /not a JSON/,
      { clientData: (text) => text.replace("{", `{"\\u0074ype":"webauthn.get",`) },
    ],
    "a byte order mark": [/not a JSON/, { clientData: (text) => `\ufeff${text}` }],
    "junk behind the client data": [/not a JSON/, { clientData: (text) => `${text}x` }],
    "client data that are no UTF-8": [
      /not a JSON/,
      { clientData: (text) => Buffer.from(text.replace(/}$/, `,"a":"\u00ff"}`), "latin1") },
    ],
    "client data that are an array": [/not a JSON/, { clientData: (text) => `[${text}]` }],
    "empty client data": [/not a JSON/, { clientData: () => "" }],
    "a challenge with padding": [
      /another challenge/,
      { clientData: (text) => text.replace(`","origin`, `=","origin`) },
    ],
    "a challenge of one character more": [
      /another challenge/,
      { clientData: (text) => text.replace(`","origin`, `A","origin`) },
    ],
    "a challenge of one character less": [
      /another challenge/,
      { clientData: (text) => text.replace(/.","origin/, `","origin`) },
    ],
    "no challenge": [/another challenge/, { clientData: (text) => text.replace(`"challenge"`, `"other"`) }],
    "a challenge that is a number": [
      /another challenge/,
      { clientData: (text) => text.replace(/"challenge":"[^"]*"/, `"challenge":1`) },
    ],
    "another origin": [/another origin/, { origin: "https://example.com" }],
    "an origin below a listed one": [/another origin/, { origin: "https://evil.example.org" }],
    "a listed origin with a port": [/another origin/, { origin: "https://example.org:8443" }],
    "a listed origin with a slash": [/another origin/, { origin: "https://example.org/" }],
    "a listed origin without TLS": [/another origin/, { origin: "http://example.org" }],
    "a listed origin in upper case": [/another origin/, { origin: "https://EXAMPLE.org" }],
    "a listed origin and more": [/another origin/, { origin: "https://example.org.evil.test" }],
    "the null origin": [/another origin/, { origin: "null" }],
    "no origin": [/another origin/, { clientData: (text) => text.replace(`"origin"`, `"other"`) }],
    "an array of origins": [
      /another origin/,
      { clientData: (text) => text.replace(`"https://example.org"`, `["https://example.org"]`) },
    ],
    "a framed page": [/inside a page/, { crossOrigin: true }],
    "a crossOrigin of null": [/inside a page/, { clientData: (text) => text.replace(":false", ":null") }],
    "a crossOrigin of 0": [/inside a page/, { clientData: (text) => text.replace(":false", ":0") }],
    "a topOrigin, even its own": [
      /inside a page/,
      { clientData: (text) => text.replace(/}$/, `,"topOrigin":"https://example.org"}`) },
    ],
    "a topOrigin of null": [/inside a page/, { clientData: (text) => text.replace(/}$/, `,"topOrigin":null}`) }],
  };
  for (const [name, [words, wish]] of Object.entries(refused)) {
    it(`refuses: ${name}`, () => {
      expect(honest().ok).to.equal(true);
      expectRefused(honest(wish), words);
    });
  }

  it("refuses authenticator data of every length below 37", () => {
    const whole = authenticatorData(RP_ID);
    for (let length = 0; length < 37; length += 1)
      expectRefused(honest({ authenticatorData: whole.subarray(0, length) }), /shorter than 37/, `${length}`);
  });

  it("refuses an assertion for any other ceremony: operation, key, label, device, signer, time, account, nonce", () => {
    const changes: readonly Partial<Ceremony>[] = [
      { operation: "refresh" },
      { operation: "revoke" },
      { keyId: "f5dfe9a9-85fd-8b4d-877f-7116fefb3127:0" },
      { label: "agent-b" },
      { deviceKeyHash: `0x${"cd".repeat(32)}` },
      { signerOrigin: "https://signer.example.com" },
      { expiresAt: ceremony.expiresAt + 1 },
      { account: `0x${"22".repeat(20)}` },
      { operatorOmni: `0x${"22".repeat(32)}` },
    ];
    const challenges = changes.map((change) => challengeOf({ ...ceremony, ...change }));
    for (const made of [...challenges, challengeOf(ceremony, `0x${"ac".repeat(32)}`), Buffer.alloc(32)]) {
      expectRefused(verifyAssertion({ ...question(), assertion: makeAssertion(mine, made) }), /another challenge/);
      // and it is good for its own
      expect(verifyAssertion({ ...question(), assertion: makeAssertion(mine, made), challenge: made }).ok).to.equal(
        true,
      );
    }
  });

  it("refuses credential ids that are no passkey of the account", () => {
    const rows: Readonly<Record<string, Uint8Array>> = {
      "a stranger's": testAuthenticator().credentialId,
      "one byte more": Buffer.concat([mine.credentialId, Buffer.from([0])]),
      "one byte less": mine.credentialId.subarray(1),
      "the hash itself": Buffer.from(mine.passkey.credIdHash.slice(2), "hex"),
    };
    for (const [name, credentialId] of Object.entries(rows))
      expectRefused(honest({ credentialId }), /no passkey of the account/, name);
    expectRefused(verifyAssertion({ ...question(), passkeys: [] }), /no passkey of the account/);
    expectRefused(verifyAssertion({ ...question(), passkeys: [other.passkey] }), /no passkey of the account/);
  });

  it("refuses another passkey's signature under this credential id", () => {
    expectRefused(honest({ key: other.key }), /did not sign/);
    expectRefused(honest({ credentialId: other.credentialId }), /did not sign/);
  });

  it("refuses a passkey of another relying party, whatever its authenticator says", () => {
    const elsewhere = testAuthenticator("example.com");
    const passkeys = [elsewhere.passkey];
    const assertion = makeAssertion(elsewhere, challenge, { rpId: RP_ID, origin: "https://example.org" });
    expectRefused(verifyAssertion({ ...question(), assertion, passkeys }), /belongs to another relying party/);
  });

  it("takes only the relying party and the origins that it was given", () => {
    expectRefused(verifyAssertion({ ...question(), rpId: "example.com" }), /belongs to another relying party/);
    expectRefused(verifyAssertion({ ...question(), origins: [] }), /another origin/);
  });

  it("refuses texts that are not canonical base64url", () => {
    const good = question().assertion;
    const words = {
      credentialId: /credential id/,
      authenticatorData: /authenticator data are not/,
      clientDataJSON: /client data are not base64url/,
      signature: /signature is not base64url/,
    } as const;
    for (const member of ["credentialId", "authenticatorData", "clientDataJSON", "signature"] as const) {
      const bytes = Buffer.from(good[member], "base64url");
      const hex = bytes.toString("hex");
      const bad = [`${good[member]}=`, `${good[member]} `, `${good[member]}\n`, `${good[member]}.`, `+${good[member]}`];
      for (const text of [...bad, `0x${hex}!`]) {
        const result = verifyAssertion({ ...question(), assertion: { ...good, [member]: text } });
        expectRefused(result, words[member], `${member}: ${text}`);
      }
    }
    // also where the account has a passkey of that name
    for (const length of [0, 1024]) {
      const one = testAuthenticator(RP_ID, Buffer.alloc(length, 7));
      const asked = { ...question(), assertion: makeAssertion(one, challenge), passkeys: [one.passkey] };
      expectRefused(verifyAssertion(asked), /credential id is not/, `${length}`);
    }
  });

  it("refuses bits behind the last byte of a base64url text", () => {
    const good = question().assertion;
    const last = good.authenticatorData.slice(-1);
    expect(good.authenticatorData.length % 4).to.equal(2); // 37 bytes leave four bits over, all zero
    const text = good.authenticatorData.slice(0, -1) + String.fromCharCode(last.charCodeAt(0) + 1);
    expect(Buffer.from(text, "base64url").equals(Buffer.from(good.authenticatorData, "base64url"))).to.equal(true);
    const result = verifyAssertion({ ...question(), assertion: { ...good, authenticatorData: text } });
    expectRefused(result, /authenticator data are not/);
  });

  it("refuses every signature that is not strict DER of numbers in range", () => {
    // the numbers of several signatures, since which of them start with a zero differs
    for (let round = 0; round < 8; round += 1) {
      const good = Buffer.from(question().assertion.signature, "base64url");
      for (const { name, der } of malformedDer(good)) {
        const assertion = { ...question().assertion, signature: toBase64url(der) };
        expectRefused(verifyAssertion({ ...question(), assertion }), /not the DER/, `${name}: ${der.toString("hex")}`);
      }
    }
  });

  it("refuses well-formed signatures by nobody", () => {
    const rows: Readonly<Record<string, (r: bigint, s: bigint) => Buffer>> = {
      "r and s exchanged": (r, s) => derOf(s, r),
      "the smallest": () => derOf(1n, 1n),
      "the largest": () => derOf(P256_ORDER - 1n, P256_ORDER - 1n),
      "another r": (r, s) => derOf(P256_ORDER - r, s),
      "another s": (r, s) => derOf(r, s === 1n ? 2n : s - 1n),
    };
    for (const [name, change] of Object.entries(rows)) {
      const signature = (der: Buffer): Buffer => change(numbersOf(der).r, numbersOf(der).s);
      expectRefused(honest({ signature }), /did not sign/, name);
    }
  });

  it("refuses public keys that are not on the curve", () => {
    const { x, y } = mine.passkey;
    const P = 0xffffffff00000001000000000000000000000000ffffffffffffffffffffffffn;
    const word = (value: bigint): Hex => `0x${value.toString(16).padStart(64, "0")}`;
    const rows: Readonly<Record<string, Partial<Passkey>>> = {
      "both zero": { x: word(0n), y: word(0n) },
      "x zero": { x: word(0n), y: word(0x66485c780e2f83d72433bd5d84a06bb6541c2af31dae871728bf856a174f93f4n) },
      "y zero": { y: word(0n) },
      "y one more": { y: word((BigInt(y) + 1n) % P) },
      "x and y exchanged": { x: y, y: x },
      "x the prime": { x: word(P) },
      "y the prime": { y: word(P) },
      "y all ones": { y: word(2n ** 256n - 1n) },
      // points whose small coordinate has a second spelling below 2^256
      "x 5 as the prime and 5": {
        x: word(P + 5n),
        y: "0x459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc",
      },
      "y 1 as the prime and 1": {
        x: "0x6916fac45e568b6b9e2e2ecd611b282e5fcc40a3067d601057f879ce5a8a73cc",
        y: word(P + 1n),
      },
    };
    for (const [name, change] of Object.entries(rows)) {
      const passkeys = [{ ...mine.passkey, ...change }];
      expectRefused(verifyAssertion({ ...question(), passkeys }), /not on P-256/, name);
    }
    // their plain spellings are keys, as is the negative of the key, but none of them signed
    for (const { x: px, y: py } of [
      { x: word(5n), y: "0x459243b9aa581806fe913bce99817ade11ca503c64d9a3c533415c083248fbcc" as const },
      { x: "0x6916fac45e568b6b9e2e2ecd611b282e5fcc40a3067d601057f879ce5a8a73cc" as const, y: word(1n) },
    ]) {
      const passkeys = [{ ...mine.passkey, x: px, y: py }];
      expectRefused(verifyAssertion({ ...question(), passkeys }), /did not sign/);
    }
    const negative = { ...mine.passkey, y: word(P - BigInt(y)) };
    expectRefused(verifyAssertion({ ...question(), passkeys: [negative] }), /did not sign/);
  });

  it("refuses a change of any one bit of what was signed", () => {
    const good = question();
    fc.assert(
      fc.property(
        fc.constantFrom("credentialId", "authenticatorData", "clientDataJSON", "signature" as const),
        fc.nat(),
        (member, at) => {
          const bytes = Buffer.from(good.assertion[member], "base64url");
          const bit = at % (8 * bytes.length);
          bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7));
          const assertion = { ...good.assertion, [member]: toBase64url(bytes) };
          expectRefused(verifyAssertion({ ...good, assertion }), /./);
        },
      ),
      { numRuns: 500 },
    );
    expect(verifyAssertion(good).ok).to.equal(true);
  });

  it("answers any texts with a value, never an exception", () => {
    const text = fc.oneof(
      fc.string({ unit: "binary" }),
      fc.uint8Array({ maxLength: 90 }).map((bytes) => toBase64url(bytes)),
    );
    fc.assert(
      fc.property(text, text, text, text, (credentialId, authenticator, clientDataJSON, signature) => {
        const assertion = { credentialId, authenticatorData: authenticator, clientDataJSON, signature };
        expect(verifyAssertion({ ...question(), assertion }).ok).to.equal(false);
        const known = { ...assertion, credentialId: toBase64url(mine.credentialId) };
        expect(verifyAssertion({ ...question(), assertion: known }).ok).to.equal(false);
      }),
    );
  });
});

describe("verifyAssertion: the ES256 ceremonies of W3C Web Authentication Level 3", () => {
  before(keccakReady);

  // COSE_Key head of an ES256 key; x follows, and y behind 0x225820
  const ES256 = "a5010203262001215820";
  const OUTCOMES: Readonly<Record<string, RegExp | undefined>> = {
    "sctn-test-vectors-none-es256": /not verified/,
    "sctn-test-vectors-packed-self-es256": /not verified/,
    "sctn-test-vectors-none-es256-crossOrigin": /inside a page/,
    "sctn-test-vectors-none-es256-topOrigin": /inside a page/,
    "sctn-test-vectors-none-es256-long-credential-id": undefined,
    "sctn-test-vectors-packed-es256": undefined,
    "sctn-test-vectors-tpm-es256": undefined,
    "sctn-test-vectors-android-key-es256": /not verified/,
    "sctn-test-vectors-apple-es256": /not verified/,
    "sctn-test-vectors-fido-u2f-es256": /not verified/,
  };
  const bytes = (hex: string): Buffer => Buffer.from(hex, "hex");

  it("are ten", () => {
    const ids = vectors.filter(({ reg }) => reg.attestationObject.includes(ES256)).map(({ id }) => id);
    expect(ids).to.have.members(Object.keys(OUTCOMES));
  });

  for (const { id, reg, auth } of vectors) {
    if (!(id in OUTCOMES)) continue;
    const words = OUTCOMES[id];
    it(`${words === undefined ? "accepts" : "refuses"} ${id}`, () => {
      const at = reg.attestationObject.indexOf(ES256) + ES256.length;
      const credentialId = bytes(reg.credential_id);
      const passkey: Passkey = {
        credIdHash: keccak256Hex(credentialId),
        rpIdHash: toHex(createHash("sha256").update(RP_ID).digest()),
        x: toHex(bytes(reg.attestationObject.slice(at, at + 64))),
        y: toHex(bytes(reg.attestationObject.slice(at + 70, at + 134))),
      };
      const result = verifyAssertion({
        assertion: {
          credentialId: toBase64url(credentialId),
          authenticatorData: toBase64url(bytes(auth.authenticatorData)),
          clientDataJSON: toBase64url(bytes(auth.clientDataJSON)),
          signature: toBase64url(bytes(auth.signature)),
        },
        challenge: bytes(auth.challenge),
        rpId: RP_ID,
        origins: [`https://${RP_ID}`],
        passkeys: [passkey],
      });
      if (words === undefined) {
        expect(result).to.deep.equal({ ok: true, value: { credIdHash: passkey.credIdHash, signCount: 0 } });
      } else {
        expect(result.ok ? undefined : result.failure.code).to.equal("payload_invalid");
        expect(result.ok ? "" : result.failure.detail).to.match(words);
      }
    });
  }
});

import { generateKeyPairSync, sign } from "node:crypto";

import { expect } from "chai";
import fc from "fast-check";
import { compactVerify } from "jose";

import { type Hex, ZERO32, toBase64url } from "../../../offchain/wire/bytes";
import { CAP_TYP, capAudience, capSignatureIsValid, encodeCap, parseCap } from "../../../offchain/wire/cap";
import { parseJwks, publicJwk } from "../../../offchain/wire/jwks";
import { MINT_ROUTES, encodeMint, mintPath, parseMint } from "../../../offchain/wire/mint";
import type { DataClass, Op } from "../../../offchain/wire/names";
import { anyCapRequest, anySignature } from "../../helpers/arbitraries";
import { mutated } from "../../helpers/mutated";
import frozen from "../../vectors/frozen.json";

const iss = "https://broker.example.org";
const k1 = generateKeyPairSync("ec", { namedCurve: "P-256" });
const { kid } = publicJwk(k1.publicKey);
const [, goodPayload = ""] = frozen.cap.compact.split(".");
const goodHeader = { alg: "ES256", typ: CAP_TYP, kid };
const goodClaims = JSON.parse(Buffer.from(goodPayload, "base64url").toString()) as Record<string, unknown>;

/** A JWS over these very texts, signed by K1 whatever they say. */
function jws(header: string, claims: string): string {
  const input = `${toBase64url(header)}.${toBase64url(claims)}`;
  const signature = sign("sha256", Buffer.from(input), { key: k1.privateKey, dsaEncoding: "ieee-p1363" });
  return `${input}.${toBase64url(signature)}`;
}
const good = jws(JSON.stringify(goodHeader), JSON.stringify(goodClaims));
const outcome = (text: string): string => {
  const parsed = parseCap(text);
  return parsed.ok ? "ok" : parsed.failure.code;
};

describe("wire/cap", () => {
  it("reads what it writes, and jose verifies it", async () => {
    await fc.assert(
      fc.asyncProperty(anyCapRequest, anySignature, async (request, clientSig) => {
        const aud = capAudience(request.op, request.dataClass);
        const text = encodeCap({ iss, aud, request, clientSig }, kid, k1.privateKey);
        const parsed = parseCap(text);
        expect(parsed.ok && parsed.value.claims).to.deep.equal({ iss, aud, request, clientSig });
        expect(parsed.ok && capSignatureIsValid(parsed.value, k1.publicKey)).to.equal(true);
        await compactVerify(text, k1.publicKey);
      }),
      { numRuns: 50 },
    );
  });

  it("names the audience by class, and classify by itself", () => {
    expect(capAudience("fetch", "credentials")).to.equal("agentkeys:worker:credentials");
    expect(capAudience("rotate", "config")).to.equal("agentkeys:worker:config");
    expect(capAudience("classify", "memory")).to.equal("agentkeys:worker:classify");
  });

  describe("the form of the JWS", () => {
    const header = (change: Record<string, unknown>): string => JSON.stringify({ ...goodHeader, ...change });
    const withHeader = (text: string): string => jws(text, JSON.stringify(goodClaims));
    const [head = "", body = "", signature = ""] = good.split(".");
    const refused: Readonly<Record<string, string>> = {
      "two parts": `${head}.${body}`,
      "four parts": `${good}.`,
      "no signature": `${head}.${body}.`,
      "a signature of 63 bytes": `${head}.${body}.${toBase64url(Buffer.alloc(63, 1))}`,
      "a signature of 65 bytes": `${head}.${body}.${toBase64url(Buffer.alloc(65, 1))}`,
      "a DER signature": `${head}.${body}.${toBase64url(sign("sha256", Buffer.from(`${head}.${body}`), k1.privateKey))}`,
      "a padded signature": `${good}==`,
      "a padded header": `${head}=.${body}.${signature}`,
      "bits behind the signature's last byte": good.slice(0, -1) + nextLetter(good.at(-1) ?? ""),
      "a space before": ` ${good}`,
      "a line break behind": `${good}\n`,
      "a scheme before": `AgentKeys ${good}`,
      "an empty text": "",
      "the flattened JSON form": JSON.stringify({ protected: head, payload: body, signature }),
      "alg none": withHeader(header({ alg: "none" })),
      "alg HS256": withHeader(header({ alg: "HS256" })),
      "alg ES384": withHeader(header({ alg: "ES384" })),
      "alg es256": withHeader(header({ alg: "es256" })),
      "alg in a list": withHeader(header({ alg: ["ES256"] })),
      "no alg": withHeader(JSON.stringify({ typ: CAP_TYP, kid })),
      "no typ": withHeader(JSON.stringify({ alg: "ES256", kid })),
      "no kid": withHeader(JSON.stringify({ alg: "ES256", typ: CAP_TYP })),
      "typ JWT": withHeader(header({ typ: "JWT" })),
      "typ with its prefix": withHeader(header({ typ: `application/${CAP_TYP}` })),
      "typ in capitals": withHeader(header({ typ: CAP_TYP.toUpperCase() })),
      "a kid that is a number": withHeader(header({ kid: 1 })),
      crit: withHeader(header({ crit: ["exp"] })),
      jku: withHeader(header({ jku: "https://thief.example/jwks.json" })),
      jwk: withHeader(header({ jwk: publicJwk(k1.publicKey) })),
      x5c: withHeader(header({ x5c: [] })),
      x5u: withHeader(header({ x5u: "https://thief.example/" })),
      b64: withHeader(header({ b64: false })),
      "any fourth member": withHeader(header({ note: "" })),
      "a second alg": withHeader(`{"alg":"none",${JSON.stringify(goodHeader).slice(1)}`),
      "a header that is a list": withHeader(JSON.stringify([goodHeader])),
      "a byte order mark in the header": withHeader(`\ufeff${JSON.stringify(goodHeader)}`),
      "a second claim set behind": jws(JSON.stringify(goodHeader), `${JSON.stringify(goodClaims)}{}`),
      "claims that are no object": jws(JSON.stringify(goodHeader), "[]"),
    };
    it("the good one", () => expect(outcome(good)).to.equal("ok"));
    for (const [what, text] of Object.entries(refused)) {
      it(`refuses ${what}`, () => expect(outcome(text)).to.equal("broker_sig_invalid"));
    }
  });

  describe("the claims", () => {
    const outcomeOf = (claims: unknown): string => outcome(jws(JSON.stringify(goodHeader), JSON.stringify(claims)));

    it("ignores those that it does not know", () => {
      expect(outcomeOf({ ...goodClaims, nbf: 0, scope: "all", op2: "store" })).to.equal("ok");
    });
    it("passes client_sig on as it is: it is judged later, by another code", () => {
      for (const client_sig of [undefined, null, 1, "", "0x", {}]) {
        const parsed = parseCap(jws(JSON.stringify(goodHeader), JSON.stringify({ ...goodClaims, client_sig })));
        expect(parsed.ok && parsed.value.claims.clientSig).to.deep.equal(client_sig);
      }
    });
    for (const [what, claims] of mutated(goodClaims, ["client_sig"])) {
      it(`refuses ${what}`, () => expect(outcomeOf(claims)).to.equal("broker_sig_invalid"));
    }
    it("refuses an audience that is a list", () => {
      expect(outcomeOf({ ...goodClaims, aud: [goodClaims["aud"]] })).to.equal("broker_sig_invalid");
    });
    for (const [claim, value] of [
      ["op", "delete"],
      ["op", "toString"],
      ["data_class", "all"],
      ["data_class", "constructor"],
      ["service", "../x"],
      ["service", "a..b"],
      ["service", "A"],
    ] as const) {
      it(`refuses ${claim} ${value}`, () => {
        expect(outcomeOf({ ...goodClaims, [claim]: value })).to.equal("broker_sig_invalid");
      });
    }
  });

  describe("the signature", () => {
    const valid = (text: string, key = k1.publicKey): boolean => {
      const parsed = parseCap(text);
      return parsed.ok && capSignatureIsValid(parsed.value, key);
    };
    const [head = "", body = "", signature = ""] = good.split(".");
    const bytes = Buffer.from(signature, "base64url");
    const signed = (sig: Uint8Array): string => `${head}.${body}.${toBase64url(sig)}`;

    it("is K1's over header and claims", () => expect(valid(good)).to.equal(true));
    it("fails with any bit changed", () => {
      for (let bit = 0; bit < 512; bit += 1) {
        const changed = Buffer.from(bytes);
        changed[bit >> 3] = (changed[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        expect(valid(signed(changed)), String(bit)).to.equal(false);
      }
    });
    it("fails when it is all zeros, r zero or s zero", () => {
      for (const [from, to] of [
        [0, 64],
        [0, 32],
        [32, 64],
      ] as const) {
        expect(valid(signed(Buffer.from(bytes).fill(0, from, to)))).to.equal(false);
      }
    });
    it("fails under another key, and over other claims", () => {
      expect(valid(good, generateKeyPairSync("ec", { namedCurve: "P-256" }).publicKey)).to.equal(false);
      const other = toBase64url(JSON.stringify({ ...goodClaims, service: "openai" }));
      expect(valid(`${head}.${other}.${signature}`)).to.equal(false);
    });
  });

  describe("the key set", () => {
    const jwk = publicJwk(k1.publicKey);
    const kidsOf = (keys: unknown): readonly string[] | undefined => {
      const set = parseJwks(Buffer.from(JSON.stringify(keys)));
      return set === undefined ? undefined : [...set.keys()];
    };
    it("reads what it writes", () => expect(kidsOf({ keys: [jwk] })).to.deep.equal([kid]));
    it("passes over what cannot sign a cap", () => {
      const others = [
        { ...jwk, kty: "RSA" },
        { ...jwk, crv: "P-384" },
        { ...jwk, use: "enc" },
        { ...jwk, alg: "ES384" },
        { ...jwk, kid: undefined },
        { ...jwk, kid: 7 },
        { ...jwk, x: jwk.y }, // not on the curve
        { ...jwk, x: `${jwk.x}A` },
        { ...jwk, y: undefined },
        { kty: "oct", k: "AAAA", kid: "k", use: "sig", alg: "HS256" },
      ];
      for (const other of others) expect(kidsOf({ keys: [other, jwk] }), JSON.stringify(other)).to.deep.equal([kid]);
    });
    it("is no key set without a list of objects", () => {
      for (const set of [{}, { keys: jwk }, { keys: null }, { keys: ["x"] }, { keys: [[jwk]] }, [jwk]]) {
        expect(kidsOf(set), JSON.stringify(set)).to.equal(undefined);
      }
    });
  });
});

describe("wire/mint", () => {
  const routeOf = (op: Op, dataClass: DataClass): (typeof MINT_ROUTES)[number] => {
    const route = MINT_ROUTES.find((one) => one.path === mintPath(op, dataClass));
    if (route === undefined) throw new Error("no route");
    return route;
  };
  const fetchRoute = routeOf("fetch", "credentials");
  const body = JSON.parse(frozen.mint.body) as Record<string, unknown>;
  const outcomeOf = (one: unknown, route = fetchRoute): string => {
    const parsed = parseMint(route, Buffer.from(JSON.stringify(one)));
    return parsed.ok ? "ok" : parsed.failure.code;
  };

  it("reads what it writes, on the route of its op and class", () => {
    fc.assert(
      fc.property(anyCapRequest, anySignature, (cap, clientSig) => {
        const parsed = parseMint(routeOf(cap.op, cap.dataClass), Buffer.from(encodeMint(cap, clientSig)));
        expect(parsed).to.deep.equal({ ok: true, value: { cap, clientSig } });
      }),
    );
  });

  it("the frozen one", () => expect(outcomeOf(body)).to.equal("ok"));
  for (const [what, changed] of mutated(body, ["client_sig"])) {
    it(`refuses ${what}`, () => expect(outcomeOf(changed)).to.equal("request_malformed"));
  }
  it("refuses a cap that ends when it begins, or before", () => {
    for (const expires_at of [body["issued_at"], (body["issued_at"] as number) - 1]) {
      expect(outcomeOf({ ...body, expires_at })).to.equal("request_malformed");
    }
  });
  it("passes any client_sig on: it is judged later, by another code", () => {
    for (const client_sig of [undefined, null, 1, "0x"]) expect(outcomeOf({ ...body, client_sig })).to.equal("ok");
  });
  it("takes op and class from the route, content_hash only to store", () => {
    const sneaky = { ...body, op: "store", data_class: "memory", content_hash: `0x${"ee".repeat(32)}` };
    const parsed = parseMint(fetchRoute, Buffer.from(JSON.stringify(sneaky)));
    expect(parsed.ok && parsed.value.cap).to.deep.include({
      op: "fetch",
      dataClass: "credentials",
      contentHash: ZERO32,
    });
    const store = routeOf("store", "credentials");
    expect(outcomeOf(body, store)).to.equal("request_malformed");
    expect(outcomeOf({ ...body, content_hash: ZERO32 satisfies Hex }, store)).to.equal("ok");
    const classify = routeOf("classify", "memory");
    expect(outcomeOf(body, classify)).to.equal("request_malformed");
    expect(outcomeOf({ ...body, data_class: "all" }, classify)).to.equal("request_malformed");
    expect(outcomeOf({ ...body, data_class: "memory" }, classify)).to.equal("ok");
  });
  it("has thirteen routes, each for one op and class", () => {
    expect(MINT_ROUTES).to.have.length(13);
    expect(new Set(MINT_ROUTES.map(({ op, dataClass }) => `${op} ${String(dataClass)}`)).size).to.equal(13);
    expect(new Set(MINT_ROUTES.map(({ path }) => path)).size).to.equal(13);
  });
});

/** The letter whose low bits, which no byte takes up, differ. */
function nextLetter(letter: string): string {
  const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return letters[letters.indexOf(letter) ^ 1] ?? "";
}

import { createHmac, createPublicKey, sign } from "node:crypto";

import { toBase64url } from "../../offchain/wire/bytes";
import { CAP_TYP, encodeCap } from "../../offchain/wire/cap";
import type { World } from "../drills/world";

/** What a thief of the broker holds. */
export type StolenBroker = Awaited<ReturnType<World["stolenBroker"]>>;

/** A cap taken apart: its two JSON texts, as they are signed. */
export interface CapTexts {
  readonly header: string;
  readonly payload: string;
}

/** The texts of a cap that the broker would sign. */
export function capTexts(claims: Parameters<typeof encodeCap>[0], broker: StolenBroker): CapTexts {
  const [header = "", payload = ""] = encodeCap(claims, broker.kid, broker.key)
    .split(".")
    .map((part) => Buffer.from(part, "base64url").toString());
  return { header, payload };
}

/** ES256 over these very texts (or bytes), with the broker's own key. */
export function signTexts(header: string | Buffer, payload: string | Buffer, broker: StolenBroker): string {
  return signInput(`${toBase64url(header)}.${toBase64url(payload)}`, broker);
}

/** Appends the signature over this signing input. @see RFC 7515 §5.1 */
export function signInput(
  input: string,
  broker: StolenBroker,
  dsaEncoding: "ieee-p1363" | "der" = "ieee-p1363",
): string {
  return `${input}.${toBase64url(sign("sha256", Buffer.from(input), { key: broker.key, dsaEncoding }))}`;
}

/** One way in which a compact JWS is not a cap of the broker. */
export interface BadJws {
  readonly name: string;
  readonly make: (cap: CapTexts, broker: StolenBroker) => string;
}

const headerOf = (broker: StolenBroker, more: Readonly<Record<string, unknown>>): string =>
  JSON.stringify({ alg: "ES256", typ: CAP_TYP, kid: broker.kid, ...more });

const header = (name: string, more: (broker: StolenBroker) => Readonly<Record<string, unknown>>): BadJws => ({
  name: `header: ${name}`,
  make: (cap, broker) => signTexts(headerOf(broker, more(broker)), cap.payload, broker),
});

const headerText = (name: string, text: (good: string) => string | Buffer): BadJws => ({
  name: `header: ${name}`,
  make: (cap, broker) => signTexts(text(cap.header), cap.payload, broker),
});

const compact = (name: string, make: (good: string, broker: StolenBroker, cap: CapTexts) => string): BadJws => ({
  name,
  make: (cap, broker) => make(signTexts(cap.header, cap.payload, broker), broker, cap),
});

const parts = (text: string): readonly [string, string, string] => {
  const [first = "", second = "", third = ""] = text.split(".");
  return [first, second, third];
};

/** The signature's 64 bytes changed. */
const resigned = (name: string, change: (signature: Buffer) => Uint8Array): BadJws =>
  compact(name, (good) => {
    const [h, p, s] = parts(good);
    return `${h}.${p}.${toBase64url(change(Buffer.from(s, "base64url")))}`;
  });

const jwkOf = (broker: StolenBroker): object => createPublicKey(broker.key).export({ format: "jwk" });

/** Attacks on the JOSE header and on the form of the text, RFC 8725 §2 and §3 among them. */
export const BAD_JWS: readonly BadJws[] = [
  ...["none", "None", "NONE", "", "es256", "ES384", "ES256K", "RS256", "PS256", "EdDSA", "HS256"].map((alg) =>
    header(`alg ${alg}`, () => ({ alg })),
  ),
  ...[null, 1, ["ES256"], undefined].map((alg) => header(`alg ${JSON.stringify(alg)}`, () => ({ alg }))),
  compact(
    "alg none without a signature",
    (_good, broker, cap) => `${toBase64url(headerOf(broker, { alg: "none" }))}.${toBase64url(cap.payload)}.`,
  ),
  compact("HS256 keyed with the public key", (_good, broker, cap) => {
    const input = `${toBase64url(headerOf(broker, { alg: "HS256" }))}.${toBase64url(cap.payload)}`;
    const pem = createPublicKey(broker.key).export({ format: "pem", type: "spki" });
    return `${input}.${createHmac("sha256", pem).update(input).digest("base64url")}`;
  }),
  ...["JWT", "", "AGENTKEYS-CAP+JWT", "application/agentkeys-cap+jwt", "agentkeys-cap", null, undefined].map((typ) =>
    header(`typ ${String(typ)}`, () => ({ typ })),
  ),
  ...["", "unknown", null, 1, undefined, ["x"]].map((kid) => header(`kid ${JSON.stringify(kid)}`, () => ({ kid }))),
  header("crit", () => ({ crit: ["exp"] })),
  header("crit, empty", () => ({ crit: [] })),
  header("jku", (broker) => ({ jku: `${broker.origin}/.well-known/jwks.json` })),
  header("jwk", (broker) => ({ jwk: jwkOf(broker) })),
  header("x5c", () => ({ x5c: ["MIIB"] })),
  header("x5u", () => ({ x5u: "https://other.example/" })),
  header("b64", () => ({ b64: false, crit: ["b64"] })),
  header("cty", () => ({ cty: "JWT" })),
  header("zip", () => ({ zip: "DEF" })),
  header("a member nobody knows", () => ({ extra: 1 })),
  headerText("alg twice", (good) => `${good.slice(0, -1)},"alg":"ES256"}`),
  headerText("alg twice, by escape", (good) => `${good.slice(0, -1)},"\\u0061lg":"none"}`),
  headerText("a byte order mark", (good) => `\ufeff${good}`),
  headerText("no JSON", () => "x"),
  headerText("an array", (good) => `[${good}]`),
  headerText("empty", () => ""),
  headerText("bytes that are no UTF-8", () => Buffer.from([0xff, 0xfe])),
  compact("two parts", (good) => parts(good).slice(0, 2).join(".")),
  compact("no signature", (good) => `${parts(good).slice(0, 2).join(".")}.`),
  compact("four parts", (good) => `${good}.e30`),
  compact("five parts", (good) => `${good}.e30.e30`),
  compact("a dot before", (good) => `.${good}`),
  compact("one word", () => "cap"),
  compact("the JSON serialization", (good) => {
    const [protectedHeader, payload, signature] = parts(good);
    return JSON.stringify({ payload, protected: protectedHeader, signature });
  }),
  ...[0, 1, 2].map((at) =>
    compact(`part ${String(at)} padded`, (good, broker) => {
      const all = [...parts(good)];
      all[at] = `${all[at] ?? ""}=`;
      return at === 2 ? all.join(".") : signInput(all.slice(0, 2).join("."), broker);
    }),
  ),
  ...[0, 1, 2].map((at) =>
    compact(`part ${String(at)} with bits behind its end`, (good, broker, cap) => {
      // white space that makes the last character carry unused bits, then one of them set
      const texts = [cap.header, cap.payload].map((text) => text + " ".repeat((4 - (Buffer.byteLength(text) % 3)) % 3));
      const encoded = texts.map((text) => toBase64url(text));
      if (at < 2) encoded[at] = nextLetter(encoded[at] ?? "");
      const signed = signInput(encoded.join("."), broker);
      return at === 2 ? nextLetter(signed) : signed;
    }),
  ),
  compact("a tab at the end of a part", (good, broker) => signInput(`${parts(good)[0]}\t.${parts(good)[1]}`, broker)),
  compact("base64 instead of base64url", (_good, broker, cap) => {
    const text = `${cap.payload.slice(0, -1)},"extra":"\u00ff\u00fe\u00ff\u00fe???>>>"}`;
    return signInput(`${toBase64url(cap.header)}.${Buffer.from(text).toString("base64").replaceAll("=", "")}`, broker);
  }),
  compact("a DER signature", (good, broker) => signInput(parts(good).slice(0, 2).join("."), broker, "der")),
  resigned("a signature of zeros", () => Buffer.alloc(64)),
  resigned("r zero", (old) => Buffer.concat([Buffer.alloc(32), old.subarray(32)])),
  resigned("s zero", (old) => Buffer.concat([old.subarray(0, 32), Buffer.alloc(32)])),
  resigned("r and s exchanged", (old) => Buffer.concat([old.subarray(32), old.subarray(0, 32)])),
  resigned("63 bytes", (old) => old.subarray(0, 63)),
  resigned("65 bytes", (old) => Buffer.concat([old, Buffer.alloc(1)])),
  resigned("a bit of the signature flipped", (old) =>
    Buffer.concat([Buffer.from([(old[0] ?? 0) ^ 1]), old.subarray(1)]),
  ),
  compact("a claim changed after signing", (good, _broker, cap) => {
    const [h, , s] = parts(good);
    return `${h}.${toBase64url(cap.payload.replace(/"exp":[0-9]+/, `"exp":9007199254740991`))}.${s}`;
  }),
];

function nextLetter(text: string): string {
  const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  return text.slice(0, -1) + (alphabet[alphabet.indexOf(text.slice(-1)) + 1] ?? "");
}

import { randomBytes } from "node:crypto";

import { type Hex, ZERO32, fromHex, toBase64url, toHex } from "../../../offchain/wire/bytes";
import { capAudience } from "../../../offchain/wire/cap";
import { type CapRequest, capRequestDigest } from "../../../offchain/wire/cap-request";
import { type Domain, domainSeparator } from "../../../offchain/wire/eip712";
import { generateSealKeyPair, hpkeSeal } from "../../../offchain/wire/hpke";
import type { Op } from "../../../offchain/wire/names";
import type { ProblemCode } from "../../../offchain/wire/problem";
import { STORE_INFO, encodeSealedPayload, encodeSealedStoreBody, encodeStoreBody } from "../../../offchain/wire/redeem";
import type { Authority } from "../../helpers/authorities";
import { badSignatureForms, badSignatureValues } from "../../helpers/bad-signatures";
import { BAD_JWS, type StolenBroker, capTexts, signTexts } from "../../helpers/jws";
import {
  BAD_MEDIA,
  MALFORMED_JSON,
  NOT_SERVICES,
  badFraming,
  notBytes32,
  notWhole,
  unlisted,
  withMember,
} from "../../helpers/malformed";
import type { RawAnswer, RawRequest } from "../../helpers/raw-http";
import type { Row } from "../../helpers/route-tables";
import { countersign, nonce, nowSeconds, signCap, testDevice } from "../../helpers/words";
import { type GoodRedeem, proofFor, sendRedeem, sendWith, withBody, withCap } from "./redeem-world";

type Rows = readonly Row<GoodRedeem>[];
type Send = (good: GoodRedeem) => Promise<RawAnswer>;

const row = (name: string, code: ProblemCode, send: Send, reason?: string): Row<GoodRedeem> =>
  reason === undefined ? { name, code, send } : { name, code, send, reason };

const JSON_TYPE = ["Content-Type", "application/json"] as const;
const SAMPLE: Hex = `0x${"5a".repeat(32)}`;
const SAMPLE_SIG: Hex = `0x${"11".repeat(65)}`;

/** Media types, request-targets, methods, framing, sizes. `limit` in bytes. */
export function httpRows(path: string, origin: string, limit: number): Rows {
  const changed = (name: string, code: ProblemCode, change: (good: GoodRedeem) => Partial<RawRequest>) =>
    row(name, code, (good) => sendRedeem(good, change(good)));
  const closed = (name: string, change: Partial<RawRequest>) =>
    row(name, "request_too_large", async (good) => {
      const answer = await sendRedeem(good, change);
      if (!answer.isClosed) throw new Error("the connection stays open");
      return answer;
    });
  const others = ["/v1/memory/get", "/v1/memory/put", "/v1/config/fetch", "/v1/config/store", "/v1/classify/tag"];
  return [
    ...BAD_MEDIA.map((headers) =>
      changed(`media type ${JSON.stringify(headers)}`, "media_type_unsupported", () => ({ headers })),
    ),
    ...[...unlisted(path, origin), ...others.map((target) => ({ target }))].map((change: Partial<RawRequest>) =>
      changed(`${change.method ?? "POST"} ${change.target ?? ""}`, "route_not_found", () => change),
    ),
    ...badFraming("{}").map(({ name }, i) =>
      changed(name, "request_malformed", ({ body }) => ({ ...badFraming(body)[i], name: undefined })),
    ),
    row("one byte above the limit", "request_too_large", (good) => withBody(good, good.body.padEnd(limit + 1))),
    ...[limit + 1, 2 ** 40].map((size) =>
      closed(`a Content-Length of ${String(size)} and no byte yet`, {
        headers: [JSON_TYPE, ["Content-Length", String(size)]],
        body: "",
        framing: "none",
      }),
    ),
    closed("chunks that never end", { body: "{", endless: Buffer.alloc(16_384, " ") }),
  ];
}

/** Zero, several and other `Authorization` and `AgentKeys-Proof` headers. */
export const HEADER_ROWS: Rows = [
  ...Object.entries({
    none: () => [],
    two: (cap: string) => [`AgentKeys ${cap}`, `AgentKeys ${cap}`],
    "two of which one is another scheme": (cap: string) => [`Bearer ${cap}`, `AgentKeys ${cap}`],
    Bearer: (cap: string) => [`Bearer ${cap}`],
    DPoP: (cap: string) => [`DPoP ${cap}`],
    "in lower case": (cap: string) => [`agentkeys ${cap}`],
    "in upper case": (cap: string) => [`AGENTKEYS ${cap}`],
    "with two spaces": (cap: string) => [`AgentKeys  ${cap}`],
    "with a tab": (cap: string) => [`AgentKeys\t${cap}`],
    "without a scheme": (cap: string) => [cap],
    "without a cap": () => ["AgentKeys"],
    "with a second word": (cap: string) => [`AgentKeys ${cap} ${cap}`],
    "as a list": (cap: string) => [`AgentKeys ${cap}, AgentKeys ${cap}`],
    empty: () => [""],
  }).map(([name, values]) =>
    row(`Authorization ${name}`, "credential_invalid", (good) =>
      sendWith(good, [
        JSON_TYPE,
        ...values(good.cap).map((value) => ["Authorization", value] as const),
        ["AgentKeys-Proof", good.proof],
      ]),
    ),
  ),
  row(
    "no proof",
    "proof_invalid",
    (good) => sendWith(good, [JSON_TYPE, ["Authorization", `AgentKeys ${good.cap}`]]),
    "missing",
  ),
  row(
    "two proofs",
    "proof_invalid",
    (good) => sendRedeem(good, { headers: [JSON_TYPE, ["agentkeys-proof", good.proof]] }),
    "malformed",
  ),
];

/** The proof header in every form that is none. */
export const PROOF_FORM_ROWS: Rows = [
  ...Object.entries<(proof: string) => string>({
    empty: () => "",
    "JSON itself": (proof) => Buffer.from(proof, "base64url").toString(),
    padded: (proof) => `${proof}==`,
    "in base64": (proof) => `${proof}+/`,
    "with a space": (proof) => `${proof.slice(0, 40)} ${proof.slice(40)}`,
    twice: (proof) => proof + proof,
    "twice, as a list": (proof) => `${proof},${proof}`,
    "cut by one character": (proof) => proof.slice(0, -1),
    "with bits behind its end": (proof) => behindItsEnd(Buffer.from(proof, "base64url").toString()),
  }).map(([name, change]) => proofForm(name, change)),
  ...MALFORMED_JSON.map(({ name, edit }) => proofText(name, edit)),
  proofText("sig twice", (text) => `${text.slice(0, -1)},"sig":"${SAMPLE_SIG}"}`),
  ...["device_key_hash", "seal_to", "nonce", "issued_at", "sig"].map((member) =>
    proofText(`${member} missing`, (text) => withMember(text, member, undefined)),
  ),
  ...["device_key_hash", "seal_to", "nonce"].flatMap((member) =>
    notBytes32(SAMPLE).map((as, i) =>
      proofText(`${member}: ${as}`, (text) => {
        const value = (JSON.parse(text) as Record<string, string>)[member] ?? "";
        // hex without a letter has no upper case: the sample stands in
        return withMember(text, member, notBytes32(/[a-f]/.test(value) ? value : SAMPLE)[i]);
      }),
    ),
  ),
  ...notWhole(1).map((as, i) =>
    proofText(`issued_at: ${as}`, (text) => withMember(text, "issued_at", notWhole(nowSeconds())[i])),
  ),
  ...badSignatureForms(SAMPLE_SIG).map(({ name }, i) =>
    proofText(`sig ${name}`, (text) => {
      const { sig } = JSON.parse(text) as { sig: Hex };
      return withMember(text, "sig", badSignatureForms(sig)[i]?.text);
    }),
  ),
  ...smallOrder().map((sealTo) =>
    row(
      `seal_to of small order ${sealTo.slice(0, 6)}…${sealTo.slice(-2)}`,
      "proof_invalid",
      (good) => sendRedeem(good, { proof: proofFor(good, { sealTo }) }),
      "malformed",
    ),
  ),
];

function proofForm(name: string, change: (proof: string) => string): Row<GoodRedeem> {
  return row(`proof ${name}`, "proof_invalid", (good) => sendRedeem(good, { proof: change(good.proof) }), "malformed");
}

function proofText(name: string, change: (text: string) => string | Buffer): Row<GoodRedeem> {
  return proofForm(name, (proof) => toBase64url(change(Buffer.from(proof, "base64url").toString())));
}

/** base64url of the same JSON whose last character carries a bit that belongs to nothing. */
function behindItsEnd(json: string): string {
  const text = toBase64url(json.padEnd(json.length + ((4 - (json.length % 3)) % 3)));
  const last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".indexOf(text.slice(-1));
  return `${text.slice(0, -1)}${"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last + 1] ?? ""}`;
}

/** u-coordinates of points of small order on Curve25519 and its twist, with and without the top bit. @see RFC 7748 §6.1 */
function smallOrder(): readonly Hex[] {
  const p = 2n ** 255n - 19n;
  const eight = [
    325606250916557431795983626356110631294008115727848805560023387167927233504n,
    39382357235489614581723060781553021112529911719440698176882885853963445705823n,
  ];
  const points = [1n, ...eight, p - 1n, p, p + 1n];
  const encode = (u: bigint): Hex => toHex(Buffer.from(u.toString(16).padStart(64, "0"), "hex").reverse());
  return [...points, ...[0n, ...points].map((u) => u + 2n ** 255n)].map(encode);
}

const OTHER_PLACES: Readonly<Record<string, Partial<Domain>>> = {
  chain: { chainId: 1 },
  registry: { registry: `0x${"42".repeat(20)}` },
};

/** Proofs of the right form that are not this device's word for this request, now. */
export function proofValueRows(op: Op): Rows {
  const bad = (name: string, reason: string, proof: (good: GoodRedeem) => string) =>
    row(`proof ${name}`, "proof_invalid", (good) => sendRedeem(good, { proof: proof(good) }), reason);
  const changed = (member: string, value: (good: GoodRedeem) => string) =>
    bad(`${member} changed after signing`, "forged", (good) =>
      toBase64url(withMember(Buffer.from(good.proof, "base64url").toString(), member, value(good))),
    );
  const target = (good: GoodRedeem): string => good.world.target(good.op);
  const targets: Readonly<Record<string, (good: GoodRedeem) => string>> = {
    "another path": (good) => target(good).replace(/[a-z]+$/, op === "fetch" ? "store" : "fetch"),
    "another worker": (good) => target(good).replace(/:[0-9]+/, ":1"),
    "another scheme": (good) => target(good).replace("http:", "https:"),
    "the path alone": (good) => new URL(target(good)).pathname,
    "with a query": (good) => `${target(good)}?`,
    "with a slash": (good) => `${target(good)}/`,
    "by another name": (good) => target(good).replace("127.0.0.1", "localhost"),
    "in upper case": (good) => target(good).toUpperCase(),
    empty: () => "",
  };
  return [
    bad("80 s old", "stale", (good) => proofFor(good, { issuedAt: nowSeconds() - 80 })),
    bad("20 s ahead", "stale", (good) => proofFor(good, { issuedAt: nowSeconds() + 20 })),
    bad("of 1970", "stale", (good) => proofFor(good, { issuedAt: 0 })),
    bad("of the end of time", "stale", (good) => proofFor(good, { issuedAt: Number.MAX_SAFE_INTEGER })),
    bad("by another device", "mismatch", (good) => proofFor(good, {}, testDevice())),
    bad("by the operator's device", "mismatch", (good) => proofFor(good, {}, good.world.party.masterDevice)),
    bad("by another device in the cap's name", "forged", (good) =>
      proofFor(good, { claims: good.device.hash }, testDevice()),
    ),
    ...["GET", "PUT", "post", ""].map((method) =>
      bad(`for ${method === "" ? "no method" : method}`, "forged", (good) => proofFor(good, { method })),
    ),
    ...Object.entries(targets).map(([name, of]) =>
      bad(`for a target: ${name}`, "forged", (good) => proofFor(good, { target: of(good) })),
    ),
    bad("for another body", "forged", (good) => proofFor(good, { body: `${good.body} ` })),
    bad("for an empty body", "forged", (good) => proofFor(good, { body: "" })),
    bad("for another cap", "forged", (good) => proofFor(good, { credential: `${good.cap}A` })),
    bad("for the scheme and the cap", "forged", (good) => proofFor(good, { credential: `AgentKeys ${good.cap}` })),
    changed("seal_to", () => JSON.stringify(SAMPLE)),
    changed("nonce", () => JSON.stringify(nonce())),
    changed("issued_at", () => String(nowSeconds() - 7)),
    ...Object.entries(OTHER_PLACES).map(([place, domain]) =>
      bad(`for another ${place}`, "forged", (good) => {
        const separator = domainSeparator({ ...good.world.domain, ...domain });
        return proofFor({ ...good, world: Object.create(good.world, { separator: { value: separator } }) as never });
      }),
    ),
    ...badSignatureValues(SAMPLE_SIG).map(({ name }, i) =>
      bad(`sig ${name}`, "forged", (good) => {
        const text = Buffer.from(good.proof, "base64url").toString();
        const { sig } = JSON.parse(text) as { sig: Hex };
        return toBase64url(withMember(text, "sig", JSON.stringify(badSignatureValues(sig)[i]?.sig)));
      }),
    ),
  ];
}

/** What a thief of the broker's key signs, presented by the honest device with a proof that fits. */
export function jwsRows(broker: StolenBroker): Rows {
  const texts = (good: GoodRedeem) => {
    const { request, world, device } = good;
    const clientSig = signCap(world.separator, device, request);
    return capTexts({ iss: broker.origin, aud: capAudience(request.op, "credentials"), request, clientSig }, broker);
  };
  const present = (name: string, make: (good: GoodRedeem) => string) =>
    row(name, "broker_sig_invalid", (good) => sendRedeem(withCap(good, make(good))));
  const claims = (name: string, change: (payload: string) => string | Buffer) =>
    present(`claims: ${name}`, (good) => signTexts(texts(good).header, change(texts(good).payload), broker));
  const claim = (member: string, as: string | undefined) =>
    claims(`${member} ${as ?? "missing"}`, (payload) => withMember(payload, member, as));
  const hex = ["sub", "jti", "operator_omni", "device_key_hash", "content_hash"];
  const numbers = ["iat", "exp", "k3_epoch"];
  const strings = ["iss", "aud", "service", "op", "data_class"];
  const json = JSON.stringify;
  return [
    ...BAD_JWS.map(({ name, make }) => present(name, (good) => make(texts(good), broker))),
    ...MALFORMED_JSON.map(({ name, edit }) => claims(name, edit)),
    claims("exp twice", (payload) => `${payload.slice(0, -1)},"exp":9007199254740991}`),
    claims("exp twice, by escape", (payload) => `${payload.slice(0, -1)},"\\u0065xp":9007199254740991}`),
    ...[...hex, ...numbers, ...strings].map((member) => claim(member, undefined)),
    ...hex.flatMap((member) => notBytes32(SAMPLE).map((as) => claim(member, as))),
    ...numbers.flatMap((member) => notWhole(1_700_000_000).map((as) => claim(member, as))),
    ...NOT_SERVICES.map((as) => claim("service", as)),
    ...["null", "1", `""`, `"Fetch"`, `"read"`, `"constructor"`, "[]"].map((as) => claim("op", as)),
    ...["null", "1", `""`, `"Credentials"`, `"constructor"`, "[]"].map((as) => claim("data_class", as)),
    ...[
      "null",
      "1",
      "[]",
      `""`,
      json(`${broker.origin}/`),
      json(broker.origin.toUpperCase()),
      `"https://other.example"`,
    ].map((as) => claim("iss", as)),
    ...[
      "null",
      "1",
      `""`,
      `"agentkeys"`,
      `"agentkeys:worker:"`,
      `"agentkeys:worker:credentials "`,
      `["agentkeys:worker:credentials"]`,
      `"agentkeys:sts:credentials"`,
    ].map((as) => claim("aud", as)),
  ];
}

/** Caps that are well signed by broker and device, and not for this: expired, too long, another route, not yet. */
export function capRows(op: Op, broker: StolenBroker): Rows {
  const made = (name: string, code: ProblemCode, says: () => Partial<CapRequest>, aud?: string) =>
    row(`a cap ${name}`, code, (good) => {
      const request = { ...good.request, nonce: nonce(), ...says() };
      const cap = countersign(broker, request, signCap(good.world.separator, good.device, request), aud);
      return sendRedeem(withCap(good, cap));
    });
  const life = (from: number, to: number) => () => {
    const now = nowSeconds();
    return { issuedAt: now + from, expiresAt: now + to };
  };
  const others = (["fetch", "store", "teardown", "rotate"] as const).filter((one) => one !== op);
  return [
    made("that expired", "cap_expired", life(-200, -2)),
    made("that expired a year ago", "cap_expired", life(-31_536_000, -31_535_800)),
    made("whose exp comes before its iat", "cap_expired", life(0, -10)),
    made("of 301 s", "cap_lifetime_exceeded", life(-5, 296)),
    made("for ever", "cap_lifetime_exceeded", () => ({ expiresAt: Number.MAX_SAFE_INTEGER })),
    made("20 s ahead", "cap_pop_invalid", life(20, 200)),
    ...others.map((other) => made(`to ${other}`, "cap_op_mismatch", () => ({ op: other }))),
    made("to classify, for this worker", "cap_op_mismatch", () => ({ op: "classify" }), "agentkeys:worker:credentials"),
    made("to classify", "cap_data_class_mismatch", () => ({ op: "classify" })),
    ...(["memory", "config"] as const).flatMap((dataClass) => [
      made(`for ${dataClass}`, "cap_data_class_mismatch", () => ({ dataClass })),
      made(
        `for ${dataClass}, for this worker`,
        "cap_data_class_mismatch",
        () => ({ dataClass }),
        "agentkeys:worker:credentials",
      ),
    ]),
    ...clientSigRows(broker),
  ];
}

/** Everything that the broker's thief can put in the place of the device's signature. */
function clientSigRows(broker: StolenBroker): Rows {
  const texts = (good: GoodRedeem) => {
    const { request, world, device } = good;
    const clientSig = signCap(world.separator, device, request);
    const aud = capAudience(request.op, "credentials");
    return { clientSig, ...capTexts({ iss: broker.origin, aud, request, clientSig }, broker) };
  };
  const made = (name: string, text: (sig: Hex) => string | undefined) =>
    row(`client_sig ${name}`, "cap_pop_invalid", (good) => {
      const { header, payload, clientSig } = texts(good);
      return sendRedeem(withCap(good, signTexts(header, withMember(payload, "client_sig", text(clientSig)), broker)));
    });
  return [
    made("missing", () => undefined),
    ...badSignatureForms(SAMPLE_SIG).map(({ name }, i) => made(name, (sig) => badSignatureForms(sig)[i]?.text)),
    ...badSignatureValues(SAMPLE_SIG).map(({ name }, i) =>
      made(name, (sig) => JSON.stringify(badSignatureValues(sig)[i]?.sig)),
    ),
    made("random", () => JSON.stringify(toHex(Buffer.concat([randomBytes(64), Buffer.from([27])])))),
  ];
}

/** What the chain refuses of this operation; the broker's thief countersigned it, the device proves it. */
export function chainRows(op: Op, list: readonly Authority[], broker: StolenBroker): Rows {
  return list
    .filter(({ ops = [op], classes = ["credentials"] }) => ops.includes(op) && classes.includes("credentials"))
    .map(({ name, code, device, says }) =>
      row(`a device ${name}`, code, (good) => {
        const request = { ...good.request, nonce: nonce(), ...says };
        const cap = countersign(broker, request, signCap(good.world.separator, device, request));
        return sendRedeem(withCap(good, cap, device));
      }),
    );
}

/** Bodies that say nothing: whatever is no JSON object is refused. */
export const EMPTY_BODY_ROWS: Rows = MALFORMED_JSON.map(({ name, edit }) =>
  row(`body: ${name}`, "request_malformed", (good) => withBody(good, edit(good.body))),
);

/** Bodies of a store, in the clear and sealed. */
export function storeBodyRows(): Rows {
  const bad = (
    name: string,
    body: (good: GoodRedeem) => string | Promise<string>,
    code: ProblemCode = "request_malformed",
  ) => row(`body: ${name}`, code, async (good) => withBody(good, await body(good)));
  const member = (name: string, as: string | undefined) =>
    bad(`${name} ${as ?? "missing"}`, ({ body }) => withMember(body, name, as));
  const sealed = (name: string, code: ProblemCode, seal: (good: GoodRedeem) => Promise<Buffer>) =>
    bad(`sealed, ${name}`, async (good) => encodeSealedStoreBody(await seal(good)), code);
  const info = (good: GoodRedeem, prefix = STORE_INFO, request = good.request): Buffer =>
    Buffer.concat([Buffer.from(prefix), capRequestDigest(good.world.separator, request)]);
  const sealText = (text: (good: GoodRedeem) => string) => (good: GoodRedeem) =>
    hpkeSeal(good.world.stack.workerSealKey(), info(good), Buffer.from(text(good)));
  const honest = ({ secret, salt }: GoodRedeem): string => encodeSealedPayload(secret, salt);
  return [
    ...EMPTY_BODY_ROWS,
    bad("no byte", () => ""),
    ...[undefined, "null", "1", "{}", "[]", `"c2s="`, `"c2+/"`, `"c2s "`, `"c2t"`, `"c"`, `"\u00e4"`].map((as) =>
      member("payload_b64", as),
    ),
    ...[undefined, ...notBytes32(SAMPLE)].map((as) => member("content_salt", as)),
    ...notWhole(7).map((as) => member("if_version", as)),
    ...["null", "1", "{}", `"c2s="`, `"c2t"`].map((as) => bad(`sealed ${as}`, () => `{"sealed":${as}}`)),
    bad("sealed beside payload_b64", ({ body }) => withMember(body, "sealed", `"c2s"`)),
    bad("sealed beside content_salt", ({ salt }) => `{"sealed":"c2s","content_salt":"${salt}"}`),
    sealed("no byte", "payload_invalid", () => Promise.resolve(Buffer.alloc(0))),
    sealed("31 bytes", "payload_invalid", () => Promise.resolve(randomBytes(31))),
    sealed("noise", "payload_invalid", () => Promise.resolve(randomBytes(120))),
    sealed("zeros", "payload_invalid", () => Promise.resolve(Buffer.alloc(120))),
    sealed("to another key", "payload_invalid", async (good) =>
      hpkeSeal((await generateSealKeyPair()).publicKey, info(good), Buffer.from(honest(good))),
    ),
    sealed("for another cap", "payload_invalid", (good) =>
      hpkeSeal(
        good.world.stack.workerSealKey(),
        info(good, STORE_INFO, { ...good.request, nonce: nonce() }),
        Buffer.from(honest(good)),
      ),
    ),
    sealed("as a reply", "payload_invalid", (good) =>
      hpkeSeal(good.world.stack.workerSealKey(), info(good, "agentkeys-reply-v2"), Buffer.from(honest(good))),
    ),
    sealed("one bit flipped", "payload_invalid", async (good) => {
      const bytes = await sealText(honest)(good);
      bytes[40] = (bytes[40] ?? 0) ^ 1;
      return bytes;
    }),
    sealed("cut by one byte", "payload_invalid", async (good) => (await sealText(honest)(good)).subarray(0, -1)),
    ...[
      "",
      "x",
      "{}",
      "[]",
      `{"payload_b64":"c2s"}`,
      `{"payload_b64":"c2s=","content_salt":"${SAMPLE}"}`,
      `{"payload_b64":"c2s","content_salt":"0x"}`,
    ].map((text) =>
      sealed(
        `holding ${JSON.stringify(text)}`,
        "payload_invalid",
        sealText(() => text),
      ),
    ),
    sealed(
      "a member twice",
      "payload_invalid",
      sealText((good) => `${honest(good).slice(0, -1)},"payload_b64":"c2s"}`),
    ),
    sealed(
      "another secret",
      "content_hash_mismatch",
      sealText(({ salt }) => encodeSealedPayload(Buffer.from("other"), salt)),
    ),
    bad("another secret", ({ salt }) => encodeStoreBody(Buffer.from("other"), salt), "content_hash_mismatch"),
    bad(
      "a secret longer by a byte",
      ({ secret, salt }) => encodeStoreBody(Buffer.concat([secret, Buffer.alloc(1)]), salt),
      "content_hash_mismatch",
    ),
    bad("no secret", ({ salt }) => encodeStoreBody(Buffer.alloc(0), salt), "content_hash_mismatch"),
    bad("another salt", ({ secret }) => encodeStoreBody(secret, ZERO32), "content_hash_mismatch"),
    bad(
      "a plaintext of 1 MiB and a byte",
      ({ salt }) => encodeStoreBody(Buffer.alloc(1_048_577), salt),
      "request_too_large",
    ),
    // asked before the chain: the device was never registered
    row("a plaintext of 1 MiB and a byte, by nobody", "request_too_large", (good) => {
      const [device, body] = [testDevice(), encodeStoreBody(Buffer.alloc(1_048_577), good.salt)];
      return sendRedeem({ ...good, device }, { body, proof: proofFor(good, { body }, device) });
    }),
  ];
}

/** The salt and hash as bytes never travel in a refusal. */
export const secretsOf = (good: GoodRedeem): readonly string[] => [
  good.request.nonce.slice(2),
  good.cap.slice(-20),
  good.request.service,
  fromHex(good.salt).toString("base64url"),
  "sk-",
];

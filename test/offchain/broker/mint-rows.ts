import { ZERO32 } from "../../../offchain/wire/bytes";
import { type CapRequest } from "../../../offchain/wire/cap-request";
import { domainSeparator } from "../../../offchain/wire/eip712";
import { type MintRoute, encodeMint } from "../../../offchain/wire/mint";
import type { ProblemCode } from "../../../offchain/wire/problem";
import type { World } from "../../drills/world";
import type { Authority } from "../../helpers/authorities";
import { badSignatureForms, badSignatureValues } from "../../helpers/bad-signatures";
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
import { type RawAnswer, type RawRequest, exchange } from "../../helpers/raw-http";
import type { Row } from "../../helpers/route-tables";
import { type TestDevice, mintBody, nonce, nowSeconds, signCap, testDevice } from "../../helpers/words";

/** The service that every row asks for; nothing that a refusal says may name it. */
export const SERVICE = "mint-table";

/** A cap request that the broker grants as it stands. */
export interface GoodMint {
  readonly world: World;
  readonly route: MintRoute;
  readonly cap: CapRequest;
  readonly text: string;
  /** Where it is sent, when that is not the stack's own broker. */
  readonly at?: string;
}

/** An honest request for a route, made now. */
export function goodMint(world: World, route: MintRoute, wish: Partial<CapRequest> = {}): GoodMint {
  const { op, dataClass = "memory" } = route;
  const cap = world.cap({ op, dataClass, service: SERVICE, contentHash: op === "store" ? nonce() : ZERO32, ...wish });
  return { world, route, cap, text: world.mintBody(cap) };
}

/** Sends it, with whatever the row changes. */
export function sendMint(good: GoodMint, change: Partial<RawRequest> = {}): Promise<RawAnswer> {
  return exchange(good.at ?? good.world.stack.urls.broker, {
    method: "POST",
    target: good.route.path,
    headers: [["Content-Type", "application/json"]],
    body: good.text,
    ...change,
  });
}

type Rows = readonly Row<GoodMint>[];

function body(name: string, text: (good: GoodMint) => string | Buffer, code: ProblemCode = "request_malformed") {
  return { name, code, send: (good: GoodMint) => sendMint(good, { body: text(good) }) };
}

/** Signed by the device over what it says: one member is wrong, and the signature is right. */
function signed(
  name: string,
  says: (cap: CapRequest) => Partial<CapRequest>,
  code: ProblemCode,
  by?: TestDevice,
): Row<GoodMint> {
  return body(
    name,
    ({ world, cap }) => mintBody(world.separator, by ?? world.agentDevice, { ...cap, ...says(cap) }),
    code,
  );
}

/** JSON that the reader refuses. */
export const JSON_ROWS: Rows = [
  body("an empty body", () => ""),
  ...MALFORMED_JSON.map(({ name, edit }) => body(name, ({ text }) => edit(text))),
  body("a member twice, equal", ({ text, cap }) => `{"nonce":"${cap.nonce}",${text.slice(1)}`),
  body("a member twice, by escape", ({ text, cap }) => `{"\\u006eonce":"${cap.nonce}",${text.slice(1)}`),
  body("a member twice, the other way round", ({ text }) => `${text.slice(0, -1)},"service":"other"}`),
];

const HEX_MEMBERS = ["operator_omni", "actor_omni", "device_key_hash", "nonce"];
const NUMBER_MEMBERS = ["k3_epoch", "issued_at", "expires_at"];

/** Members that are missing or have the wrong form. */
export function memberRows(route: MintRoute): Rows {
  const hex = [...HEX_MEMBERS, ...(route.op === "store" ? ["content_hash"] : [])];
  const classes = route.dataClass === undefined ? ["data_class"] : [];
  const replaced = (member: string, value: (good: GoodMint) => string | undefined, as = "") =>
    body(`${member}: ${as}`, (good) => withMember(good.text, member, value(good)));
  const valueOf = (good: GoodMint, member: string): string | number =>
    (JSON.parse(good.text) as Record<string, string | number>)[member] ?? "";
  const sample = `0x${"5a".repeat(32)}`;
  return [
    ...[...hex, ...NUMBER_MEMBERS, ...classes, "service"].map((member) => replaced(member, () => undefined, "missing")),
    ...hex.flatMap((member) =>
      notBytes32(sample).map((as, i) => replaced(member, (good) => notBytes32(String(valueOf(good, member)))[i], as)),
    ),
    ...NUMBER_MEMBERS.flatMap((member) =>
      notWhole(1).map((as, i) => replaced(member, (good) => notWhole(Number(valueOf(good, member)))[i], as)),
    ),
    ...classes.flatMap((member) =>
      ["null", "1", "{}", `""`, `"Memory"`, `"secrets"`, `"classify"`, `"constructor"`, `"__proto__"`].map((as) =>
        replaced(member, () => as, as),
      ),
    ),
    ...NOT_SERVICES.map((as) => replaced("service", () => as, as)),
    ...NOT_SERVICES.filter((as) => as.startsWith(`"`)).map((as) =>
      signed(`service, signed: ${as}`, () => ({ service: JSON.parse(as) as string }), "request_malformed"),
    ),
    signed("expires_at = issued_at", (cap) => ({ expiresAt: cap.issuedAt }), "request_malformed"),
    signed("expires_at < issued_at", (cap) => ({ expiresAt: cap.issuedAt - 1 }), "request_malformed"),
  ];
}

/** Media types, request-targets, methods, framing, sizes. */
export function httpRows(route: MintRoute, origin: string): Rows {
  const row = (name: string, code: ProblemCode, change: (good: GoodMint) => Partial<RawRequest>): Row<GoodMint> => ({
    name,
    code,
    send: (good) => sendMint(good, change(good)),
  });
  const isClosed = async (answer: Promise<RawAnswer>): Promise<RawAnswer> => {
    const got = await answer;
    if (!got.isClosed) throw new Error("the connection stays open");
    return got;
  };
  const large = Buffer.alloc(65_537, " ");
  return [
    ...BAD_MEDIA.map((types) =>
      row(`media type ${JSON.stringify(types)}`, "media_type_unsupported", () => ({ headers: types })),
    ),
    ...unlisted(route.path, origin).map((change) =>
      row(`${change.method ?? "POST"} ${change.target ?? ""}`, "route_not_found", () => change),
    ),
    ...badFraming("{}").map(({ name }, i) =>
      row(name, "request_malformed", ({ text }) => ({ ...badFraming(text)[i], name: undefined })),
    ),
    row("64 KiB and a byte", "request_too_large", ({ text }) => ({ body: text + " ".repeat(65_537 - text.length) })),
    row("too large for its text to be read", "request_too_large", () => ({ body: large })),
    ...[65_537, 2 ** 40].map((size) => ({
      ...row(`a Content-Length of ${String(size)} and no byte yet`, "request_too_large", () => ({})),
      send: (good: GoodMint) =>
        isClosed(
          sendMint(good, {
            headers: [
              ["Content-Type", "application/json"],
              ["Content-Length", String(size)],
            ],
            body: "",
            framing: "none",
          }),
        ),
    })),
    {
      ...row("chunks that never end", "request_too_large", () => ({})),
      send: (good) => isClosed(sendMint(good, { body: good.text, endless: Buffer.alloc(4_096, " ") })),
    },
  ];
}

/** Times, lifetime, and what a caller without a signature learns of them. */
export const TIME_ROWS: Rows = [
  ...[20, 3_600, 2 ** 40].map((ahead) =>
    signed(`made ${String(ahead)} s ahead`, () => times(ahead, 300), "cap_pop_invalid"),
  ),
  ...[80, 3_600].map((late) => signed(`made ${String(late)} s ago`, () => times(-late, 300), "cap_pop_invalid")),
  signed("made in 1970", () => ({ issuedAt: 0, expiresAt: 300 }), "cap_pop_invalid"),
  signed("expired", () => times(-40, 20), "cap_pop_invalid"),
  signed(
    "expires at 2^53-1",
    () => ({ issuedAt: Number.MAX_SAFE_INTEGER - 1, expiresAt: Number.MAX_SAFE_INTEGER }),
    "cap_pop_invalid",
  ),
  signed("lives 301 s", () => times(0, 301), "cap_lifetime_exceeded"),
  signed("lives for ever", () => times(0, 2 ** 40), "cap_lifetime_exceeded"),
  signed("lives 301 s, signed by another", () => times(0, 301), "cap_pop_invalid", testDeviceLater()),
];

function times(issued: number, life: number): Partial<CapRequest> {
  const issuedAt = nowSeconds() + issued;
  return { issuedAt, expiresAt: issuedAt + life };
}

/** A key that nobody knows; made when it is first asked for, because the hash is loaded asynchronously. */
function testDeviceLater(): TestDevice {
  let device: TestDevice | undefined;
  const get = (): TestDevice => (device ??= testDevice());
  return {
    get secret() {
      return get().secret;
    },
    get address() {
      return get().address;
    },
    get hash() {
      return get().hash;
    },
  };
}

/** `client_sig` in every form that is none, and over something else. */
export const SIGNATURE_ROWS: Rows = [
  body("no client_sig", ({ text }) => withMember(text, "client_sig", undefined), "cap_pop_invalid"),
  ...badSignatureForms(`0x${"11".repeat(65)}`).map(({ name }, i) =>
    body(
      `client_sig ${name}`,
      (good) => withMember(good.text, "client_sig", badSignatureForms(sigOf(good))[i]?.text),
      "cap_pop_invalid",
    ),
  ),
  ...badSignatureValues(`0x${"11".repeat(65)}`).map(({ name }, i) =>
    body(
      `client_sig ${name}`,
      (good) => withMember(good.text, "client_sig", JSON.stringify(badSignatureValues(sigOf(good))[i]?.sig)),
      "cap_pop_invalid",
    ),
  ),
  signed("signed by another key", () => ({}), "cap_pop_invalid", testDeviceLater()),
  ...Object.entries(elsewhere()).map(([name, digestFor]) => body(`signed for ${name}`, digestFor, "cap_pop_invalid")),
  ...afterSigning(),
];

function sigOf({ world, cap }: GoodMint) {
  return signCap(world.separator, world.agentDevice, cap);
}

/** The device's signature, made for another place: chain, registry, operation, class. */
function elsewhere(): Readonly<Record<string, (good: GoodMint) => string>> {
  const over = ({ world, cap }: GoodMint, other: Partial<CapRequest>, separator = world.separator): string =>
    encodeMint(cap, signCap(separator, world.agentDevice, { ...cap, ...other }));
  return {
    "another chain": (good) => over(good, {}, domainSeparator({ ...good.world.domain, chainId: 1 })),
    "another registry": (good) =>
      over(good, {}, domainSeparator({ ...good.world.domain, registry: `0x${"42".repeat(20)}` })),
    "another operation": (good) => over(good, { op: good.cap.op === "fetch" ? "store" : "fetch" }),
    "another class": (good) => over(good, { dataClass: good.cap.dataClass === "config" ? "memory" : "config" }),
    "another content": (good) => over(good, { contentHash: nonce() }),
  };
}

/** Each member changed after the device signed it. */
function afterSigning(): Rows {
  const changes: Readonly<Record<string, (cap: CapRequest) => Partial<CapRequest>>> = {
    operator_omni: () => ({ operatorOmni: nonce() }),
    actor_omni: () => ({ actorOmni: nonce() }),
    device_key_hash: () => ({ deviceKeyHash: nonce() }),
    service: () => ({ service: "openrouter" }),
    k3_epoch: (cap) => ({ k3Epoch: cap.k3Epoch + 1 }),
    issued_at: (cap) => ({ issuedAt: cap.issuedAt - 1 }),
    expires_at: (cap) => ({ expiresAt: cap.expiresAt - 1 }),
    nonce: () => ({ nonce: nonce() }),
  };
  return Object.entries(changes).map(([name, change]) =>
    body(
      `${name} changed after signing`,
      (good) => encodeMint({ ...good.cap, ...change(good.cap) }, sigOf(good)),
      "cap_pop_invalid",
    ),
  );
}

/** What the chain refuses of this route; each device signs its own words. */
export function chainRows(route: MintRoute, list: readonly Authority[]): Rows {
  return list
    .filter(({ ops, classes }) => {
      const dataClass = route.dataClass ?? "memory";
      return (ops ?? [route.op]).includes(route.op) && (classes ?? [dataClass]).includes(dataClass);
    })
    .map(({ name, code, device, says }) => signed(`a device ${name}`, () => says, code, device));
}

import type { RawRequest } from "./raw-http";

/** A named change of a JSON object's text; what comes out is no JSON text of the protocol. @see protocol 3.1, 3.11 */
export interface TextEdit {
  readonly name: string;
  readonly edit: (text: string) => string | Buffer;
}

const edit = (name: string, change: (text: string) => string | Buffer): TextEdit => ({ name, edit: change });

/** Adds a member with this very text as its value, before all others. */
export const withExtra = (value: string, name = `"extra"`) =>
  edit(`extra ${name}: ${value}`, (text) => add(text, `${name}:${value}`));

const add = (text: string, member: string): string => `{${member}${text === "{}" ? "" : ","}${text.slice(1)}`;

/** `depth` counts the outermost object as 1. */
const nested = (depth: number, open: string, close: string): string =>
  open.repeat(depth - 1) + "0" + close.repeat(depth - 1);

/** Texts that the one reader refuses whatever the message is. */
export const MALFORMED_JSON: readonly TextEdit[] = [
  edit("white space only", () => " \n"),
  edit("null", () => "null"),
  edit("a string", (text) => JSON.stringify(text)),
  edit("a number", () => "1"),
  edit("an array", (text) => `[${text}]`),
  edit("two values", (text) => text + text),
  edit("junk after the end", (text) => `${text}x`),
  edit("NUL after the end", (text) => `${text}\0`),
  edit("cut by one byte", (text) => text.slice(0, -1)),
  edit("a trailing comma", (text) => `${text.slice(0, -1)},}`),
  edit("a leading comma", (text) => `{,${text.slice(1)}`),
  edit("single quotes", () => `{'a':1}`),
  edit("a name without quotes", (text) => add(text, "a:1")),
  edit("a comment", (text) => `${text}/**/`),
  edit("a form feed as white space", (text) => `\f${text}`),
  edit("a no-break space", (text) => `\u00a0${text}`),
  edit("a byte order mark", (text) => `\ufeff${text}`),
  edit("UTF-16", (text) => Buffer.from(`\ufeff${text}`, "utf16le")),
  edit("a byte that is no UTF-8", (text) => withBytes(text, [0xff])),
  edit("an overlong encoding", (text) => withBytes(text, [0xc0, 0xaf])),
  edit("a surrogate in UTF-8", (text) => withBytes(text, [0xed, 0xa0, 0x80])),
  edit("a cut UTF-8 sequence", (text) => withBytes(text, [0xe2, 0x82])),
  withExtra(`"\\ud800"`),
  withExtra(`"\\udc00\\ud800"`),
  withExtra(`"\\u12"`),
  withExtra(`"\\x41"`),
  withExtra(`"a\tb"`),
  withExtra(`"a\nb"`),
  ...[
    "1.0",
    "1e3",
    "1E3",
    "-0",
    "-1",
    "+1",
    "01",
    ".5",
    "0x10",
    "9007199254740992",
    "10000000000000000",
    "NaN",
    "Infinity",
    "undefined",
    "True",
    "nul",
  ].map((value) => withExtra(value)),
  withExtra(nested(9, "[", "]")),
  withExtra(nested(9, `{"a":`, "}")),
  withExtra(nested(5_000, "[", "]")),
  edit("an extra member twice", (text) => add(text, `"extra":1,"extra":1`)),
  edit("an extra member twice by escape", (text) => add(text, `"extra":1,"\\u0065xtra":1`)),
  edit("an extra member twice, deep inside", (text) => add(text, `"extra":[{"a":1,"b":2,"a":1}]`)),
  edit("__proto__ twice", (text) => add(text, `"__proto__":1,"__proto__":1`)),
];

/** Texts that look odd and are the same message. */
export const NEUTRAL_JSON: readonly TextEdit[] = [
  edit("white space around everything", (text) => ` \r\n\t${text.replaceAll(",", " ,\n").replaceAll(`":`, `" : `)}\n`),
  edit("members in reverse order", (text) =>
    JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(text) as object).reverse())),
  ),
  edit("names by escape", (text) => text.replaceAll(`"n`, `"\\u006e`).replaceAll(`"p`, `"\\u0070`)),
  withExtra(`"\\ud83d\\ude00 \\" \\\\ \\/ \\b\\f\\n\\r\\t"`),
  withExtra("9007199254740991"),
  withExtra(nested(8, "[", "]")),
  withExtra(`{"a":[true,false,null,{}]}`),
  withExtra("{}", `"__proto__"`),
  withExtra("1", `"constructor"`),
  withExtra("1", `""`),
];

function withBytes(text: string, bytes: readonly number[]): Buffer {
  return Buffer.concat([Buffer.from(`{"extra":"`), Buffer.from(bytes), Buffer.from(`",${text.slice(1)}`)]);
}

/** JSON texts of values that are no string of the wanted form, whatever the form is. */
const NO_STRING = ["null", "true", "0", "1", "[]", "{}", `""`, `"0x"`, `" "`];

/** JSON texts that are not 32 bytes of lowercase hex, made from one that is. */
export function notBytes32(good: string): readonly string[] {
  const digits = good.slice(2);
  const texts = [
    `0x${digits.toUpperCase().replace(/[0-9]/g, "A")}`,
    digits,
    `0X${digits}`,
    `0x${digits.slice(2)}`,
    `0x${digits}00`,
    `0x${digits.slice(1)}`,
    `0x${digits.slice(1)}g`,
    ` 0x${digits}`,
    `0x${digits} `,
    `0x${digits}\n`,
    BigInt(good).toString(),
  ];
  return [...NO_STRING, ...texts.map((text) => JSON.stringify(text)), `["${good}"]`];
}

/** JSON texts that are not the whole number they look like. */
export function notWhole(good: number): readonly string[] {
  const text = String(good);
  return [
    "null",
    "true",
    `"${text}"`,
    "[]",
    "{}",
    `[${text}]`,
    `${text}.0`,
    `${text}e0`,
    `-${text}`,
    "-0",
    "1e3",
    "1.5",
    `0${text}`,
    `+${text}`,
    "9007199254740992",
    "18446744073709551616",
    `""`,
  ];
}

/** JSON texts that are no service. */
export const NOT_SERVICES: readonly string[] = [
  ...["null", "true", "1", "[]", "{}", `["openrouter"]`],
  ...[
    "",
    " ",
    "Openrouter",
    "OPENROUTER",
    "-a",
    ".a",
    "_a",
    ":a",
    "a..b",
    "..",
    "a/b",
    "../a",
    "a\\b",
    "a b",
    "a\n",
    "a\0",
    "a%2e",
    "a,b",
    "a@b",
    "\u00e4",
    "\u0131",
    "a\u200b",
    "a".repeat(65),
  ].map((text) => JSON.stringify(text)),
];

/** The text of one member replaced, or the member left out. */
export function withMember(text: string, name: string, value: string | undefined): string {
  const members = Object.entries(JSON.parse(text) as object).map(([key, old]) => [key, JSON.stringify(old)] as const);
  const kept = members.filter(([key]) => key !== name).map(([key, old]) => `"${key}":${old}`);
  return `{${[...kept, ...(value === undefined ? [] : [`"${name}":${value}`])].join(",")}}`;
}

/** Content-Type headers that are not the one media type, and content codings. */
export const BAD_MEDIA: readonly (readonly (readonly [string, string])[])[] = [
  [],
  ...[
    "",
    "text/plain",
    "application/jsonx",
    "application/json;",
    "application/json; charset=utf-8",
    "application/problem+json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=x",
    "*/*",
    "application/json, application/json",
    `"application/json"`,
  ].map((type) => [["Content-Type", type]] as const),
  [
    ["Content-Type", "application/json"],
    ["content-type", "application/json"],
  ],
  ...["gzip", "identity", "", "br, gzip"].map(
    (coding) =>
      [
        ["Content-Type", "application/json"],
        ["Content-Encoding", coding],
      ] as const,
  ),
];

/** Request-targets and methods beside a POST route; none of them is listed. */
export function unlisted(path: string, origin: string): readonly Partial<RawRequest>[] {
  const escaped = `${path.slice(0, -1)}%${path.charCodeAt(path.length - 1).toString(16)}`;
  const targets = [
    `${path}?`,
    `${path}?a=1`,
    `${path}/`,
    `${path}//`,
    `/${path}`,
    `/.${path}`,
    `/x/..${path}`,
    `${path};a=1`,
    `${path}#a`,
    `${path}%00`,
    `${path}%`,
    `${path}.`,
    escaped,
    path.toUpperCase(),
    path.replace("/v1", "/v2"),
    path.replace("/v1", "/V1"),
    "/",
    "*",
    `${origin}${path}`,
    `http://other.example${path}`,
    `HTTP://[x${path}`,
    `http://a:99999999${path}`,
    `https://a:b@c${path}`,
  ];
  const methods = ["GET", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "post", "Post", "POSTX", "FOO"];
  return [
    ...targets.map((target) => ({ target })),
    ...methods.map((method) => ({ method })),
    { method: "CONNECT", target: "other.example:443" },
    { target: `${path}?`, headers: [["Content-Type", "text/plain"]] },
  ];
}

/** What is no sound HTTP/1.1 message. `body` is the honest one. */
export function badFraming(body: string): readonly (Partial<RawRequest> & { readonly name: string })[] {
  const json = ["Content-Type", "application/json"] as const;
  const size = String(Buffer.byteLength(body));
  return [
    { name: "no Host", hosts: [] },
    { name: "two Hosts", hosts: ["test", "test"] },
    { name: "HTTP/2.0", version: "HTTP/2.0" },
    { name: "HTTP/1.2", version: "HTTP/1.2" },
    { name: "no version", version: "" },
    { name: "two Content-Lengths", headers: [json, ["Content-Length", size]] },
    { name: "Content-Length beside chunked", headers: [json, ["Content-Length", size]], framing: "chunked" },
    { name: "a signed Content-Length", headers: [json, ["Content-Length", `+${size}`]], framing: "none" },
    { name: "a negative Content-Length", headers: [json, ["Content-Length", "-1"]], framing: "none" },
    {
      name: "a Content-Length above 2^64",
      headers: [json, ["Content-Length", "99999999999999999999"]],
      framing: "none",
    },
    {
      name: "another transfer coding",
      headers: [json, ["Transfer-Encoding", "gzip, chunked"]],
      framing: "none",
      body: `${Number(size).toString(16)}\r\n${body}\r\n0\r\n\r\n`,
    },
    { name: "chunked twice", headers: [json, ["Transfer-Encoding", "chunked"]], framing: "chunked" },
    {
      name: "a chunk size that is none",
      headers: [json, ["Transfer-Encoding", "chunked"]],
      framing: "none",
      body: `zz\r\n${body}`,
    },
    {
      name: "a body cut short",
      headers: [json, ["Content-Length", String(Number(size) + 1)]],
      framing: "none",
      endAfter: true,
    },
    {
      name: "a chunk cut short",
      headers: [json, ["Transfer-Encoding", "chunked"]],
      framing: "none",
      body: `fff\r\n${body}`,
      endAfter: true,
    },
    {
      name: "chunks without the last one",
      headers: [json, ["Transfer-Encoding", "chunked"]],
      framing: "none",
      body: `${Number(size).toString(16)}\r\n${body}\r\n`,
      endAfter: true,
    },
    { name: "a folded header", headers: [["Content-Type", "application/json\r\n ;a=1"]] },
    { name: "a NUL in a header", headers: [json, ["X", "a\0b"]] },
    { name: "headers above 16 KiB", headers: [json, ["X", "a".repeat(17_000)]] },
    { name: "a space before the colon", headers: [json, ["X ", "a"]] },
    { name: "a byte above ASCII in the target", target: "/v1/\u00e9" },
    { name: "a space in the target", target: "/v1 /a" },
  ];
}

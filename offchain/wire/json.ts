import { isUtf8 } from "node:buffer";

import { type Result, ok, refuse } from "./result";

/** A value that passed the reader. Objects have no prototype. */
export type JsonValue = string | number | boolean | null | readonly JsonValue[] | JsonObject;

/** A JSON object that passed the reader: no duplicate members, no prototype. */
export interface JsonObject {
  readonly [member: string]: JsonValue | undefined;
}

const MAX_DEPTH = 8;
const NUMBER = /(0|[1-9][0-9]{0,15})(?![0-9.eE+-])/y;
// eslint-disable-next-line no-control-regex -- JSON forbids exactly these inside a string
const PLAIN = /[^"\\\u0000-\u001f]*/y;
const HEX4 = /^[0-9a-fA-F]{4}$/;
const ESCAPES: Readonly<Record<string, string>> = {
  '"': '"',
  "\\": "\\",
  "/": "/",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
};

class Refused extends Error {}

/**
 * The one reader for every JSON text of the protocol: strict UTF-8, no BOM, no duplicate members (after
 * unescaping), at most 8 levels, integers 0 … 2⁵³−1 by spelling, no lone surrogates. @see protocol 3.1, 3.11
 * @returns `request_malformed`; callers that read something else than a body give their own code.
 */
export function readJson(bytes: Uint8Array): Result<JsonValue> {
  if (!isUtf8(bytes)) return refuse("request_malformed", "The JSON text is not UTF-8.");
  try {
    return ok(new Reader(Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("utf8")).whole());
  } catch (error) {
    if (error instanceof Refused) return refuse("request_malformed", error.message);
    throw error;
  }
}

/** As `readJson`, and the outermost value must be an object. */
export function readJsonObject(bytes: Uint8Array): Result<JsonObject> {
  const read = readJson(bytes);
  if (!read.ok) return read;
  return isJsonObject(read.value) ? ok(read.value) : refuse("request_malformed", "The JSON text is not an object.");
}

/** True for an object (not an array, not null). */
export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** True for a whole number that the reader let through. */
export function isWholeNumber(value: JsonValue | undefined): value is number {
  return typeof value === "number";
}

class Reader {
  private at = 0;

  constructor(private readonly text: string) {}

  whole(): JsonValue {
    if (this.text.charCodeAt(0) === 0xfeff) throw new Refused("The JSON text starts with a byte order mark.");
    const value = this.value(0);
    this.space();
    if (this.at !== this.text.length) throw new Refused("The JSON text does not end where its value ends.");
    return value;
  }

  private value(depth: number): JsonValue {
    this.space();
    switch (this.text[this.at]) {
      case "{":
        return this.object(depth + 1);
      case "[":
        return this.array(depth + 1);
      case '"':
        return this.string();
      case "t":
        return this.word("true", true);
      case "f":
        return this.word("false", false);
      case "n":
        return this.word("null", null);
      default:
        return this.number();
    }
  }

  private object(depth: number): JsonObject {
    this.open(depth);
    const members = Object.create(null) as Record<string, JsonValue>;
    if (this.closes("}")) return members;
    for (;;) {
      this.space();
      if (this.text[this.at] !== '"') throw new Refused("A JSON member has no name.");
      const name = this.string();
      if (name in members) throw new Refused("A JSON object has the same member twice.");
      this.expect(":");
      members[name] = this.value(depth);
      if (this.closes("}")) return members;
      this.expect(",");
    }
  }

  private array(depth: number): readonly JsonValue[] {
    this.open(depth);
    const items: JsonValue[] = [];
    if (this.closes("]")) return items;
    for (;;) {
      items.push(this.value(depth));
      if (this.closes("]")) return items;
      this.expect(",");
    }
  }

  private string(): string {
    let out = "";
    this.at += 1;
    for (;;) {
      PLAIN.lastIndex = this.at;
      const run = PLAIN.exec(this.text)?.[0] ?? "";
      this.at += run.length;
      out += run;
      const stop = this.text[this.at];
      if (stop === '"') break;
      if (stop !== "\\") throw new Refused("A JSON string is not closed or holds a control character.");
      out += this.escape();
    }
    this.at += 1;
    return wellFormed(out);
  }

  private escape(): string {
    const letter = this.text[this.at + 1] ?? "";
    if (letter === "u") {
      const digits = this.text.slice(this.at + 2, this.at + 6);
      if (!HEX4.test(digits)) throw new Refused("A JSON string holds a broken escape.");
      this.at += 6;
      return String.fromCharCode(parseInt(digits, 16));
    }
    const plain = Object.hasOwn(ESCAPES, letter) ? ESCAPES[letter] : undefined;
    if (plain === undefined) throw new Refused("A JSON string holds an unknown escape.");
    this.at += 2;
    return plain;
  }

  private number(): number {
    NUMBER.lastIndex = this.at;
    const text = NUMBER.exec(this.text)?.[1];
    if (text === undefined) throw new Refused("The JSON text holds something that is no value of the protocol.");
    const value = Number(text);
    if (!Number.isSafeInteger(value)) throw new Refused("A JSON number is above 2^53-1.");
    this.at += text.length;
    return value;
  }

  private word<T>(text: string, value: T): T {
    if (!this.text.startsWith(text, this.at)) throw new Refused("The JSON text holds an unknown word.");
    this.at += text.length;
    return value;
  }

  private open(depth: number): void {
    if (depth > MAX_DEPTH) throw new Refused("The JSON text is nested deeper than 8 levels.");
    this.at += 1;
  }

  private closes(mark: string): boolean {
    this.space();
    if (this.text[this.at] !== mark) return false;
    this.at += 1;
    return true;
  }

  private expect(mark: string): void {
    this.space();
    if (this.text[this.at] !== mark) throw new Refused(`The JSON text lacks a "${mark}".`);
    this.at += 1;
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at);
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return;
      this.at += 1;
    }
  }
}

function wellFormed(text: string): string {
  for (let i = 0; i < text.length; i += 1) {
    const code = text.charCodeAt(i);
    if (code < 0xd800 || code > 0xdfff) continue;
    const next = text.charCodeAt(i + 1);
    if (code > 0xdbff || !(next >= 0xdc00 && next <= 0xdfff))
      throw new Refused("A JSON string holds a lone surrogate.");
    i += 1;
  }
  return text;
}

import { expect } from "chai";
import fc from "fast-check";

import { fromBase64url, isAddressHex, isBytes32, isSignatureHex, toBase64url } from "../../../offchain/wire/bytes";
import { type JsonValue, readJson, readJsonObject } from "../../../offchain/wire/json";

const read = (text: string | Uint8Array): JsonValue | undefined => {
  const answer = readJson(typeof text === "string" ? Buffer.from(text) : text);
  if (!answer.ok) expect(answer.failure.code).to.equal("request_malformed");
  return answer.ok ? answer.value : undefined;
};
const nested = (open: string, inner: string, close: string, depth: number): string =>
  open.repeat(depth) + inner + close.repeat(depth);

describe("wire/json: the one reader", () => {
  const accepted: Readonly<Record<string, string>> = {
    "an empty object": "{}",
    "an empty array": "[]",
    zero: "0",
    "2^53-1": "9007199254740991",
    "every kind of value": '{"a":[1,"x",true,false,null,{}]}',
    "the four kinds of space": ' \t\r\n{ "a" \n:\t1 , "b":[ 1 , 2 ] }\r\n ',
    "every escape": '"\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\u00E9"',
    "an escaped NUL": '"\\u0000"',
    "an escaped pair of surrogates": '"\\ud83d\\ude00"',
    "a pair of surrogates as UTF-8": '"😀"',
    "a byte order mark inside a string": '"\ufeff"',
    "DEL, U+2028 and a noncharacter": '"\u007f\u2028\uffff"',
    "the same name at different levels": '{"a":{"a":{"a":1}}}',
    "the same name in sister objects": '[{"a":1},{"a":1}]',
    "names that differ in case": '{"a":1,"A":1}',
    "the empty name": '{"":1}',
    "eight objects": nested('{"a":', "1", "}", 8),
    "eight arrays": nested("[", "1", "]", 8),
    "eight levels, mixed": nested('[{"a":', "[[]]", "}]", 3),
    "many eights beside each other": `[${Array(50)
      .fill(nested("[", "", "]", 7))
      .join(",")}]`,
    "a string full of brackets": '"[[[[[[[[[[[["',
  };
  for (const [what, text] of Object.entries(accepted)) {
    it(`reads ${what}`, () => {
      expect(JSON.stringify(read(text))).to.equal(JSON.stringify(JSON.parse(text)));
    });
  }

  const refused: Readonly<Record<string, string | Uint8Array>> = {
    nothing: "",
    "space alone": " \n",
    "a duplicate": '{"a":1,"a":1}',
    "a duplicate with another between": '{"a":1,"b":2,"a":3}',
    "a duplicate after unescaping": '{"a":1,"\\u0061":2}',
    "a duplicate, both escaped differently": '{"\\u002f":1,"\\/":2}',
    "a duplicate of the empty name": '{"":1,"":2}',
    "a duplicate of __proto__": '{"__proto__":1,"__proto__":2}',
    "a duplicate in an unknown member": '{"a":1,"unknown":{"b":[{"c":1,"c":2}]}}',
    "a ninth object": nested('{"a":', "1", "}", 9),
    "a ninth array": nested("[", "", "]", 9),
    "a ninth level, mixed": `[${nested('{"a":[', "[]", "]}", 4)}]`,
    "100,000 open brackets": "[".repeat(100_000),
    "a fraction": "1.0",
    "an exponent": "1e3",
    "an exponent of zero": "0e0",
    "a negative number": "-1",
    "minus zero": "-0",
    "a plus": "+1",
    "a leading zero": "01",
    "two zeros": "00",
    "a bare point": ".5",
    "2^53": "9007199254740992",
    "sixteen nines": "9999999999999999",
    "seventeen digits": "10000000000000000",
    hexadecimal: "0x10",
    NaN: "NaN",
    Infinity: "Infinity",
    undefined: "undefined",
    "a word in capitals": "TRUE",
    "a word cut off": "tru",
    "a word with more behind it": "truex",
    "single quotes": "'a'",
    "a name without quotes": "{a:1}",
    "a number for a name": "{1:1}",
    "a comma at the end of an object": '{"a":1,}',
    "a comma at the end of an array": "[1,]",
    "a comma alone": "[,]",
    "a missing comma": "[1 2]",
    "a missing colon": '{"a" 1}',
    "a comment": "{}/**/",
    "a second value": "{}{}",
    "a NUL behind the value": "{}\0",
    "a closing bracket too many": "{}}",
    "brackets crossed": '{"a":[1}',
    "a string that is not closed": '"a',
    "a string that ends in a backslash": '"a\\',
    "a control character": '"\u0001"',
    "a line break in a string": '"a\nb"',
    "a tab in a string": '"a\tb"',
    "an unknown escape": '"\\x41"',
    "an escape in capitals": '"\\U0041"',
    "a short escape": '"\\u041"',
    "an escape with a sign": '"\\u+041"',
    "a high surrogate alone": '"\\ud83d"',
    "a low surrogate alone": '"\\ude00"',
    "surrogates the wrong way round": '"\\ude00\\ud83d"',
    "a high surrogate before a letter": '"\\ud83da"',
    "a lone surrogate in a name": '{"\\ud83d":1}',
    "a lone surrogate in an unknown member": '{"a":1,"unknown":["\\udfff"]}',
    "a surrogate as UTF-8": Buffer.from("22eda08022", "hex"),
    "an overlong encoding": Buffer.from("22c0af22", "hex"),
    "a byte that is never UTF-8": Buffer.from("22ff22", "hex"),
    "a character cut off": Buffer.from("22e282", "hex"),
    "a code point above U+10FFFF": Buffer.from("22f490808022", "hex"),
    "a byte order mark": "\ufeff{}",
    "a byte order mark behind": "{}\ufeff",
    "UTF-16": Buffer.from("{}", "utf16le"),
    "a non-breaking space": "\u00a0{}",
    "a form feed between values": "[1,\f2]",
  };
  for (const [what, text] of Object.entries(refused)) {
    it(`refuses ${what}`, () => {
      expect(read(text)).to.equal(undefined);
    });
  }

  it("gives objects no prototype, so that no name means anything by itself", () => {
    const value = readJsonObject(Buffer.from('{"__proto__":{"x":1},"constructor":2}'));
    expect(value.ok && Object.getPrototypeOf(value.value)).to.equal(null);
    expect(value.ok && Object.keys(value.value)).to.deep.equal(["__proto__", "constructor"]);
    expect(value.ok && "toString" in value.value).to.equal(false);
  });

  it("asks for an object where one is needed", () => {
    for (const text of ["[]", "1", "null", '"{}"', "true"]) {
      expect(readJsonObject(Buffer.from(text)).ok, text).to.equal(false);
    }
  });

  it("reads back whatever the protocol can say", () => {
    const any = fc.letrec<{ value: unknown }>((tie) => ({
      value: fc.oneof(
        { maxDepth: 7, withCrossShrink: true },
        fc.oneof(fc.maxSafeNat(), fc.boolean(), fc.constant(null), fc.string({ unit: "binary" })),
        fc.array(tie("value"), { maxLength: 4 }),
        fc.dictionary(fc.string({ unit: "binary" }), tie("value"), { maxKeys: 4, noNullPrototype: true }),
      ),
    }));
    fc.assert(
      fc.property(any.value, fc.constantFrom(0, 2), (one, indent) => {
        const text = JSON.stringify(one, undefined, indent);
        expect(JSON.stringify(read(text))).to.equal(JSON.stringify(one));
      }),
      { numRuns: 500 },
    );
  });

  it("accepts nothing that JSON.parse reads otherwise, whatever is changed in a text", () => {
    const base = '{"a":[1,20,{"b":"x\\u0041\\n"}],"cd":true,"e":null,"f":{"g":[0,9007199254740991]}}';
    const letters = '{}[]:,"\\u0019.eE+-ntfa \t\u0001\ufeff'.split("");
    const piece = fc.constantFrom(...letters, "true", "\\ud83d", '"a":1,');
    let passed = 0;
    fc.assert(
      fc.property(fc.nat(base.length), fc.nat(4), piece, (at, cut, put) => {
        const text = base.slice(0, at) + put + base.slice(at + cut);
        const ours = read(text);
        if (ours === undefined) return;
        passed += 1;
        expect(JSON.stringify(JSON.parse(text))).to.equal(JSON.stringify(ours));
      }),
      { numRuns: 5_000 },
    );
    expect(passed).to.be.greaterThan(50);
  });
});

describe("wire/bytes: one text for each value", () => {
  it("base64url: what is written is read", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(fromBase64url(toBase64url(bytes))).to.deep.equal(Buffer.from(bytes));
      }),
    );
  });

  const other: Readonly<Record<string, unknown>> = {
    padding: "AA==",
    "one character": "A",
    "five characters": "AAAAA",
    "bits behind the last byte": "AB",
    "bits behind the last two bytes": "AAB",
    "the other alphabet": "+/+/",
    "a line break": "AAAA\nAAAA",
    "a space": " AAAA",
    "a NUL": "AAAA\0",
    "a letter beyond ASCII": "AAÄA",
    "a full-width letter": "ＡAAA",
    "no text": 1,
    nothing: undefined,
  };
  for (const [what, text] of Object.entries(other)) {
    it(`base64url: refuses ${what}`, () => expect(fromBase64url(text)).to.equal(undefined));
  }

  it("base64url: of all texts of two and three characters, reads those that it writes", () => {
    const letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".split("");
    const count = (texts: readonly string[]): number => texts.filter((one) => fromBase64url(one) !== undefined).length;
    const two = letters.flatMap((a) => letters.map((b) => a + b));
    expect(count(two)).to.equal(256);
    expect(count(letters.flatMap((a) => two.map((rest) => a + rest)))).to.equal(65_536);
  });

  it("hex: lowercase, 0x, the exact length", () => {
    const forms: readonly [(value: unknown) => boolean, number][] = [
      [isBytes32, 64],
      [isAddressHex, 40],
      [isSignatureHex, 130],
    ];
    for (const [is, digits] of forms) {
      const good = `0x${"a1".repeat(digits / 2)}`;
      expect(is(good)).to.equal(true);
      for (const bad of [good.toUpperCase(), good.slice(2), `0X${good.slice(2)}`, `${good}00`, good.slice(0, -2)]) {
        expect(is(bad), bad).to.equal(false);
      }
      for (const bad of [`${good}\n`, ` ${good}`, good.replace("a", "g"), good.replace("a", "A"), "0x", "", null, 1]) {
        expect(is(bad), String(bad)).to.equal(false);
      }
    }
  });
});

import { expect } from "chai";
import fc from "fast-check";

import { redactorOf } from "../../../offchain/sidecar/redactor";
import { CREDENTIAL } from "../../helpers/sidecar";

const URL_FORM = new URLSearchParams({ k: CREDENTIAL }).toString().slice(2);

/** Text around a secret, in each encoding that the sidecar promises to recognise. */
const ENCODINGS: Readonly<Record<string, string>> = {
  "as it stands": CREDENTIAL,
  "JSON string": JSON.stringify(CREDENTIAL).slice(1, -1),
  "JSON string with \\/": JSON.stringify(CREDENTIAL).slice(1, -1).replaceAll("/", "\\/"),
  "JSON, every character escaped": Array.from(
    CREDENTIAL,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, "0")}`,
  ).join(""),
  "JSON, upper-case escapes": Array.from(
    CREDENTIAL,
    (one) => `\\u${one.charCodeAt(0).toString(16).toUpperCase().padStart(4, "0")}`,
  ).join(""),
  encodeURIComponent: encodeURIComponent(CREDENTIAL),
  "URL-encoded in lower case": encodeURIComponent(CREDENTIAL).replace(/%../g, (one) => one.toLowerCase()),
  form: URL_FORM,
  "URL-encoded, every character": Array.from(CREDENTIAL, (one) => `%${one.charCodeAt(0).toString(16)}`).join(""),
};

/** base64 of a text that holds the secret with `lead` bytes before it: what is inside must go. */
const base64Of = (lead: number, encoding: "base64" | "base64url"): string =>
  Buffer.from(`${"p".repeat(lead)}${CREDENTIAL} and what follows`).toString(encoding);

function streamed(secret: string, chunks: readonly Buffer[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const stream = redactorOf(secret).stream();
    const out: Buffer[] = [];
    stream.on("data", (chunk: Buffer) => out.push(chunk));
    stream.on("error", reject).on("end", () => {
      resolve(Buffer.concat(out).toString("latin1"));
    });
    for (const chunk of chunks) stream.write(chunk);
    stream.end();
  });
}

describe("redactor", () => {
  for (const [name, encoded] of Object.entries(ENCODINGS)) {
    it(`takes out the secret: ${name}; split at every position, and byte by byte`, async () => {
      const text = Buffer.from(`before ${encoded} after`, "latin1");
      for (let at = 0; at <= text.length; at += 1) {
        expect(await streamed(CREDENTIAL, [text.subarray(0, at), text.subarray(at)])).to.equal(
          "before [redacted] after",
        );
      }
      expect(
        await streamed(
          CREDENTIAL,
          Array.from(text, (byte) => Buffer.of(byte)),
        ),
      ).to.equal("before [redacted] after");
      expect(redactorOf(CREDENTIAL).text(text.toString("latin1"))).to.equal("before [redacted] after");
    });
  }

  for (const encoding of ["base64", "base64url"] as const) {
    for (const lead of [0, 1, 2, 3, 4, 5]) {
      it(`takes out the secret: ${encoding} with ${String(lead)} bytes before it`, async () => {
        const text = Buffer.from(base64Of(lead, encoding));
        for (let at = 0; at <= text.length; at += 1) {
          const clean = await streamed(CREDENTIAL, [text.subarray(0, at), text.subarray(at)]);
          expect(clean).to.include("[redacted]");
          // what is left decodes to at most one character of the secret on either side
          const [head = "", tail = ""] = clean.split("[redacted]");
          expect(Buffer.from(head, encoding).toString()).to.match(/^p*s?$/);
          expect(Buffer.from(tail, encoding).toString()).not.to.include(CREDENTIAL.slice(-4));
        }
      });
    }
  }

  it("takes out base64 inside a JSON string and inside a URL", async () => {
    const text = Buffer.from(CREDENTIAL).toString("base64");
    for (const one of [text.replaceAll("/", "\\/"), encodeURIComponent(text)]) {
      expect(await streamed(CREDENTIAL, [Buffer.from(one)])).to.match(/^\[redacted\].{0,8}$/);
    }
  });

  it("takes out every one of many, next to each other", async () => {
    expect(await streamed("sk-12345678", [Buffer.from("sk-12345678sk-12345678 sk-1234567")])).to.equal(
      "[redacted][redacted] sk-1234567",
    );
  });

  it("finds a secret after a false beginning of itself", async () => {
    const secret = "aaab-aaab-aaac";
    const text = Buffer.from(`aaab-aaab-${secret}`);
    for (let at = 0; at <= text.length; at += 1) {
      expect(await streamed(secret, [text.subarray(0, at), text.subarray(at)])).to.equal("aaab-aaab-[redacted]");
    }
  });

  it("leaves every other byte as it is, whatever the chunks", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(fc.uint8Array({ maxLength: 64 }), { maxLength: 12 }), async (chunks) => {
        const buffers = chunks.map((one) => Buffer.from(one));
        expect(await streamed("a secret that is not there", buffers)).to.equal(
          Buffer.concat(buffers).toString("latin1"),
        );
      }),
    );
  });

  it("takes out a random secret in random chunks, and what remains is the text around it", async () => {
    const ascii = fc.string({ minLength: 8, maxLength: 24, unit: "binary-ascii" }).map((one) =>
      // printable ASCII, as a header's value is
      one.replace(/[^\x20-\x7e]/g, "x"),
    );
    const spell = fc.constantFrom(
      (one: string) => one,
      (one: string) => JSON.stringify(one).slice(1, -1),
      (one: string) => encodeURIComponent(one),
    );
    await fc.assert(
      fc.asyncProperty(ascii, spell, fc.array(fc.nat(9), { maxLength: 30 }), async (secret, encode, cuts) => {
        const text = Buffer.from(`<<\n${encode(secret)}\n>>`, "latin1");
        const chunks: Buffer[] = [];
        let at = 0;
        for (const cut of cuts) {
          chunks.push(text.subarray(at, at + cut));
          at += cut;
        }
        chunks.push(text.subarray(at));
        expect(await streamed(secret, chunks)).to.equal("<<\n[redacted]\n>>");
      }),
    );
  });

  it("waits behind a match whose last character may go on: found by the test above", async () => {
    for (const secret of ["aaaaaaaa%", "aaaaaaaa/", 'aaaaaaaa"', "aaaaaaaa\\"]) {
      const encoded = encodeURIComponent(secret);
      for (let cut = 0; cut <= encoded.length; cut += 1) {
        const chunks = [encoded.slice(0, cut), `${encoded.slice(cut)}>>`].map((one) => Buffer.from(one));
        expect(await streamed(secret, chunks)).to.equal("[redacted]>>");
      }
    }
  });

  it("holds back nothing but a possible beginning of the secret", () => {
    const stream = redactorOf("sk-12345678").stream();
    stream.write(Buffer.from("data: one\n\n"));
    expect((stream.read() as Buffer).toString()).to.equal("data: one\n\n");
    stream.write(Buffer.from("data: sk-123"));
    expect((stream.read() as Buffer).toString()).to.equal("data: ");
    stream.write(Buffer.from("99\n\n"));
    expect((stream.read() as Buffer).toString()).to.equal("sk-12399\n\n");
  });

  it("refuses an empty secret, which is everywhere", () => {
    expect(() => redactorOf("")).to.throw(RangeError);
  });
});

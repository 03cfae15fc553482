import { writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { readServices } from "../../../offchain/sidecar/services";
import { temporaryFolders } from "../../helpers/temporary-folder";

const folders = temporaryFolders();
const GOOD = { upstream: "https://api.example.org/v1" };

describe("sidecar: file of services", () => {
  after(() => {
    folders.removeAll();
  });

  function read(content: unknown): ReturnType<typeof readServices> {
    const file = join(folders.make(), "services.json");
    writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
    return readServices(file);
  }

  it("reads an entry, with the usual place for the credential", () => {
    const one = read({ openrouter: GOOD }).get("openrouter");
    expect(one).to.deep.include({
      service: "openrouter",
      header: "authorization",
      format: "Bearer {credential}",
      ca: undefined,
      allowPrivate: false,
    });
    expect(one?.upstream.href).to.equal("https://api.example.org/v1");
  });

  it("reads http where the entry allows a private address, and a place of its own", () => {
    const one = read({
      "a.b:c_d-e": { upstream: "http://127.0.0.1:1/", allow_private: true, header: "x-key", format: "k={credential}" },
    }).get("a.b:c_d-e");
    expect(one).to.deep.include({ header: "x-key", format: "k={credential}", allowPrivate: true });
  });

  const REFUSED: Readonly<Record<string, unknown>> = {
    "no JSON": "{",
    "no object": [],
    "a member twice": '{"a":{"upstream":"https://a.example"},"a":{"upstream":"https://b.example"}}',
    "no service name": { "../etc": GOOD },
    "an upper-case service": { OpenRouter: GOOD },
    "an entry that is none": { a: "https://api.example.org" },
    "no upstream": { a: {} },
    "an upstream that is no URL": { a: { upstream: "api.example.org" } },
    http: { a: { upstream: "http://api.example.org" } },
    "http with allow_private as a text": { a: { upstream: "http://api.example.org", allow_private: "true" } },
    "https with allow_private as a text": { a: { ...GOOD, allow_private: "false" } },
    file: { a: { upstream: "file:///etc/passwd", allow_private: true } },
    "a user in the upstream": { a: { upstream: "https://user@api.example.org" } },
    "a password in the upstream": { a: { upstream: "https://:pass@api.example.org" } },
    "a query in the upstream": { a: { upstream: "https://api.example.org/?a=1" } },
    "a fragment in the upstream": { a: { upstream: "https://api.example.org/#a" } },
    "an upper-case header": { a: { ...GOOD, header: "Authorization" } },
    "a header with a line break": { a: { ...GOOD, header: "x-a\r\nx-b" } },
    "the header Host": { a: { ...GOOD, header: "host" } },
    "the header Content-Length": { a: { ...GOOD, header: "content-length" } },
    "the header Transfer-Encoding": { a: { ...GOOD, header: "transfer-encoding" } },
    "the header Connection": { a: { ...GOOD, header: "connection" } },
    "a header of proxies": { a: { ...GOOD, header: "proxy-authorization" } },
    "a format without the credential": { a: { ...GOOD, format: "Bearer" } },
    "a format with a line break": { a: { ...GOOD, format: "Bearer {credential}\r\nx-b: 1" } },
    "roots that are no path": { a: { ...GOOD, ca_file: 1 } },
    "roots that are not there": { a: { ...GOOD, ca_file: "/nowhere/ca.pem" } },
  };

  for (const [name, content] of Object.entries(REFUSED)) {
    it(`refuses ${name}`, () => {
      expect(() => read(content)).to.throw();
    });
  }

  it("names the entry that is wrong, and not the good one beside it", () => {
    expect(() => read({ good: GOOD, bad: { upstream: 1 } })).to.throw(/: bad: /);
  });
});

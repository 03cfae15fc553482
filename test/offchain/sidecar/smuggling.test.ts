import { expect } from "chai";

import { CREDENTIAL, type LocalSidecar, call, entry, localSidecar, raw } from "../../helpers/sidecar";
import { type TestServer, testServer } from "../../helpers/upstream";

const INNER = "GET /smuggled HTTP/1.1\r\nHost: upstream\r\n\r\n";
const CHUNKED = `${INNER.length.toString(16)}\r\n${INNER}\r\n0\r\n\r\n`;

/** Bytes of a request without its end, and the status of the only answer; 0 where the connection just ends. */
const REFUSED: Readonly<Record<string, readonly [string, number]>> = {
  "Content-Length and Transfer-Encoding": [
    `POST /s/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n${CHUNKED}`,
    400,
  ],
  "two Content-Lengths": [
    `POST /s/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: ${INNER.length}\r\n\r\n${INNER}`,
    400,
  ],
  "a list of Content-Lengths": [`POST /s/a HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 5\r\n\r\nabcde`, 400],
  "a signed Content-Length": [`POST /s/a HTTP/1.1\r\nHost: x\r\nContent-Length: +4\r\n\r\nabcd`, 400],
  "another transfer coding": [
    `POST /s/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`,
    400,
  ],
  "chunked that is not the last": [
    `POST /s/a HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n${CHUNKED}`,
    400,
  ],
  "an obsolete line folding": [`GET /s/a HTTP/1.1\r\nHost: x\r\nX-A: 1\r\n folded\r\nConnection: close\r\n\r\n`, 400],
  "bare LF between headers": [`GET /s/a HTTP/1.1\nHost: x\nConnection: close\n\n`, 400],
  "space before the colon": [`GET /s/a HTTP/1.1\r\nHost: x\r\nContent-Length : 4\r\n\r\nabcd`, 400],
  "NUL in a header": ["GET /s/a HTTP/1.1\r\nHost: x\r\nX-A: 1\0\r\n\r\n", 400],
  "NUL in the path": ["GET /s/a\0 HTTP/1.1\r\nHost: x\r\n\r\n", 400],
  "two Hosts": ["GET /s/a HTTP/1.1\r\nHost: x\r\nHost: y\r\nConnection: close\r\n\r\n", 400],
  "no Host": ["GET /s/a HTTP/1.1\r\nConnection: close\r\n\r\n", 400],
  "absolute-form": ["GET http://evil.example/s/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404],
  "absolute-form of the service": ["GET http://s/a HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n", 404],
  "an authority as the path": ["GET //s/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404],
  "userinfo behind the service": ["GET /s@evil.example/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404],
  "a port behind the service": ["GET /s:80/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404],
  "an escape in the service": ["GET /%73/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404],
  "the service in upper case": ["GET /S/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404],
  "an inherited name as the service": ["GET /constructor/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404],
  "asterisk-form": ["OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404],
  TRACE: ["TRACE /s/a HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 404],
  CONNECT: ["CONNECT evil.example:443 HTTP/1.1\r\nHost: evil.example\r\n\r\n", 0],
  "an upgrade": ["GET /s/a HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", 404],
  "HTTP/2": ["PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400],
};

/** Paths that some server could read as another path than the one under the prefix. */
const PATHS = [
  "/s/../admin", "/s/..", "/s/a/../../admin", "/s/.", "/s/./a", "/s/a/..;x=1/admin", "/s/.;/a",
  "/s/..%2fadmin", "/s/..%2Fadmin", "/s/%2e%2e/admin", "/s/.%2e/admin", "/s/%2E%2E/admin", "/s/a%2fb", "/s/a%5cb",
  "/s/..\\admin", "/s/%252e%252e/admin", "/s/a%25252fb", "/s/a%00", "/s/a%0d%0aX-Evil:%201", "/s/a%7f",
  "/s/a#/../b", "/s/a\u00e4", "/s/a?b#c",
]; // prettier-ignore

describe("sidecar: requests that two readers could read differently", () => {
  let upstream: TestServer;
  let sidecar: LocalSidecar;

  before(async () => {
    upstream = await testServer();
    sidecar = await localSidecar([entry(`${upstream.url}/v1`, { service: "s" })]);
  });
  afterEach(() => {
    upstream.received.length = 0;
  });
  after(async () => {
    await sidecar.stop();
    await upstream.stop();
  });

  for (const [name, [bytes, status]] of Object.entries(REFUSED)) {
    it(`refuses ${name}; the upstream hears nothing`, async () => {
      const answer = await raw(sidecar.port, bytes);
      expect(Number(/^HTTP\/1\.1 ([0-9]{3})/.exec(answer)?.[1] ?? 0)).to.equal(status);
      expect(answer.match(/^HTTP\/1\.1 /gm) ?? []).to.have.length(status === 0 ? 0 : 1);
      expect(upstream.received).to.have.length(0);
    });
  }

  for (const path of PATHS) {
    it(`refuses the path ${path}; the upstream hears nothing`, async () => {
      const answer = await raw(sidecar.port, `GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
      expect(answer).to.match(/^HTTP\/1\.1 400 /);
      expect(upstream.received).to.have.length(0);
    });
  }

  it("a plain path keeps its bytes, under the prefix", async () => {
    const target = "/s/a.b/..c/%7Euser/d;e=f/%C3%A4//g?h=%2e%2e%2f&i=../..";
    const answer = await raw(sidecar.port, `GET ${target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`);
    expect(answer).to.match(/^HTTP\/1\.1 200 /);
    expect(upstream.received.map((one) => one.url)).to.deep.equal([target.replace("/s", "/v1")]);
  });

  for (const [name, path, sent] of [
    ["nothing", "/s", "/v1/"],
    ["a slash", "/s/", "/v1/"],
    ["a query", "/s?a=1", "/v1/?a=1"],
  ] as const) {
    it(`the service and ${name} behind it is the prefix itself`, async () => {
      expect((await call({ port: sidecar.port, path })).status).to.equal(200);
      expect(upstream.received.map((one) => one.url)).to.deep.equal([sent]);
    });
  }

  for (const method of ["GET", "HEAD", "DELETE", "OPTIONS", "POST", "PUT", "PATCH", "QUERY"]) {
    for (const [framing, head, body] of [
      ["chunked", "Transfer-Encoding: chunked\r\n", CHUNKED],
      ["Content-Length", `Content-Length: ${String(INNER.length)}\r\n`, INNER],
      ["Content-Length named by Connection", `Content-Length: ${String(INNER.length)}\r\n`, INNER],
      ["chunked named by Connection", "Transfer-Encoding: chunked\r\n", CHUNKED],
    ] as const) {
      it(`the body of ${method} stays a body (${framing})`, async () => {
        const named = framing.includes("named") ? "close, content-length, transfer-encoding" : "close";
        const bytes = `${method} /s/a HTTP/1.1\r\nHost: x\r\nConnection: ${named}\r\n${head}\r\n${body}`;
        expect(await raw(sidecar.port, bytes)).to.match(/^HTTP\/1\.1 200 /);
        // a request behind it: what was smuggled would be answered before it
        expect((await call({ port: sidecar.port, path: "/s/after" })).status).to.equal(200);
        expect(upstream.received.map((one) => [one.method, one.url, one.body])).to.deep.equal([
          [method, "/v1/a", INNER],
          ["GET", "/v1/after", ""],
        ]);
      });
    }
  }

  it("two requests on one connection are two requests, each with the credential", async () => {
    const one = "GET /s/1 HTTP/1.1\r\nHost: x\r\n\r\n";
    const two = "GET /s/2 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    const answers = await raw(sidecar.port, one + two);
    expect(answers.match(/^HTTP\/1\.1 200 /gm)).to.have.length(2);
    expect(upstream.received.map((got) => got.header("authorization")[0])).to.deep.equal([
      `Bearer ${CREDENTIAL}`,
      `Bearer ${CREDENTIAL}`,
    ]);
  });
});

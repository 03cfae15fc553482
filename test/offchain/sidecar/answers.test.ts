import { randomBytes } from "node:crypto";
import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";

import { expect } from "chai";

import { refuse, ok } from "../../../offchain/wire/result";
import { CREDENTIAL, type LocalSidecar, call, entry, localSidecar } from "../../helpers/sidecar";
import { type Serve, signal, testServer } from "../../helpers/upstream";

/** What an upstream may do with a credential that it was given. */
const ECHOES: Readonly<Record<string, string>> = {
  "as it stands": CREDENTIAL,
  "as JSON": JSON.stringify({ error: `bad key ${CREDENTIAL}` }),
  "as a query": new URLSearchParams({ key: CREDENTIAL }).toString(),
  "as base64": Buffer.from(CREDENTIAL).toString("base64"),
  "as base64url": Buffer.from(`x:${CREDENTIAL}`).toString("base64url"),
};

/** No spelling of the credential, nor ten characters of its base64, is left. */
function expectClean(text: string): void {
  expect(text).to.include("[redacted]");
  for (const lead of [0, 1, 2]) {
    const inside = Buffer.from("x".repeat(lead) + CREDENTIAL)
      .toString("base64")
      .slice(4, 14);
    expect(text).not.to.include(inside);
  }
  expect(text).not.to.include(CREDENTIAL.slice(0, 10)).and.not.to.include(encodeURIComponent(CREDENTIAL).slice(0, 10));
}

describe("sidecar: answers without the credential", () => {
  let upstream: Awaited<ReturnType<typeof testServer>>;
  let sidecar: LocalSidecar;

  before(async () => {
    upstream = await testServer();
    sidecar = await localSidecar([entry(upstream.url, { service: "s" })]);
  });
  after(async () => {
    await sidecar.stop();
    await upstream.stop();
  });

  for (const status of [200, 400, 401, 500]) {
    for (const [how, text] of Object.entries(ECHOES)) {
      it(`an echo in a body of ${String(status)}, ${how}`, async () => {
        upstream.use((_request, response) => response.writeHead(status).end(`<${text}>`));
        const answer = await call({ port: sidecar.port, path: "/s/a" });
        expect(answer.status).to.equal(status);
        expectClean(answer.body);
      });
    }
  }

  it("an echo in header values, cookies and the challenge", async () => {
    upstream.use((_request, response) => {
      response.writeHead(401, {
        "x-echo": `Bearer ${CREDENTIAL}`,
        "www-authenticate": `Bearer error="${encodeURIComponent(CREDENTIAL)}"`,
        "set-cookie": [`k=${Buffer.from(CREDENTIAL).toString("base64")}`, "b=2"],
      });
      response.end();
    });
    const { headers } = await call({ port: sidecar.port, path: "/s/a" });
    expectClean(String(headers["x-echo"]));
    expectClean(String(headers["www-authenticate"]));
    expectClean(String(headers["set-cookie"]?.[0]));
    expect(headers["set-cookie"]?.[1]).to.equal("b=2");
  });

  it("an echo in the reason phrase and in trailers does not come through", async () => {
    upstream.use((_request, response) => {
      response.writeHead(200, `OK ${CREDENTIAL}`, { trailer: "x-sum" });
      response.write("body");
      response.addTrailers({ "x-sum": CREDENTIAL });
      response.end();
    });
    const answer = await call({ port: sidecar.port, path: "/s/a" });
    expect(answer.body).to.equal("body");
    expect(JSON.stringify(answer)).not.to.include("sk-live");
  });

  it("an echo written one byte at a time", async () => {
    upstream.use((_request, response) => {
      const bytes = Buffer.from(`<${CREDENTIAL}>`);
      const write = (at: number): void => {
        if (at === bytes.length) response.end();
        else response.write(bytes.subarray(at, at + 1), () => setImmediate(write, at + 1));
      };
      write(0);
    });
    expect((await call({ port: sidecar.port, path: "/s/a" })).body).to.equal("<[redacted]>");
  });

  for (const [coding, compress] of Object.entries({
    gzip: gzipSync,
    "x-gzip": gzipSync,
    GZIP: gzipSync,
    deflate: deflateSync,
    br: brotliCompressSync,
  })) {
    it(`an answer in ${coding} that nobody asked for is decoded, then searched`, async () => {
      const noise = randomBytes(100_000).toString("hex");
      upstream.use((_request, response) => {
        response.writeHead(200, { "content-encoding": coding }).end(compress(Buffer.from(`${noise}${CREDENTIAL}`)));
      });
      const answer = await call({ port: sidecar.port, path: "/s/a" });
      expect(answer.headers).not.to.have.property("content-encoding");
      expect(answer.body).to.equal(`${noise}[redacted]`);
    });
  }

  for (const coding of ["zstd", "compress", "gzip, br", "constructor"]) {
    it(`an answer in ${coding} cannot be searched and is refused`, async () => {
      upstream.use((_request, response) => {
        response.writeHead(200, { "content-encoding": coding }).end(CREDENTIAL);
      });
      const answer = await call({ port: sidecar.port, path: "/s/a" });
      expect([answer.status, answer.code]).to.deep.equal([503, "upstream_unavailable"]);
      expect(JSON.stringify(answer)).not.to.include("sk-live");
    });
  }

  it("a compressed answer that is cut is cut for the caller too", async () => {
    upstream.use((_request, response) => {
      const bytes = gzipSync(randomBytes(10_000));
      response.writeHead(200, { "content-encoding": "gzip" }).end(bytes.subarray(0, 5_000));
    });
    const error = await call({ port: sidecar.port, path: "/s/a" }).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(error).to.be.an("error");
  });

  for (const [name, method, status] of [
    ["HEAD", "HEAD", 200],
    ["204", "GET", 204],
    ["304", "GET", 304],
  ] as const) {
    it(`an answer without a body may name a coding: ${name}`, async () => {
      upstream.use((_request, response) => response.writeHead(status, { "content-encoding": "gzip" }).end());
      const answer = await call({ port: sidecar.port, path: "/s/a", method });
      expect([answer.status, answer.body]).to.deep.equal([status, ""]);
    });
  }

  it("the search goes on when the credential is dropped while the call is under way", async () => {
    const asked = signal();
    const dropped = signal();
    const serve: Serve = (_request, response) => {
      asked.happen();
      void dropped.happened.then(() => response.end(`<${CREDENTIAL}>`));
    };
    upstream.use(serve);
    const answering = call({ port: sidecar.port, path: "/s/a" });
    await asked.happened;
    sidecar.cache.drop("s");
    dropped.happen();
    expect((await answering).body).to.equal("<[redacted]>");
  });

  it("a credential that is dropped while the chain is asked is still whole for the call that asked", async () => {
    const asking = signal();
    const answer = signal();
    const one = await localSidecar([entry(upstream.url, { service: "s" })], {
      async stillAllowed() {
        asking.happen();
        await answer.happened;
        return ok(undefined);
      },
    });
    try {
      upstream.use((request, response) =>
        response.end(request.headers.authorization === `Bearer ${CREDENTIAL}` ? "yes" : "no"),
      );
      expect((await call({ port: one.port, path: "/s/cold" })).body).to.equal("yes");
      const warm = call({ port: one.port, path: "/s/warm" });
      await asking.happened;
      one.cache.drop("s");
      answer.happen();
      expect((await warm).body).to.equal("yes");
    } finally {
      await one.stop();
    }
  });

  it("a problem document of the sidecar names neither credential nor cause", async () => {
    const one = await localSidecar([entry(upstream.url, { service: "s" })], {
      load: () => Promise.reject(new Error(`cannot read ${CREDENTIAL}`)),
    });
    const two = await localSidecar([entry(upstream.url, { service: "s" })], {
      load: () =>
        Promise.resolve(refuse("object_corrupt", "No device signed a store of this content under this name.")),
    });
    try {
      upstream.received.length = 0;
      const broken = await call({ port: one.port, path: "/s/a" });
      expect([broken.status, broken.code]).to.deep.equal([500, "internal_error"]);
      expect(JSON.stringify(broken)).not.to.include("sk-live");
      expect(broken.headers["content-type"]).to.equal("application/problem+json");
      const corrupt = await call({ port: two.port, path: "/s/a" });
      expect([corrupt.status, corrupt.code]).to.deep.equal([500, "object_corrupt"]);
      expect(upstream.received).to.have.length(0);
    } finally {
      await one.stop();
      await two.stop();
    }
  });
});

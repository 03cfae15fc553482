import { expect } from "chai";

import type { UpstreamEntry } from "../../../offchain/sidecar/services";
import { CREDENTIAL, type LocalSidecar, call, entry, localSidecar } from "../../helpers/sidecar";
import { type TestServer, testServer } from "../../helpers/upstream";

/** What a caller may put in the credential's place, as headers in turns of name and value. */
const IN_ITS_PLACE: readonly (readonly string[])[] = [
  ["Authorization", "Bearer mine"],
  ["AUTHORIZATION", "Bearer mine"],
  ["authorization", "Bearer one", "Authorization", "Bearer two"],
  ["authorization", "", "aUTHORIZATION", "Basic bWluZQ=="],
  ["Connection", "authorization, close", "Authorization", "Bearer mine"],
];

const NOT_PASSED_ON: Readonly<Record<string, string>> = {
  Connection: "close, X-Named",
  "X-Named": "of this connection",
  "Keep-Alive": "timeout=5",
  TE: "trailers",
  Trailer: "X-Sum",
  "Proxy-Connection": "keep-alive",
  "Proxy-Authorization": "Basic bWluZQ==",
  "Proxy-Authenticate": "Basic",
  Proxy: "http://evil.example:3128",
  "HTTP2-Settings": "AAMAAABk",
  Forwarded: "for=10.0.0.1;host=evil.example",
  Via: "1.1 evil",
  "X-Forwarded-For": "10.0.0.1",
  "X-Forwarded-Host": "evil.example",
  "X-Forwarded-Proto": "http",
  "X-Forwarded-Port": "1",
  "X-Forwarded-Prefix": "/evil",
  "X-Real-IP": "10.0.0.1",
  "X-Original-URL": "/admin",
  "X-Rewrite-URL": "/admin",
  Range: "bytes=0-0",
  "If-Range": '"etag"',
  "AgentKeys-Token": "mine",
  Authorization: "Bearer mine",
  "X-API-Key": "mine",
  X_Api_Key: "mine",
  "API-Key": "mine",
  "X-Goog-Api-Key": "mine",
};

describe("sidecar: where the credential goes", () => {
  let upstream: TestServer & { use: Awaited<ReturnType<typeof testServer>>["use"] };
  const started: LocalSidecar[] = [];

  before(async () => {
    upstream = await testServer();
  });
  afterEach(async () => {
    upstream.received.length = 0;
    upstream.use();
    await Promise.all(started.splice(0).map((one) => one.stop()));
  });
  after(() => upstream.stop());

  async function sidecar(change: Partial<UpstreamEntry> = {}, credential = CREDENTIAL): Promise<LocalSidecar> {
    const one = await localSidecar([entry(`${upstream.url}/v1`, change)], { credential });
    started.push(one);
    return one;
  }

  for (const headers of IN_ITS_PLACE) {
    it(`replaces what the caller put there: ${headers.join(" ")}`, async () => {
      const { port } = await sidecar();
      const answer = await call({ port, path: "/openrouter/chat?q=1", headers: ["Host", "x", ...headers] });
      expect(answer.status).to.equal(200);
      const [got] = upstream.received;
      expect(got?.url).to.equal("/v1/chat?q=1");
      expect(got?.header("authorization")).to.deep.equal([`Bearer ${CREDENTIAL}`]);
      expect(got?.header("host")).to.deep.equal([new URL(upstream.url).host]);
    });
  }

  it("uses the entry's header and format, and keeps the caller's Authorization away from it", async () => {
    const { port } = await sidecar({ header: "x-service-key", format: "key={credential}" }, "$&-$1-{credential}");
    const headers = { Authorization: "Bearer mine", "X-Service-Key": "mine", X_Service_Key: "mine" };
    expect((await call({ port, path: "/openrouter/a", headers })).status).to.equal(200);
    const [got] = upstream.received;
    expect(got?.header("x-service-key")).to.deep.equal(["key=$&-$1-{credential}"]);
    expect(got?.header("x_service_key")).to.deep.equal([]);
    expect(got?.header("authorization")).to.deep.equal([]);
  });

  for (const [name, value] of Object.entries(NOT_PASSED_ON)) {
    it(`does not pass on ${name}`, async () => {
      const { port } = await sidecar({ header: "x-service-key" });
      const headers = ["Host", "x", "X-Kept", "yes", name, value];
      if (name === "X-Named") headers.push("Connection", "x-named");
      // a client announces trailers only with chunked bodies
      if (name === "Trailer") headers.push("Transfer-Encoding", "chunked");
      const answer = await call({ port, path: "/openrouter/a", headers });
      expect(answer.status).to.equal(200);
      const [got] = upstream.received;
      expect(got?.header("x-kept")).to.deep.equal(["yes"]);
      expect(got?.header(name.toLowerCase())).not.to.include(value);
    });
  }

  it("passes on what is the caller's own, duplicates as a list, and asks for identity", async () => {
    const { port } = await sidecar();
    const headers = ["Host", "x", "Accept", "text/event-stream", "X-Two", "1", "X-Two", "2", "Accept-Encoding", "gzip"];
    await call({ port, path: "/openrouter/a", method: "POST", headers }, "body");
    const [got] = upstream.received;
    expect(got?.method).to.equal("POST");
    expect(got?.body).to.equal("body");
    expect(got?.header("accept")).to.deep.equal(["text/event-stream"]);
    expect(got?.header("x-two").join(", ")).to.equal("1, 2");
    expect(got?.header("accept-encoding")).to.deep.equal(["identity"]);
  });

  it("strips the same from answers, and keeps several cookies", async () => {
    upstream.use((_request, response) => {
      response.writeHead(200, [
        ...["Connection", "close, X-Named", "X-Named", "1", "Keep-Alive", "timeout=9", "Proxy-Authenticate", "Basic"],
        ...["Via", "1.1 proxy", "X-Forwarded-Host", "inside", "Alt-Svc", 'h3=":443"', "Upgrade", "h2c"],
        ...["X-Kept", "yes", "Set-Cookie", "a=1", "Set-Cookie", "b=2"],
      ]);
      response.end("done");
    });
    const { port } = await sidecar();
    const answer = await call({ port, path: "/openrouter/a", headers: { Connection: "keep-alive" } });
    expect(answer.status).to.equal(200);
    expect(answer.headers).to.include({ "x-kept": "yes" });
    expect(answer.headers["set-cookie"]).to.deep.equal(["a=1", "b=2"]);
    expect(answer.headers).not.to.have.any.keys(
      ...["x-named", "proxy-authenticate", "via", "x-forwarded-host", "alt-svc", "upgrade"],
    );
    expect(answer.headers["keep-alive"]).not.to.equal("timeout=9");
  });

  for (const [name, credential] of Object.entries({
    "is empty": "",
    "ends its line": "sk-1234\n",
    "adds a header": "sk-1234\r\nX-Evil: 1",
    "holds NUL": "sk-1234\0",
    "is not ASCII": "sk-1234-ß",
  })) {
    it(`refuses a stored credential that ${name}, and asks the upstream nothing`, async () => {
      const { port } = await sidecar({}, credential);
      const answer = await call({ port, path: "/openrouter/a" });
      expect([answer.status, answer.code]).to.deep.equal([422, "payload_invalid"]);
      expect(upstream.received).to.have.length(0);
    });
  }

  it("does not follow a redirect; the caller sees it without the credential", async () => {
    const other = await testServer();
    try {
      for (const status of [301, 302, 303, 307, 308]) {
        const location = `${other.url}/take?key=${encodeURIComponent(CREDENTIAL)}`;
        upstream.use((_request, response) => response.writeHead(status, { location }).end());
        const { port } = await sidecar();
        const answer = await call({ port, path: "/openrouter/a", method: "POST" }, "{}");
        expect(answer.status).to.equal(status);
        expect(answer.headers.location).to.equal(`${other.url}/take?key=[redacted]`);
      }
      expect(other.received).to.have.length(0);
    } finally {
      await other.stop();
    }
  });
});

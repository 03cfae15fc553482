import { once } from "node:events";
import { Agent, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";

import { expect } from "chai";

import type { Route } from "../../../offchain/http/routes";
import { ok } from "../../../offchain/wire/result";
import { testFace } from "../../helpers/face";
import { exchange, exchangeBytes } from "../../helpers/raw-http";
import { expectProblem } from "../../helpers/route-tables";
import { call, readAnswer } from "../../helpers/sidecar";
import { signal, until } from "../../helpers/upstream";

/** Longer than any test: an end that comes before it came by itself. */
const NEVER_MS = 600_000;

/** A route that answers when it is told to. */
function waiting() {
  const asked = signal();
  const answer = signal();
  const route: Route = {
    method: "GET",
    path: "/wait",
    limit: 0,
    async handle() {
      asked.happen();
      await answer.happened;
      return ok({ waited: true });
    },
  };
  return { route, asked, answer };
}

describe("http: server", () => {
  it("on close a request in flight ends and is answered; its kept-alive connection goes with it", async () => {
    const { route, asked, answer } = waiting();
    const face = await testFace([route], { drainMs: NEVER_MS });
    const agent = new Agent({ keepAlive: true });
    const calling = request(`${face.url}/wait`, { agent });
    calling.end();
    await asked.happened;
    const closed = face.close();
    answer.happen();
    const [response] = (await once(calling, "response")) as [IncomingMessage];
    expect((await readAnswer(response)).body).to.equal('{"waited":true}');
    await closed;
    agent.destroy();
  });

  it("on close idle connections go, and new ones are refused", async () => {
    const { route, asked, answer } = waiting();
    const face = await testFace([route], { drainMs: NEVER_MS });
    const port = Number(new URL(face.url).port);
    const idle = connect(port, "127.0.0.1");
    let received = "";
    idle.on("data", (data: Buffer) => (received += data.toString()));
    idle.write("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n");
    await until(() => received.includes('{"alive":true}'));
    const calling = call({ port, path: "/wait" });
    await asked.happened;
    const ended = once(idle, "end");
    const closed = face.close();
    await ended;
    const refused = await call({ port, path: "/healthz" }).then(
      () => undefined,
      (error: unknown) => (error as NodeJS.ErrnoException).code,
    );
    expect(refused).to.equal("ECONNREFUSED");
    answer.happen();
    expect((await calling).status).to.equal(200);
    await closed;
  });

  it("what does not end in time is cut", async () => {
    const { route, asked } = waiting();
    const face = await testFace([route], { drainMs: 20 });
    const calling = call({ port: Number(new URL(face.url).port), path: "/wait" }).then(
      () => undefined,
      (error: unknown) => error,
    );
    await asked.happened;
    await face.close();
    expect(await calling).to.be.an("error");
  });

  for (const [name, bytes] of Object.entries({
    "no HTTP": "SSH-2.0-OpenSSH_9.9\r\n\r\n",
    "TLS on a plain port": "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "a header without a colon": "GET /healthz HTTP/1.1\r\nHost\r\n\r\n",
    "headers above 16 KiB": `GET /healthz HTTP/1.1\r\nHost: x\r\nX-A: ${"a".repeat(17_000)}\r\n\r\n`,
    "two lengths": "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "length and chunks":
      "POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  })) {
    it(`${name} is request_malformed, and the connection is closed`, async () => {
      const face = await testFace([]);
      try {
        const answer = await exchangeBytes(face.url, Buffer.from(bytes, "latin1"));
        expectProblem(answer, "request_malformed");
        expect(answer.isClosed).to.equal(true);
        expect((await exchange(face.url, { method: "GET", target: "/healthz", headers: [] })).status).to.equal(200);
      } finally {
        await face.close();
      }
    });
  }

  it("a port that is taken is an error of the start", async () => {
    const face = await testFace([]);
    try {
      const error = await testFace([], { port: Number(new URL(face.url).port) }).then(
        () => undefined,
        (cause: unknown) => (cause as NodeJS.ErrnoException).code,
      );
      expect(error).to.equal("EADDRINUSE");
    } finally {
      await face.close();
    }
  });
});

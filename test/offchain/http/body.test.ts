import { once } from "node:events";
import { type Socket, connect } from "node:net";

import { expect } from "chai";

import type { Route } from "../../../offchain/http/routes";
import { ok } from "../../../offchain/wire/result";
import { type TestFace, testFace } from "../../helpers/face";
import { type RawRequest, exchange } from "../../helpers/raw-http";
import { expectProblem } from "../../helpers/route-tables";
import { until } from "../../helpers/upstream";

const LIMIT = 1_000;
const JSON_TYPE = ["Content-Type", "application/json"] as const;

describe("http: body reader", () => {
  let face: TestFace;
  let bodies: Buffer[] = [];

  before(async () => {
    const route: Route = {
      method: "POST",
      path: "/echo",
      limit: LIMIT,
      handle({ body }) {
        bodies.push(body);
        return ok({ bytes: body.length });
      },
    };
    face = await testFace([route]);
  });
  beforeEach(() => {
    bodies = [];
  });
  after(() => face.close());

  const good: RawRequest = { method: "POST", target: "/echo", headers: [JSON_TYPE], body: "x".repeat(LIMIT) };

  for (const framing of ["length", "chunked"] as const) {
    it(`a body of exactly the limit is read whole (${framing})`, async () => {
      const answer = await exchange(face.url, { ...good, framing });
      expect([answer.status, answer.json]).to.deep.equal([200, { bytes: LIMIT }]);
      expect(bodies).to.deep.equal([Buffer.from("x".repeat(LIMIT))]);
    });

    it(`one byte more is request_too_large, and the connection is closed (${framing})`, async () => {
      const answer = await exchange(face.url, { ...good, framing, body: "x".repeat(LIMIT + 1) });
      expectProblem(answer, "request_too_large");
      expect(answer.isClosed).to.equal(true);
      expect(bodies).to.have.length(0);
    });
  }

  it("a body without an end is answered while it is being sent", async () => {
    const answer = await exchange(face.url, { ...good, body: "", endless: Buffer.alloc(100, "x") });
    expectProblem(answer, "request_too_large");
  });

  it("an announced length above the limit is refused before a byte of it has come", async () => {
    const headers = [JSON_TYPE, ["Content-Length", String(LIMIT + 1)]] as const;
    expectProblem(await exchange(face.url, { ...good, headers, body: "", framing: "none" }), "request_too_large");
  });

  it("an empty body needs no media type; chunks may come one by one", async () => {
    expect((await exchange(face.url, { method: "POST", target: "/echo", headers: [] })).json).to.deep.equal({
      bytes: 0,
    });
    const socket = dial(face.url);
    socket.write(
      "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for (const part of ["1\r\n{\r\n", "1\r\n}\r\n", "0\r\n\r\n"]) {
      socket.write(part);
      await new Promise((done) => setTimeout(done, 5));
    }
    const [answer] = (await once(socket, "data")) as [Buffer];
    expect(answer.toString()).to.include('{"bytes":2}');
    socket.destroy();
  });

  describe("after a 413", () => {
    /** An upload that was refused: the answer has come and the server has said that it says no more. */
    async function refused(): Promise<{ readonly socket: Socket; readonly answer: string }> {
      const socket = dial(face.url);
      let answer = "";
      socket.on("data", (data: Buffer) => (answer += data.toString()));
      const head =
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 10000000\r\n\r\n";
      socket.write(head);
      await once(socket, "end");
      return { socket, answer };
    }

    it("it half-closes: what is still being sent is taken, not answered by a reset", async () => {
      const { socket, answer } = await refused();
      expect(answer).to.match(/^HTTP\/1\.1 413 /);
      await new Promise<void>((done, failed) => {
        socket.write(Buffer.alloc(32 * 1024), (error) => {
          if (error) failed(error);
          else done();
        });
      });
      socket.destroy();
    });

    it("it discards 64 KiB at most: a sender that goes on is cut", async () => {
      const { socket } = await refused();
      let sent = 0;
      const go = (): void => {
        socket.write(Buffer.alloc(4 * 1024), (error) => {
          if (error || !socket.writable) return;
          sent += 4 * 1024;
          setImmediate(go);
        });
      };
      go();
      await new Promise<void>((done) =>
        socket.once("close", () => {
          done();
        }),
      );
      // what the kernel's buffers took beyond is not known, but it ends
      expect(sent).to.be.at.least(60 * 1024);
    });

    it("it waits for a sender that says nothing no longer than its bound", async () => {
      const { socket } = await refused();
      socket.resume();
      // the server destroys its end; a write then finds nobody
      await until(() => {
        if (socket.writable) socket.write("x");
        return socket.destroyed;
      });
    });

    it("the same holds for every refusal before the body was read", async () => {
      const socket = dial(face.url);
      let answer = "";
      socket.on("data", (data: Buffer) => (answer += data.toString()));
      socket.write("POST /nowhere HTTP/1.1\r\nHost: x\r\nContent-Length: 10000000\r\n\r\n");
      await once(socket, "end");
      expect(answer).to.match(/^HTTP\/1\.1 404 /);
      await new Promise<void>((done, failed) => {
        socket.write(Buffer.alloc(32 * 1024), (error) => {
          if (error) failed(error);
          else done();
        });
      });
      socket.destroy();
    });
  });

  it("an upload that is broken off reaches no handler and counts as no request", async () => {
    const before = await face.metrics.registry.getSingleMetricAsString("agentkeys_requests_total");
    const socket = dial(face.url);
    socket.write("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\nhalf");
    await new Promise((done) => setTimeout(done, 20));
    socket.resetAndDestroy();
    // a whole request behind it, answered after the reset
    await exchange(face.url, { ...good, body: "{}" });
    expect(bodies.map(String)).to.deep.equal(["{}"]);
    const after = await face.metrics.registry.getSingleMetricAsString("agentkeys_requests_total");
    expect(counted(after) - counted(before)).to.equal(1);
  });

  for (const [name, headers] of Object.entries({
    "none before a body": [],
    text: [["Content-Type", "text/plain"]],
    "a form": [["Content-Type", "application/x-www-form-urlencoded"]],
    "a parameter": [["Content-Type", "application/json; charset=utf-8"]],
    "a suffix": [["Content-Type", "application/problem+json"]],
    "a list": [["Content-Type", "application/json, application/json"]],
    two: [JSON_TYPE, JSON_TYPE],
    "an empty one": [["Content-Type", ""]],
    "a content coding": [JSON_TYPE, ["Content-Encoding", "gzip"]],
    "the coding identity": [JSON_TYPE, ["Content-Encoding", "identity"]],
  } satisfies Record<string, readonly (readonly [string, string])[]>)) {
    it(`media type: ${name} is media_type_unsupported`, async () => {
      expectProblem(await exchange(face.url, { ...good, headers, body: "{}" }), "media_type_unsupported");
      expect(bodies).to.have.length(0);
    });
  }

  for (const type of ["application/json", "Application/JSON", "APPLICATION/JSON"]) {
    it(`media type: ${type} is read`, async () => {
      const answer = await exchange(face.url, { ...good, headers: [["content-TYPE", type]], body: "{}" });
      expect(answer.status).to.equal(200);
    });
  }

  it("a media type that is wrong answers before a size that is wrong", async () => {
    const headers = [["Content-Type", "text/plain"]] as const;
    expectProblem(await exchange(face.url, { ...good, headers, body: "x".repeat(2_000) }), "media_type_unsupported");
  });
});

function dial(url: string): Socket {
  const socket = connect({ host: "127.0.0.1", port: Number(new URL(url).port), allowHalfOpen: true });
  return socket.on("error", () => undefined);
}

function counted(metric: string): number {
  return [...metric.matchAll(/^agentkeys_requests_total\{.*\} ([0-9]+)$/gm)].reduce(
    (sum, one) => sum + Number(one[1]),
    0,
  );
}

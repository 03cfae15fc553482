import { once } from "node:events";
import { type ClientRequest, type IncomingMessage, request } from "node:http";
import { connect } from "node:net";

import { expect } from "chai";

import { failure, ok } from "../../../offchain/wire/result";
import { type LocalSidecar, call, entry, localSidecar, readAnswer } from "../../helpers/sidecar";
import { type Serve, signal, tcpServer, testServer, until } from "../../helpers/upstream";

const MIB = 1024 * 1024;
/** More than all buffers between two ends of a loopback connection, twice. */
const FLOOD = 96 * MIB;

describe("sidecar: streams", () => {
  const stops: (() => Promise<void>)[] = [];
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });

  async function between(serve?: Serve): Promise<{
    readonly sidecar: LocalSidecar;
    readonly upstream: Awaited<ReturnType<typeof testServer>>;
  }> {
    const upstream = await testServer(serve);
    const sidecar = await localSidecar([entry(upstream.url, { service: "s" })]);
    stops.push(
      () => upstream.stop(),
      () => sidecar.stop(),
    );
    return { sidecar, upstream };
  }

  function open(sidecar: LocalSidecar, method = "POST", path = "/s/a"): ClientRequest {
    const one = request({ host: "127.0.0.1", port: sidecar.port, method, path, agent: false });
    one.on("error", () => undefined);
    return one;
  }

  it("the upstream has the first part of a body before the caller has sent the rest", async () => {
    const { sidecar, upstream } = await between();
    const one = open(sidecar);
    one.write("first ");
    await until(() => upstream.received[0]?.body === "first ");
    one.end("second");
    const [answer] = (await once(one, "response")) as [IncomingMessage];
    expect((await readAnswer(answer)).status).to.equal(200);
    expect(upstream.received[0]?.body).to.equal("first second");
  });

  it("the caller has the first event before the upstream has sent the second", async () => {
    const more = signal();
    const { sidecar } = await between((_request, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" }).write("data: one\n\n");
      void more.happened.then(() => response.end("data: two\n\n"));
    });
    const one = open(sidecar);
    one.end();
    const [answer] = (await once(one, "response")) as [IncomingMessage];
    let text = "";
    answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await until(() => text === "data: one\n\n");
    more.happen();
    await until(() => answer.readableEnded);
    expect(text).to.equal("data: one\n\ndata: two\n\n");
  });

  it("the caller has the head of an answer before there is a body", async () => {
    const more = signal();
    const { sidecar } = await between((_request, response) => {
      response.writeHead(200, { "x-first": "1" }).flushHeaders();
      void more.happened.then(() => response.end());
    });
    const one = open(sidecar);
    one.end();
    const [answer] = (await once(one, "response")) as [IncomingMessage];
    expect(answer.headers["x-first"]).to.equal("1");
    more.happen();
    await readAnswer(answer);
  });

  it("both directions at once: an upstream may answer line by line while it is asked line by line", async () => {
    const { sidecar } = await between((incoming, response) => {
      response.writeHead(200);
      incoming.on("data", (chunk: Buffer) => response.write(`echo ${chunk.toString()}`));
      incoming.on("end", () => response.end("bye"));
    });
    const one = open(sidecar);
    one.write("1");
    const [answer] = (await once(one, "response")) as [IncomingMessage];
    let text = "";
    answer.on("data", (chunk: Buffer) => (text += chunk.toString()));
    await until(() => text === "echo 1");
    one.write("2");
    await until(() => text === "echo 1echo 2");
    one.end();
    await until(() => answer.readableEnded);
    expect(text).to.equal("echo 1echo 2bye");
  });

  it("a reader that stops makes the upstream stop; all of it comes once it reads on", async () => {
    let written = 0;
    let isFull = false;
    const { sidecar } = await between((_request, response) => {
      response.writeHead(200);
      const chunk = Buffer.alloc(MIB, "x");
      const write = (): void => {
        while (written < FLOOD) {
          written += chunk.length;
          isFull = !response.write(chunk);
          if (isFull) {
            response.once("drain", () => {
              isFull = false;
              write();
            });
            return;
          }
        }
        response.end();
      };
      write();
    });
    const one = open(sidecar, "GET");
    one.end();
    const [answer] = (await once(one, "response")) as [IncomingMessage];
    answer.pause();
    await stands(() => written);
    expect(isFull).to.equal(true);
    expect(written).to.be.below(FLOOD / 2);
    let read = 0;
    answer.on("data", (chunk: Buffer) => (read += chunk.length)).resume();
    await once(answer, "end");
    expect(read).to.equal(FLOOD);
  });

  it("an upstream that stops reading makes the caller stop; all of it arrives once it reads on", async () => {
    const more = signal();
    let read = 0;
    const upstream = await tcpServer((socket) => {
      socket.pause();
      void more.happened.then(() => {
        let tail = "";
        socket.on("data", (data: Buffer) => {
          read += data.length;
          tail = (tail + data.subarray(-5).toString("latin1")).slice(-5);
          if (tail === "0\r\n\r\n") {
            socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
          }
        });
        socket.resume();
      });
    });
    const sidecar = await localSidecar([entry(upstream.url, { service: "s" })]);
    stops.push(
      () => upstream.stop(),
      () => sidecar.stop(),
    );
    const one = open(sidecar);
    const chunk = Buffer.alloc(MIB, "x");
    let written = 0;
    let isFull = false;
    const write = (): void => {
      while (written < FLOOD) {
        written += chunk.length;
        isFull = !one.write(chunk);
        if (isFull) {
          one.once("drain", () => {
            isFull = false;
            write();
          });
          return;
        }
      }
      one.end();
    };
    write();
    await stands(() => written);
    expect(isFull).to.equal(true);
    expect(written).to.be.below(FLOOD / 2);
    const answered = once(one, "response") as Promise<[IncomingMessage]>;
    more.happen();
    const [answer] = await answered;
    expect((await readAnswer(answer)).status).to.equal(200);
    expect(read).to.be.above(FLOOD);
  });

  it("a caller that leaves while it sends ends the call upstream", async () => {
    const gone = signal();
    const { sidecar, upstream } = await between((incoming) => {
      incoming.on("close", () => {
        gone.happen();
      });
    });
    const one = open(sidecar);
    one.write("part");
    await until(() => upstream.received[0]?.body === "part");
    one.destroy();
    await gone.happened;
  });

  it("a caller that leaves while it waits ends the call upstream", async () => {
    const asked = signal();
    const gone = signal();
    const { sidecar } = await between((incoming, response) => {
      incoming.resume();
      response.on("close", () => {
        gone.happen();
      });
      asked.happen();
    });
    const one = open(sidecar);
    one.end("whole");
    await asked.happened;
    one.destroy();
    await gone.happened;
  });

  it("a caller that leaves while it reads ends the call upstream", async () => {
    const gone = signal();
    const { sidecar } = await between((_incoming, response) => {
      response.writeHead(200).write("part");
      response.on("close", () => {
        gone.happen();
      });
    });
    const one = open(sidecar);
    one.end();
    const [answer] = (await once(one, "response")) as [IncomingMessage];
    answer.on("error", () => undefined);
    await once(answer, "data");
    one.destroy();
    await gone.happened;
  });

  it("a caller that left while its credential was fetched costs no call upstream", async () => {
    const asked = signal();
    const answer = signal();
    const upstream = await testServer();
    const sidecar = await localSidecar([entry(upstream.url, { service: "s" })], {
      async load() {
        asked.happen();
        await answer.happened;
        return ok(Buffer.from("sk-12345678"));
      },
    });
    stops.push(
      () => upstream.stop(),
      () => sidecar.stop(),
    );
    const leaving = connect(sidecar.port, "127.0.0.1");
    leaving.on("error", () => undefined).write("POST /s/left HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\npart");
    await asked.happened;
    leaving.resetAndDestroy();
    // another connection's call, served after the reset was seen
    expect((await call({ port: sidecar.port, path: "/unknown/" })).status).to.equal(404);
    const staying = call({ port: sidecar.port, path: "/s/stayed" });
    answer.happen();
    expect((await staying).status).to.equal(200);
    expect(upstream.received.map((one) => one.url)).to.deep.equal(["/stayed"]);
    expect(upstream.connections()).to.equal(1);
  });

  it("an upstream that breaks off cuts the answer: what came is not taken for the whole", async () => {
    const { sidecar } = await between((_incoming, response) => {
      response.writeHead(200, { "content-type": "text/plain" });
      response.write("half", () => response.destroy());
    });
    const one = open(sidecar);
    one.end();
    const [answer] = (await once(one, "response")) as [IncomingMessage];
    expect(answer.statusCode).to.equal(200);
    const error = await readAnswer(answer).then(
      () => undefined,
      (cause: unknown) => cause as Error,
    );
    expect(error).to.be.an("error");
  });

  it("an upstream that answers before it has read everything is heard by a caller that still sends", async () => {
    const { sidecar } = await between((_incoming, response) => {
      response.writeHead(413, { connection: "close" }).end("too much");
    });
    const one = open(sidecar);
    one.write(Buffer.alloc(64 * 1024));
    const [answer] = (await once(one, "response")) as [IncomingMessage];
    const read = await readAnswer(answer);
    expect([read.status, read.body]).to.deep.equal([413, "too much"]);
    one.destroy();
    expect((await call({ port: sidecar.port, path: "/s/b" })).status).to.equal(413);
  });

  for (const [name, bytes] of Object.entries({
    "ends without an answer": "",
    "answers with something else": "SSH-2.0-OpenSSH_9.9\r\n",
    "switches protocols unasked": "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "answers with two lengths": "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "answers with length and chunks":
      "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
  })) {
    it(`an upstream that ${name} is upstream_unavailable`, async () => {
      const upstream = await tcpServer((socket) => {
        socket.once("data", () => socket.end(bytes));
      });
      const sidecar = await localSidecar([entry(upstream.url, { service: "s" })]);
      stops.push(
        () => upstream.stop(),
        () => sidecar.stop(),
      );
      const answer = await call({ port: sidecar.port, path: "/s/a", method: "POST" }, "{}");
      expect([answer.status, answer.code]).to.deep.equal([503, "upstream_unavailable"]);
      expect(answer.headers["retry-after"]).to.match(/^[0-9]+$/);
    });
  }

  it("an upstream that is not there is upstream_unavailable", async () => {
    const { sidecar, upstream } = await between();
    await upstream.stop();
    const answer = await call({ port: sidecar.port, path: "/s/a" });
    expect([answer.status, answer.code]).to.deep.equal([503, "upstream_unavailable"]);
  });

  it("an upstream that takes the connection and no TLS is upstream_unavailable after the limit", async () => {
    const upstream = await tcpServer((socket) => socket.resume());
    const url = upstream.url.replace("http:", "https:");
    const sidecar = await localSidecar([entry(url, { service: "s" })], { connectMs: 50 });
    stops.push(
      () => upstream.stop(),
      () => sidecar.stop(),
    );
    const answer = await call({ port: sidecar.port, path: "/s/a" });
    expect([answer.status, answer.code]).to.deep.equal([503, "upstream_unavailable"]);
  });

  it("an upstream may think for longer than a connection may take", async () => {
    const connectMs = 2_000;
    const upstream = await testServer((_incoming, response) => {
      setTimeout(() => response.end("thought"), connectMs + 500);
    });
    const sidecar = await localSidecar([entry(upstream.url, { service: "s" })], { connectMs });
    stops.push(
      () => upstream.stop(),
      () => sidecar.stop(),
    );
    expect((await call({ port: sidecar.port, path: "/s/a" })).body).to.equal("thought");
  });

  it("one answer's end does not touch another's connection: many at once, each its own", async () => {
    const { sidecar } = await between((incoming, response) => response.end(incoming.url));
    const paths = Array.from({ length: 100 }, (_, i) => `/s/${String(i)}`);
    const answers = await Promise.all(paths.map((path) => call({ port: sidecar.port, path })));
    expect(answers.map((one) => one.body)).to.deep.equal(paths.map((path) => path.slice(2)));
  });

  it("a refusal to a caller that still sends can be read", async () => {
    const { sidecar } = await between();
    const refused = await localSidecar([], {
      load: () => Promise.resolve({ ok: false, failure: failure("internal_error", "") }),
    });
    stops.push(() => refused.stop());
    const one = open(refused, "POST", "/unknown/a");
    one.write(Buffer.alloc(32 * 1024));
    const [answer] = (await once(one, "response")) as [IncomingMessage];
    expect((await readAnswer(answer)).code).to.equal("route_not_found");
    one.destroy();
    expect((await call({ port: sidecar.port, path: "/s/a" })).status).to.equal(200);
  });
});

/** Waits until a number has not changed for a while: however long it takes to get there. */
async function stands(value: () => number): Promise<void> {
  for (let before = -1, same = 0; same < 20;) {
    await new Promise((done) => setTimeout(done, 25));
    same = value() === before ? same + 1 : 0;
    before = value();
  }
}

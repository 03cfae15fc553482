import { once } from "node:events";
import { type AddressInfo, type Server, type Socket, connect as connectTcp, createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { type TLSSocket, connect } from "node:tls";

import { expect } from "chai";

import { type Listening, listen } from "../../../offchain/http/server";
import { type SignerClient, signerClient } from "../../../offchain/http/signer-client";
import type { TlsFiles, TlsTexts } from "../../../offchain/http/tls-files";
import { TestCa, type TlsIdentity, clientAuth, serverAuth } from "../../helpers/certificates";
import { signal } from "../../helpers/upstream";

const SIGNER = { usages: [serverAuth], names: [{ type: "url", value: "spiffe://agentkeys/signer" }] } as const;
const BROKER = { usages: [clientAuth], names: [{ type: "url", value: "spiffe://agentkeys/broker" }] } as const;
const minVersion = "TLSv1.3";

const texts = (identity: TlsIdentity, ...cas: readonly { readonly pem: string }[]): TlsTexts => ({
  ca: Buffer.from(cas.map((ca) => ca.pem).join("\n")),
  cert: Buffer.from(identity.cert),
  key: Buffer.from(identity.key),
});

describe("http: connections that were made before certificates were renewed (protocol 3.7)", function () {
  this.timeout(60_000);
  let old: TestCa;
  let next: TestCa;
  let identity: TlsIdentity;
  let oldBroker: TlsIdentity;
  let nextBroker: TlsIdentity;
  let server: Listening;
  /** Paths of the requests that were handled. */
  let heard: string[] = [];
  /** What the handler of `/wait` waits for, and whether it was asked. */
  let waiting = { asked: signal(), go: signal() };
  const opened: Socket[] = [];

  before(async () => {
    [old, next] = [await TestCa.fresh(), await TestCa.fresh()];
    identity = await old.issue(SIGNER);
    [oldBroker, nextBroker] = [await old.issue(BROKER), await next.issue(BROKER)];
  });
  beforeEach(async () => {
    heard = [];
    waiting = { asked: signal(), go: signal() };
    server = await serve(texts(identity, old, next));
  });
  afterEach(async () => {
    for (const socket of opened.splice(0)) socket.destroy();
    await server.close();
  });

  function serve(tls: TlsTexts, mtls = true): Promise<Listening> {
    return listen(
      (request, response) => {
        heard.push(request.url ?? "");
        if (request.url !== "/wait") response.end("{}");
        else {
          waiting.asked.happen();
          void waiting.go.happened.then(() => response.end("{}"));
        }
      },
      { host: "127.0.0.1", port: 0, tls: { ...tls, requestCert: mtls, rejectUnauthorized: mtls, minVersion } },
    );
  }

  /** A connection that is kept, and what comes over it. */
  async function connection(by?: Partial<TlsIdentity>, options: { session?: Buffer; over?: Socket } = {}) {
    const { port, hostname: host } = new URL(server.url);
    const place = options.over === undefined ? { host, port: Number(port) } : { socket: options.over };
    const { session } = options;
    const mine = { cert: by?.cert, key: by?.key, ...(session === undefined ? {} : { session }) };
    const socket = connect({ ...mine, ...place, ca: [old.pem, next.pem], checkServerIdentity: () => undefined });
    socket.on("error", () => undefined);
    opened.push(socket);
    const closed = once(socket, "close");
    let received = "";
    socket.on("data", (data: Buffer) => (received += data.toString()));
    /** The header lines of the next answer; nothing where the connection ends without one. */
    const ask = async (path: string): Promise<string> => {
      received = "";
      if (!socket.destroyed) socket.write(`GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`);
      while (!received.includes("\r\n\r\n") && !socket.destroyed) await Promise.race([once(socket, "data"), closed]);
      return received;
    };
    await Promise.race([once(socket, "secureConnect"), closed]);
    return { socket, closed, ask };
  }

  /** What becomes of a connection after the renewal: answered, and whether it was the last time. */
  async function outcome(one: { ask(path: string): Promise<string>; closed: Promise<unknown> }): Promise<string> {
    const answer = await one.ask("/after");
    if (!answer.startsWith("HTTP/1.1 200")) return "no answer";
    if (!/^connection: close\r$/im.test(answer)) return "kept";
    await one.closed;
    return "the last answer";
  }

  const renew = (...cas: readonly TestCa[]): void => {
    server.renewTls({ ...texts(identity, ...cas), minVersion });
  };

  it("a client whose CA was removed: cut, asked nothing more; the one beside it gets a last answer", async () => {
    const [removed, idle, kept] = [
      await connection(oldBroker),
      await connection(oldBroker),
      await connection(nextBroker),
    ];
    for (const one of [removed, idle, kept]) expect(await one.ask("/before")).to.match(/^HTTP\/1.1 200/);
    renew(next);
    expect(await outcome(removed)).to.equal("no answer");
    // no request is needed
    await idle.closed;
    expect(await outcome(kept)).to.equal("the last answer");
    expect(heard).to.deep.equal(["/before", "/before", "/before", "/after"]);
    expect(await outcome(await connection(nextBroker))).to.equal("kept");
    expect(await outcome(await connection(oldBroker))).to.equal("no answer");
  });

  it("of two requests under way, the one whose CA was removed gets no answer", async () => {
    const [removed, kept] = [await connection(oldBroker), await connection(nextBroker)];
    const answers = [removed.ask("/wait"), kept.ask("/wait")] as const;
    while (heard.length < 2) await new Promise((done) => setImmediate(done));
    renew(next);
    waiting.go.happen();
    expect(await answers[0]).to.equal("");
    expect(await answers[1]).to.match(/^HTTP\/1.1 200/);
    expect(await outcome(kept)).to.equal("the last answer");
  });

  it("another certificate of the server's own: every connection ends with its next answer", async () => {
    const one = await connection(oldBroker);
    expect(await outcome(one)).to.equal("kept");
    identity = await old.issue(SIGNER);
    renew(old, next);
    expect(await outcome(one)).to.equal("the last answer");
    expect(await outcome(await connection(oldBroker))).to.equal("kept");
  });

  it("the same where clients show no certificate", async () => {
    await server.close();
    server = await serve({ cert: Buffer.from(identity.cert), key: Buffer.from(identity.key) }, false);
    const one = await connection();
    expect(await outcome(one)).to.equal("kept");
    server.renewTls({ cert: identity.cert, key: identity.key, minVersion });
    expect(await outcome(one)).to.equal("the last answer");
    expect(await outcome(await connection())).to.equal("kept");
  });

  it("a session is not taken up again, so that no certificate is passed over", async () => {
    const one = await connection(oldBroker);
    let session: Buffer | undefined;
    one.socket.on("session", (given: Buffer) => (session = given));
    expect(await one.ask("/before")).to.match(/^HTTP\/1.1 200/);
    session ??= one.socket.getSession();
    const again = async (): Promise<{ socket: TLSSocket; ask(path: string): Promise<string> }> =>
      connection(oldBroker, session === undefined ? {} : { session });
    expect((await again()).socket.isSessionReused()).to.equal(false);
    renew(next);
    expect(await (await again()).ask("/after")).to.equal("");
    expect(heard).to.deep.equal(["/before"]);
  });

  it("a handshake that began before the CA was removed and ends after it", async () => {
    const { port, hostname } = new URL(server.url);
    const early = async (): Promise<Socket> => {
      const over = connectTcp(Number(port), hostname);
      await once(over, "connect");
      // until the server has taken it, with the CAs of that moment
      for (let n = 0; n < 10; n += 1) await new Promise((done) => setImmediate(done));
      return over;
    };
    const [first, second] = [await early(), await early()];
    renew(next);
    expect(await outcome(await connection(oldBroker, { over: first }))).to.equal("no answer");
    expect(await outcome(await connection(nextBroker, { over: second }))).to.equal("kept");
    expect(heard).to.deep.equal(["/after"]);
  });

  it("the new CA's certificate sent along: a name that fits is no signature", async () => {
    const [one, other] = [await TestCa.fresh({ unnamed: true }), await TestCa.fresh({ unnamed: true })];
    const [thief, honest] = [await one.issue(BROKER), await other.issue(BROKER)];
    renew(one);
    const removed = await connection({ ...thief, cert: thief.cert + "\n" + other.pem });
    expect(await outcome(removed)).to.equal("kept");
    renew(other);
    expect(await outcome(removed)).to.equal("no answer");
    expect(await outcome(await connection(honest))).to.equal("kept");
  });

  it("a CA between: welcome while the one above is, whether it was sent or is in the file", async () => {
    const issuing = await TestCa.fresh({ by: old });
    const broker = await issuing.issue(BROKER);
    const sent = { ...broker, cert: broker.cert + "\n" + issuing.pem };
    renew(old, issuing);
    const both = [await connection(sent), await connection(broker)];
    for (const one of both) expect(await outcome(one)).to.equal("kept");
    renew(old, issuing, next);
    for (const one of both) expect(await outcome(one)).to.equal("the last answer");
    const rest = [await connection(sent), await connection(broker)];
    for (const one of rest) expect(await outcome(one)).to.equal("kept");
    renew(next, issuing);
    for (const one of rest) expect(await outcome(one)).to.equal("no answer");
  });

  /**
   * Has something done with what is made to end soon, later where the machine was too slow for it; resolves once it has
   * ended.
   */
  async function pastTheEnd(act: (notAfter: Date) => Promise<boolean>): Promise<void> {
    for (let seconds = 2; ; seconds *= 2) {
      const end = (Math.ceil(Date.now() / 1_000) + seconds) * 1_000;
      const isDone = await act(new Date(end));
      if (!isDone && Date.now() < end) throw new Error("refused before its end");
      if (!isDone) continue;
      while (Date.now() <= end) await sleep(end - Date.now() + 1);
      return;
    }
  }

  it("a client whose certificate, or the CA above it, has ended since: cut, and its request is not heard", async () => {
    const kept = await connection(oldBroker);
    let ended: Awaited<ReturnType<typeof connection>>[] = [];
    await pastTheEnd(async (notAfter) => {
      const issuing = await TestCa.fresh({ by: old, notAfter });
      const below = await issuing.issue(BROKER);
      const short = await old.issue({ ...BROKER, notAfter });
      ended = [await connection(short), await connection({ ...below, cert: below.cert + "\n" + issuing.pem })];
      const answers = await Promise.all(ended.map((one) => one.ask("/before")));
      return answers.every((answer) => answer.startsWith("HTTP/1.1 200"));
    });
    heard = [];
    for (const one of ended) expect(await outcome(one)).to.equal("no answer");
    expect(await outcome(kept)).to.equal("kept");
    expect(heard).to.deep.equal(["/after"]);
  });

  describe("of the signer's clients", () => {
    let client: SignerClient;
    let files: TlsFiles & { renew(...cas: readonly TestCa[]): void };

    function following(...cas: readonly TestCa[]): typeof files {
      let current = texts(oldBroker, ...cas);
      const users: ((changed: TlsTexts) => void)[] = [];
      return {
        current: () => current,
        onChange: (use) => void users.push(use),
        close: () => undefined,
        renew(...others) {
          current = texts(oldBroker, ...others);
          for (const use of users) use(current);
        },
      };
    }

    const ready = async (): Promise<string> => {
      const answer = await client.ready();
      return answer.ok ? "ok" : answer.failure.code;
    };

    it("a signer whose CA was removed is not asked again; with its CA it is, over a new connection", async () => {
      files = following(old, next);
      client = signerClient({ origin: server.url, tls: files });
      expect(await ready()).to.equal("ok");
      files.renew(old);
      expect(await ready()).to.equal("ok");
      files.renew(next);
      expect(await ready()).to.equal("signer_unavailable");
      expect(heard).to.deep.equal(["/readyz", "/readyz"]);
      await client.close();
    });

    it("a signer whose certificate has ended since is not asked over the connection that is kept", async () => {
      await server.close();
      files = following(old);
      await pastTheEnd(async (notAfter) => {
        server = await serve(texts(await old.issue({ ...SIGNER, notAfter }), old));
        client = signerClient({ origin: server.url, tls: files });
        if ((await ready()) === "ok") return true;
        await client.close();
        await server.close();
        return false;
      });
      heard = [];
      expect(await ready()).to.equal("signer_unavailable");
      expect(heard).to.deep.equal([]);
      renew(old);
      for (let n = 0; n < 2; n += 1) expect(await ready()).to.equal("ok");
      expect(heard).to.deep.equal(["/readyz", "/readyz"]);
      await client.close();
    });

    it("nor where the connection was only being made", async () => {
      const held: Socket[] = [];
      const gate: Server = createServer((socket) => void held.push(socket)).listen(0, "127.0.0.1");
      await once(gate, "listening");
      const through = (): void => {
        for (const socket of held.splice(0)) {
          const { port, hostname } = new URL(server.url);
          const onward = connectTcp(Number(port), hostname);
          opened.push(socket, onward);
          for (const one of [socket, onward]) one.on("error", () => undefined);
          socket.pipe(onward).pipe(socket);
        }
      };
      files = following(old, next);
      client = signerClient({
        origin: `https://127.0.0.1:${String((gate.address() as AddressInfo).port)}`,
        tls: files,
      });
      for (const [ca, expected] of [
        [old, "ok"],
        [next, "signer_unavailable"],
      ] as const) {
        files.renew(old, next);
        const asked = ready();
        await once(gate, "connection");
        files.renew(ca);
        through();
        expect(await asked).to.equal(expected);
      }
      expect(heard).to.deep.equal(["/readyz"]);
      await client.close();
      gate.close();
    });
  });
});

import { connect } from "node:net";
import { connect as connectTls } from "node:tls";

/** What a load generator prints when it is done. */
export interface Fired {
  readonly requests: number;
  readonly seconds: number;
  /** Milliseconds from the first byte sent to the last received, one per request. */
  readonly latencies: readonly number[];
}

/** PEM texts for mutual TLS. */
export interface LoadTls {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

const HEAD_END = Buffer.from("\r\n\r\n");

/**
 * Sends prepared HTTP/1.1 requests over kept-alive connections, one at a time on each, and reads every answer whole.
 * Throws at the first answer with another status: a fast refusal is no result.
 */
export async function fire(
  origin: string,
  requests: readonly Buffer[],
  connections: number,
  expected: number,
  tls?: LoadTls,
): Promise<Fired> {
  const { hostname, port } = new URL(origin);
  const latencies: number[] = [];
  let next = 0;
  const startedAt = performance.now();
  const worker = (): Promise<void> =>
    new Promise((resolve, reject) => {
      const to = { host: hostname, port: Number(port), noDelay: true };
      // the server is one that the bench itself started: its name is not what is measured
      const socket =
        tls === undefined ? connect(to) : connectTls({ ...to, ...tls, checkServerIdentity: () => undefined });
      let received: Buffer = Buffer.alloc(0);
      let sentAt = 0;
      const send = (): void => {
        const request = requests[next];
        next += 1;
        if (request === undefined) {
          socket.end();
          resolve();
          return;
        }
        sentAt = performance.now();
        socket.write(request);
      };
      socket.on(tls === undefined ? "connect" : "secureConnect", send).on("error", reject);
      socket.on("close", () => {
        reject(new Error("the server closed a connection"));
      });
      socket.on("data", (chunk: Buffer) => {
        received = received.length === 0 ? chunk : Buffer.concat([received, chunk]);
        const headEnd = received.indexOf(HEAD_END);
        if (headEnd < 0) return;
        const head = received.subarray(0, headEnd).toString("latin1");
        const length = Number(/content-length: *([0-9]+)/i.exec(head)?.[1] ?? NaN);
        if (Number.isNaN(length)) {
          reject(new Error(`an answer without Content-Length: ${head}`));
          return;
        }
        if (received.length < headEnd + HEAD_END.length + length) return;
        latencies.push(performance.now() - sentAt);
        if (!head.startsWith(`HTTP/1.1 ${String(expected)} `)) {
          reject(new Error(`not ${String(expected)}: ${received.toString()}`));
          return;
        }
        received = Buffer.alloc(0);
        send();
      });
    });
  await Promise.all(Array.from({ length: connections }, worker));
  return { requests: requests.length, seconds: (performance.now() - startedAt) / 1_000, latencies };
}

/** One POST as bytes on the wire. */
export function httpPost(url: string, headers: Readonly<Record<string, string>>, body: string): Buffer {
  const { host, pathname } = new URL(url);
  const lines = Object.entries({ host, "content-length": String(Buffer.byteLength(body)), ...headers });
  return Buffer.from(
    `POST ${pathname} HTTP/1.1\r\n${lines.map(([name, value]) => `${name}: ${value}`).join("\r\n")}\r\n\r\n${body}`,
  );
}

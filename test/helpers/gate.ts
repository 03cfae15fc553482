import { once } from "node:events";
import { type IncomingMessage, type ServerResponse, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";

/** A proxy before an HTTP server of loopback that lets so many requests through and holds the others. */
export interface Gate {
  readonly url: string;
  /** How many requests are held now. */
  held(): number;
  /** Lets everything through, also what is held. */
  open(): void;
  stop(): Promise<void>;
}

/** Starts one; `letThrough` requests pass before it closes. */
export async function startGate(target: string, letThrough: number): Promise<Gate> {
  let left = letThrough;
  const waiting = new Set<() => void>();
  const pass = (incoming: IncomingMessage, response: ServerResponse): void => {
    const { method, headers } = incoming;
    const onward = request(target + String(incoming.url), {
      method,
      headers: { ...headers, host: new URL(target).host },
    });
    onward.on("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      answer.pipe(response);
    });
    onward.on("error", () => response.destroy());
    incoming.pipe(onward);
  };
  const server = createServer((incoming, response) => {
    if (left > 0) {
      left -= 1;
      pass(incoming, response);
      return;
    }
    const go = (): void => {
      waiting.delete(go);
      pass(incoming, response);
    };
    waiting.add(go);
    response.once("close", () => waiting.delete(go));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    url: `http://127.0.0.1:${String((server.address() as AddressInfo).port)}`,
    held: () => waiting.size,
    open() {
      left = Number.POSITIVE_INFINITY;
      for (const go of [...waiting]) go();
    },
    async stop() {
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

import { type IncomingMessage, type RequestListener, type ServerResponse, createServer } from "node:http";
import { type AddressInfo, type Socket, createServer as createTcpServer } from "node:net";

/** One request as an upstream got it. */
export interface Received {
  readonly method: string;
  readonly url: string;
  /** As they came: names and values in turns. */
  readonly rawHeaders: readonly string[];
  /** Every value of a header, in order. */
  header(name: string): string[];
  body: string;
}

/** A real HTTP server on loopback that remembers what it was asked. */
export interface TestServer {
  readonly url: string;
  readonly port: number;
  readonly received: Received[];
  /** How many connections were ever made. */
  readonly connections: () => number;
  stop(): Promise<void>;
}

/** What to do with a request; the default reads the body and answers `{"ok":true}`. */
export type Serve = (request: IncomingMessage, response: ServerResponse, received: Received) => void;

const answerOk: Serve = (request, response) => {
  request.on("end", () => response.writeHead(200, { "content-type": "application/json" }).end('{"ok":true}'));
};

/** Starts one; `serve` may be changed between requests through the returned function. */
export async function testServer(serve: Serve = answerOk): Promise<TestServer & { use(next?: Serve): void }> {
  let current = serve;
  let connections = 0;
  const received: Received[] = [];
  const onRequest: RequestListener = (request, response) => {
    const { rawHeaders } = request;
    const one: Received = {
      method: request.method ?? "",
      url: request.url ?? "",
      rawHeaders,
      header: (name) => rawHeaders.filter((_, i) => i % 2 === 1 && rawHeaders[i - 1]?.toLowerCase() === name),
      body: "",
    };
    received.push(one);
    request.on("data", (chunk: Buffer) => (one.body += chunk.toString("latin1")));
    request.on("error", () => undefined);
    current(request, response, one);
  };
  const server = createServer(onRequest).on("connection", () => (connections += 1));
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${String(port)}`,
    port,
    received,
    connections: () => connections,
    use(next = answerOk) {
      current = next;
    },
    stop: () =>
      new Promise((done) => {
        server.close(() => {
          done();
        });
        server.closeAllConnections();
      }),
  };
}

/** A TCP server that does what it is told with each connection: what no HTTP library would say. */
export async function tcpServer(
  onConnection: (socket: Socket) => void,
): Promise<{ readonly url: string; readonly port: number; stop(): Promise<void> }> {
  const sockets = new Set<Socket>();
  const server = createTcpServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
    onConnection(socket);
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://127.0.0.1:${String(port)}`,
    port,
    stop: () =>
      new Promise((done) => {
        server.close(() => {
          done();
        });
        for (const socket of sockets) socket.destroy();
      }),
  };
}

/** A promise and its end, for conditions that a test waits on. */
export function signal<T = void>(): { readonly happened: Promise<T>; readonly happen: (value: T) => void } {
  let happen: (value: T) => void = () => undefined;
  const happened = new Promise<T>((resolve) => {
    happen = resolve;
  });
  return { happened, happen };
}

/** Waits until a condition holds; how long is the test's own limit. */
export async function until(holds: () => boolean): Promise<void> {
  while (!holds()) await new Promise((done) => setTimeout(done, 5));
}

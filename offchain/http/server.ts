import { randomUUID } from "node:crypto";
import {
  type IncomingMessage,
  type RequestListener,
  STATUS_CODES,
  type Server,
  type ServerResponse,
  createServer,
} from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import type { SecureContextOptions, TlsOptions } from "node:tls";

import { PROBLEMS, problemDocument } from "../wire/problem";
import { type Failure, failure } from "../wire/result";
import { drain } from "./drain";
import type { Logger } from "./log";
import { type TlsConnections, tlsConnections, withoutTickets } from "./tls-connections";

const MAX_HEADER_BYTES = 16 * 1024;

/** A listening server. */
export interface Listening {
  readonly url: string;
  /**
   * Uses other certificates from the next connection on. Open connections end: with their next answer, or at once where
   * the client's certificate is below none of the new CAs.
   */
  renewTls(context: SecureContextOptions): void;
  /** Stops accepting, lets requests in flight end, then closes. */
  close(): Promise<void>;
}

/** Where to listen, and with which certificates. */
export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tls?: TlsOptions;
  /** Milliseconds that requests in flight have to end once it closes; 10,000 by default. */
  readonly drainMs?: number;
}

/** A request line of HTTP/1 whose method Node has never heard of. @see RFC 9112 §3 */
const REQUEST_LINE = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+ [^ \r\n]+ HTTP\/1\.[01]\r\n/;

/** Listens; what is no HTTP at all is answered as `request_malformed`, and every answer is a problem document. */
export async function listen(handler: RequestListener, options: ListenOptions): Promise<Listening> {
  const http = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: 30_000,
    headersTimeout: 10_000,
    keepAliveTimeout: 65_000,
    // asked for by the handler, which answers with a problem document where Node would not
    requireHostHeader: false,
  };
  const latest = new WeakMap<Duplex, { readonly request: IncomingMessage; readonly response: ServerResponse }>();
  const onRequest: RequestListener = (request, response) => {
    latest.set(request.socket, { request, response });
    if (connections?.admits(request, response) === false) return;
    handler(request, response);
  };
  let connections: TlsConnections | undefined;
  let server: Server;
  if (options.tls === undefined) server = createServer(http, onRequest);
  else {
    const tlsServer = createTlsServer({ ...http, ...withoutTickets(options.tls) }, onRequest);
    connections = tlsConnections(tlsServer, options.tls);
    server = tlsServer;
  }
  server.on("clientError", (error: NodeJS.ErrnoException & { readonly rawPacket?: Buffer }, socket) => {
    const last = latest.get(socket);
    if (last?.response.writableFinished === false && (last.response.headersSent || last.request.complete)) {
      // what came before has an answer of its own, which a second one must not overtake
      last.response.once("finish", () => socket.end());
      return;
    }
    const isUnknownMethod = error.code === "HPE_INVALID_METHOD" && REQUEST_LINE.test(firstLine(error.rawPacket));
    answerWithoutParser(socket, isUnknownMethod ? NO_ROUTE : NO_HTTP);
  });
  server.on("connect", (_request, socket) => {
    answerWithoutParser(socket, NO_ROUTE);
  });
  // an expectation that is not understood may be passed over (RFC 9110 §10.1.1); Node would answer 417 by itself
  server.on("checkExpectation", onRequest);
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(options.port, options.host, () => {
      server.off("error", reject);
      resolve();
    });
  });
  const { port } = server.address() as AddressInfo;
  const scheme = options.tls === undefined ? "http" : "https";
  return {
    url: `${scheme}://${options.host}:${String(port)}`,
    renewTls(context) {
      connections?.renew(context);
    },
    close: () => drain(server, options.drainMs),
  };
}

const NO_HTTP = failure("request_malformed", "This is no HTTP request.");
const NO_ROUTE = failure("route_not_found", "No such method and path.");

function firstLine(packet: Buffer | undefined): string {
  return packet?.subarray(0, MAX_HEADER_BYTES).toString("latin1") ?? "";
}

/** Writes a problem document where there is no response object to write it, and ends the connection. */
function answerWithoutParser(socket: Duplex, why: Failure): void {
  if (!socket.writable) {
    socket.destroy();
    return;
  }
  const requestId = randomUUID();
  const { status } = PROBLEMS[why.code];
  const body = JSON.stringify(problemDocument(why, requestId));
  const lines = [
    `HTTP/1.1 ${String(status)} ${STATUS_CODES[status] ?? ""}`,
    "content-type: application/problem+json",
    `content-length: ${String(Buffer.byteLength(body))}`,
    "cache-control: no-store",
    `x-request-id: ${requestId}`,
    "connection: close",
  ];
  socket.end(`${lines.join("\r\n")}\r\n\r\n${body}`);
}

/** A running service: what to close, in order, when it is told to stop. */
export interface RunningService {
  readonly url: string;
  close(): Promise<void>;
}

/** Runs a service until SIGTERM or SIGINT; a start that fails is explained on standard error, exit code 1. */
export function runMain(log: Logger, start: () => Promise<RunningService>): void {
  const fail = (error: unknown): void => {
    log.fatal({ err: error }, "stopped by an error");
    process.exitCode = 1;
  };
  start().then(
    (service) => {
      // whatever the log's level: whoever started it waits for this line
      const { service: name } = log.bindings();
      process.stdout.write(`${JSON.stringify({ msg: "listening", service: String(name), url: service.url })}\n`);
      let isStopping = false;
      const stop = (): void => {
        if (isStopping) return;
        isStopping = true;
        service.close().then(() => {
          log.info("stopped");
          process.exit();
        }, fail);
      };
      process.on("SIGTERM", stop).on("SIGINT", stop);
    },
    (error: unknown) => {
      fail(error);
      // whatever the log's level
      process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
      process.exit(1);
    },
  );
}

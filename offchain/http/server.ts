import { randomUUID } from "node:crypto";
import { type RequestListener, type Server, createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { TlsOptions } from "node:tls";

import { problemDocument } from "../wire/problem";
import { failure } from "../wire/result";
import type { Logger } from "./log";

const MAX_HEADER_BYTES = 16 * 1024;
/** Milliseconds that requests in flight have to end after SIGTERM. */
const DRAIN_MS = 10_000;

/** A listening server. */
export interface Listening {
  readonly url: string;
  /** Stops accepting, lets requests in flight end, then closes. */
  close(): Promise<void>;
}

/** Where to listen, and with which certificates. */
export interface ListenOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly tls?: TlsOptions;
}

/** Listens; what is no HTTP at all is answered as `request_malformed`. */
export async function listen(handler: RequestListener, options: ListenOptions): Promise<Listening> {
  const http = {
    maxHeaderSize: MAX_HEADER_BYTES,
    requestTimeout: 30_000,
    headersTimeout: 10_000,
    keepAliveTimeout: 65_000,
  };
  const server: Server =
    options.tls === undefined ? createServer(http, handler) : createTlsServer({ ...http, ...options.tls }, handler);
  server.on("clientError", (_error, socket) => {
    if (!socket.writable) {
      socket.destroy();
      return;
    }
    const requestId = randomUUID();
    const body = JSON.stringify(problemDocument(failure("request_malformed", "This is no HTTP request."), requestId));
    const head = `HTTP/1.1 400 Bad Request\r\ncontent-type: application/problem+json\r\nx-request-id: ${requestId}\r\n`;
    socket.end(`${head}content-length: ${String(Buffer.byteLength(body))}\r\nconnection: close\r\n\r\n${body}`);
  });
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
    close: () =>
      new Promise((resolve) => {
        const timer = setTimeout(() => {
          server.closeAllConnections();
        }, DRAIN_MS);
        server.close(() => {
          clearTimeout(timer);
          resolve();
        });
        server.closeIdleConnections();
      }),
  };
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
      process.exit(1);
    },
  );
}

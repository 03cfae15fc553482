import { type IncomingMessage, type RequestOptions, createServer, request } from "node:http";
import type { AddressInfo } from "node:net";
import { connect } from "node:net";

import { serviceLog } from "../../offchain/http/log";
import { type SidecarParts, sidecarHandler } from "../../offchain/sidecar/app";
import { type CredentialCache, credentialCache } from "../../offchain/sidecar/cache";
import { type Admission, socketAdmission } from "../../offchain/sidecar/callers";
import type { UpstreamEntry } from "../../offchain/sidecar/services";
import { SERVER_LIMITS } from "../../offchain/sidecar/unix-socket";
import { ok } from "../../offchain/wire/result";

/** The credential of tests: every character that some encoding changes. */
export const CREDENTIAL = 'sk-live/AB+cd "q"\\=%25~&9';

/** An entry as `readServices` gives it. */
export function entry(upstream: string, change: Partial<UpstreamEntry> = {}): UpstreamEntry {
  return {
    service: "openrouter",
    upstream: new URL(upstream),
    header: "authorization",
    format: "Bearer {credential}",
    ca: undefined,
    allowPrivate: true,
    ...change,
  };
}

/** The sidecar's own handler on a real socket; only where the credential comes from is the test's. */
export interface LocalSidecar {
  readonly port: number;
  readonly cache: CredentialCache;
  /** How often the credential was asked for. */
  readonly loads: () => number;
  stop(): Promise<void>;
}

/** Starts one for these entries. */
export async function localSidecar(
  entries: readonly UpstreamEntry[],
  change: Partial<SidecarParts> & { readonly admits?: (host: string) => Admission; readonly credential?: string } = {},
): Promise<LocalSidecar> {
  let loads = 0;
  const cache = change.cache ?? credentialCache(() => performance.now());
  const load = change.load ?? (() => Promise.resolve(ok(Buffer.from(change.credential ?? CREDENTIAL))));
  const parts: SidecarParts = {
    services: new Map(entries.map((one) => [one.service, one])),
    stillAllowed: () => Promise.resolve(ok(undefined)),
    log: serviceLog("sidecar", "silent"),
    ...change,
    cache,
    load(service) {
      loads += 1;
      return load(service);
    },
  };
  const server = createServer(SERVER_LIMITS);
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  const { port } = server.address() as AddressInfo;
  server.on("request", sidecarHandler(parts, change.admits?.(`127.0.0.1:${String(port)}`) ?? socketAdmission));
  return {
    port,
    cache,
    loads: () => loads,
    stop: () =>
      new Promise((done) => {
        cache.clear();
        server.close(() => {
          done();
        });
        server.closeAllConnections();
      }),
  };
}

/** An answer of the sidecar, read whole. */
export interface SidecarAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly rawHeaders: readonly string[];
  readonly body: string;
  /** `code` of a problem document. */
  readonly code: string | undefined;
}

/** Calls over TCP or a Unix socket with exactly these headers. */
export function call(options: RequestOptions, body?: string | Buffer): Promise<SidecarAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request({ host: "127.0.0.1", agent: false, ...options }, (incoming) => {
      readAnswer(incoming).then(resolve, reject);
    });
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

/** Reads an answer whole; rejects where it is cut. */
export function readAnswer(incoming: IncomingMessage): Promise<SidecarAnswer> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("error", reject);
    incoming.on("end", () => {
      const body = Buffer.concat(chunks).toString();
      let code: unknown;
      try {
        code = (JSON.parse(body) as { code?: unknown }).code;
      } catch {
        code = undefined;
      }
      const { headers, rawHeaders, statusCode = 0 } = incoming;
      resolve({ status: statusCode, headers, rawHeaders, body, code: typeof code === "string" ? code : undefined });
    });
  });
}

/** Writes bytes to a port and returns everything that comes back until the other side closes. */
export function raw(port: number, bytes: string): Promise<string> {
  return new Promise((resolve) => {
    let received = "";
    const socket = connect(port, "127.0.0.1");
    socket.on("data", (data: Buffer) => (received += data.toString("latin1")));
    socket
      .on("error", () => undefined)
      .on("close", () => {
        resolve(received);
      });
    socket.write(Buffer.from(bytes, "latin1"));
  });
}

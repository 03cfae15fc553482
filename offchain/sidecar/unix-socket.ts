import { chmodSync, lstatSync, mkdirSync, rmSync } from "node:fs";
import { type RequestListener, type Server, createServer } from "node:http";
import { connect } from "node:net";
import { dirname } from "node:path";

/** A body may stream for as long as its caller likes; a head may not. */
export const SERVER_LIMITS = { maxHeaderSize: 16 * 1024, headersTimeout: 10_000, requestTimeout: 0 } as const;

/** Listens on a Unix socket that only this user can open from the moment it exists. */
export async function listenOnSocket(path: string, handler: RequestListener): Promise<Server> {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  await removeStale(path);
  const server = createServer(SERVER_LIMITS, handler);
  const before = process.umask(0o177);
  try {
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(path, resolve);
    });
  } finally {
    process.umask(before);
  }
  chmodSync(path, 0o600);
  return server;
}

/** The socket of a sidecar that is gone is replaced; that of a live one, or anything else, is refused. */
async function removeStale(path: string): Promise<void> {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  if (stat === undefined) return;
  if (!stat.isSocket()) throw new Error(`${path} is not a socket: something else was put in its place`);
  const isLive = await new Promise<boolean>((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    // only nobody's answer is a refusal: a full backlog (EAGAIN) belongs to a sidecar that lives
    probe.once("error", (error: NodeJS.ErrnoException) => {
      resolve(error.code !== "ECONNREFUSED");
    });
  });
  if (isLive) throw new Error(`${path} is in use by another sidecar`);
  rmSync(path);
}

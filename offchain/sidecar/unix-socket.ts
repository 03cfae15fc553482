import { type RequestListener, type Server, createServer } from "node:http";

import { listenPrivately } from "../http/unix-socket";

/** A body may stream for as long as its caller likes; a head may not. */
export const SERVER_LIMITS = { maxHeaderSize: 16 * 1024, headersTimeout: 10_000, requestTimeout: 0 } as const;

/** Listens on a Unix socket that only this user can open from the moment it exists. */
export async function listenOnSocket(path: string, handler: RequestListener): Promise<Server> {
  const server = createServer(SERVER_LIMITS, handler);
  await listenPrivately(server, path);
  return server;
}

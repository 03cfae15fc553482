import type { Server } from "node:http";

/** Milliseconds that requests in flight have to end after SIGTERM. */
const DRAIN_MS = 10_000;
const LOOK_MS = 50;

/**
 * Stops accepting, lets requests in flight end, then closes; what is still under way after `drainMs` is cut. A kept-alive
 * connection goes as soon as its request is answered, not when it would have grown old.
 */
export function drain(server: Server, drainMs = DRAIN_MS): Promise<void> {
  return new Promise((resolve) => {
    const idle = setInterval(() => {
      server.closeIdleConnections();
    }, LOOK_MS);
    const cut = setTimeout(() => {
      server.closeAllConnections();
    }, drainMs);
    server.close(() => {
      clearInterval(idle);
      clearTimeout(cut);
      resolve();
    });
    server.closeIdleConnections();
  });
}

import { constants } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Server as TlsServer } from "node:https";
import { type SecureContextOptions, type TlsOptions, TLSSocket } from "node:tls";

import { goodUntil } from "./peer-chain";

/** The open connections of a TLS server whose certificates are renewed under way. */
export interface TlsConnections {
  /**
   * Uses these from the next connection on. A connection whose client's certificate is below none of the new CAs is cut
   * at once, whatever it was about to be answered; every other one ends with the next request on it.
   */
  renew(context: SecureContextOptions): void;
  /**
   * To be asked for each request before it is handled: whether it may be. A connection whose client's certificate, or one
   * above it, has expired since is cut. What a cut connection had sent before is still read by Node, and must not be
   * handled.
   */
  admits(request: IncomingMessage, response: ServerResponse): boolean;
}

/** What is added to a server's options: every client shows its certificate anew, none comes back by a session's ticket. */
export function withoutTickets<T extends TlsOptions>(options: T): T {
  return { ...options, secureOptions: (options.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET };
}

/** Follows the connections of a server, from its start on. @param options those it was made with */
export function tlsConnections(server: TlsServer, options: TlsOptions): TlsConnections {
  /** Each open connection, and when its client's certificate ends (Unix ms). */
  const open = new Map<TLSSocket, number>();
  const ending = new WeakSet<TLSSocket>();
  let { ca } = options;

  /** Until when the client is welcome; undefined where it is not. */
  const welcomeUntil = (socket: TLSSocket): number | undefined => {
    if (options.requestCert !== true || !Buffer.isBuffer(ca)) return Infinity;
    // one that is gone already has no certificate any more
    return socket.destroyed ? undefined : goodUntil(socket.getPeerCertificate(true), ca);
  };

  server.on("secureConnection", (socket) => {
    // its handshake may have begun under the CAs of before; that the server's own certificate is of before harms nobody
    const until = welcomeUntil(socket);
    if (until === undefined) {
      socket.destroy();
      return;
    }
    open.set(socket, until);
    socket.once("close", () => open.delete(socket));
  });
  return {
    renew(context) {
      server.setSecureContext(withoutTickets(context));
      ({ ca } = context);
      for (const socket of open.keys()) {
        const until = welcomeUntil(socket);
        if (until === undefined) socket.destroy();
        else {
          open.set(socket, until);
          ending.add(socket);
        }
      }
    },
    admits({ socket }, response) {
      if (!(socket instanceof TLSSocket) || socket.destroyed) return false;
      // the machine's clock, which the handshake went by
      if (Date.now() > (open.get(socket) ?? 0)) {
        socket.destroy();
        return false;
      }
      if (ending.has(socket)) response.setHeader("connection", "close");
      return true;
    },
  };
}

import { constants } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Server as TlsServer } from "node:https";
import { type SecureContextOptions, type TlsOptions, TLSSocket } from "node:tls";

import { chainsTo } from "./peer-chain";

/** The open connections of a TLS server whose certificates are renewed under way. */
export interface TlsConnections {
  /**
   * Uses these from the next connection on. A connection whose client's certificate is below none of the new CAs is cut
   * at once, whatever it was about to be answered; every other one ends with the next request on it.
   */
  renew(context: SecureContextOptions): void;
  /**
   * To be asked for each request before it is handled: whether it may be. What a cut connection had sent before is still
   * read by Node, and must not be handled.
   */
  admits(request: IncomingMessage, response: ServerResponse): boolean;
}

/** What is added to a server's options: every client shows its certificate anew, none comes back by a session's ticket. */
export function withoutTickets<T extends TlsOptions>(options: T): T {
  return { ...options, secureOptions: (options.secureOptions ?? 0) | constants.SSL_OP_NO_TICKET };
}

/** Follows the connections of a server, from its start on. @param options those it was made with */
export function tlsConnections(server: TlsServer, options: TlsOptions): TlsConnections {
  const open = new Set<TLSSocket>();
  const ending = new WeakSet<TLSSocket>();
  let { ca } = options;

  const isWelcome = (socket: TLSSocket): boolean => {
    if (options.requestCert !== true || !Buffer.isBuffer(ca)) return true;
    // one that is gone already has no certificate any more
    return !socket.destroyed && chainsTo(socket.getPeerCertificate(true), ca);
  };

  server.on("secureConnection", (socket) => {
    // its handshake may have begun under the CAs of before; that the server's own certificate is of before harms nobody
    if (!isWelcome(socket)) {
      socket.destroy();
      return;
    }
    open.add(socket);
    socket.once("close", () => open.delete(socket));
  });
  return {
    renew(context) {
      server.setSecureContext(withoutTickets(context));
      ({ ca } = context);
      for (const socket of open) {
        if (isWelcome(socket)) ending.add(socket);
        else socket.destroy();
      }
    },
    admits({ socket }, response) {
      if (!(socket instanceof TLSSocket) || socket.destroyed) return false;
      if (ending.has(socket)) response.setHeader("connection", "close");
      return true;
    },
  };
}

import { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate } from "node:tls";

import { certificatesIn } from "./tls-files";

/** Certificates above a peer's own that are looked at. */
const MAX_DEPTH = 3;

/**
 * Whether a peer's certificate is below one of these CAs, each signature asked anew. Dates and uses are not looked at:
 * they were at the handshake. What a peer sends along says nothing by itself, since it chooses it.
 * @param cas PEM of the CAs, as TLS takes it; those that did not make themselves are no anchors, as with TLS
 */
export function chainsTo(peer: DetailedPeerCertificate, cas: Buffer): boolean {
  const known = certificatesIn(cas);
  const anchors = known.filter((one) => isMadeBy(one, one));
  const between = [...known, ...sentAlong(peer)].filter((one) => !anchors.includes(one));
  return isBelow(new X509Certificate(peer.raw), anchors, between, MAX_DEPTH);
}

function isBelow(
  certificate: X509Certificate,
  anchors: readonly X509Certificate[],
  between: readonly X509Certificate[],
  depth: number,
): boolean {
  if (anchors.some((one) => isMadeBy(certificate, one))) return true;
  return depth > 0 && between.some((one) => isMadeBy(certificate, one) && isBelow(one, anchors, between, depth - 1));
}

function isMadeBy(certificate: X509Certificate, ca: X509Certificate): boolean {
  return ca.ca && certificate.checkIssued(ca) && certificate.verify(ca.publicKey);
}

/** The certificates above the peer's own, as Node found them among those that came and those that were trusted then. */
function sentAlong(peer: DetailedPeerCertificate): readonly X509Certificate[] {
  const found: X509Certificate[] = [];
  // the last names itself, or, where none was found, nobody
  let one: Partial<DetailedPeerCertificate> = peer;
  while (found.length < MAX_DEPTH) {
    const above: Partial<DetailedPeerCertificate> | undefined = one.issuerCertificate;
    if (above?.raw === undefined || above === one) break;
    found.push(new X509Certificate(above.raw));
    one = above;
  }
  return found;
}

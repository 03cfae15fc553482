import { X509Certificate } from "node:crypto";
import type { DetailedPeerCertificate } from "node:tls";

import { certificatesIn } from "./tls-files";

/** Certificates above a peer's own that are looked at. */
const MAX_DEPTH = 3;

/**
 * Until when a peer's certificate is good below these CAs: the first `notAfter` of the chain that lasts longest, in Unix
 * milliseconds; undefined where it is below none. Each signature is asked anew. When certificates begin, and their uses,
 * were looked at by the handshake. What a peer sends along says nothing by itself, since it chooses it.
 * @param cas PEM of the CAs, as TLS takes it; those that did not make themselves are no anchors, as with TLS
 */
export function goodUntil(peer: DetailedPeerCertificate, cas: Buffer): number | undefined {
  const known = certificatesIn(cas);
  const anchors = known.filter((one) => isMadeBy(one, one));
  const between = [...known, ...sentAlong(peer)].filter((one) => !anchors.includes(one));
  const end = lastEnd(new X509Certificate(peer.raw), anchors, between, MAX_DEPTH);
  return end === NEVER ? undefined : end;
}

/** Of a certificate that is below no CA. */
const NEVER = -Infinity;

function lastEnd(
  certificate: X509Certificate,
  anchors: readonly X509Certificate[],
  between: readonly X509Certificate[],
  depth: number,
): number {
  const above = [
    ...anchors.filter((one) => isMadeBy(certificate, one)).map(endOf),
    ...(depth === 0 ? [] : between)
      .filter((one) => isMadeBy(certificate, one))
      .map((one) => lastEnd(one, anchors, between, depth - 1)),
  ];
  return Math.min(endOf(certificate), Math.max(NEVER, ...above));
}

/** A date that does not read is one that is over. */
function endOf({ validTo }: X509Certificate): number {
  const end = Date.parse(validTo);
  return Number.isNaN(end) ? 0 : end;
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

import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFileSync, statSync } from "node:fs";
import { createSecureContext } from "node:tls";

import { readSecretFile } from "./config";
import type { Logger } from "./log";

/** How often the files are looked at. */
const LOOK_MS = 2_000;

const CERTIFICATE_END = "-----END CERTIFICATE-----";

/** Paths of PEM files; the key's must be 0600. `ca` is left out where peers need no certificate. */
export interface TlsPaths {
  readonly ca?: string;
  readonly cert: string;
  readonly key: string;
}

/** PEM texts that fit each other. */
export interface TlsTexts {
  readonly ca?: Buffer;
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** The certificate in use, and how to hear of the next. */
export interface TlsFiles {
  current(): TlsTexts;
  /** Called with each new certificate, once it is whole and fits its key. */
  onChange(use: (texts: TlsTexts) => void): void;
  close(): void;
}

/**
 * Certificates that are renewed without a restart: the files are looked at every two seconds. What is torn, unreadable
 * or fits no key is logged once, and what was read before stays in use. Throws where the first reading fails.
 */
export function followTlsFiles(paths: TlsPaths, log: Logger): TlsFiles {
  // before the reading: what is replaced meanwhile is seen at the next look
  let stamp = stampOf(paths);
  let texts = readTexts(paths);
  const users: ((texts: TlsTexts) => void)[] = [];
  const timer = setInterval(() => {
    const seen = stampOf(paths);
    if (seen === stamp) return;
    stamp = seen;
    try {
      texts = readTexts(paths);
    } catch (error) {
      log.error({ err: error, cert: paths.cert }, "the new certificate cannot be used; the one before stays in use");
      return;
    }
    log.info({ cert: paths.cert, validTo: new X509Certificate(texts.cert).validTo }, "a new certificate is in use");
    for (const use of users) use(texts);
  }, LOOK_MS).unref();
  return {
    current: () => texts,
    onChange: (use) => void users.push(use),
    close: () => {
      clearInterval(timer);
    },
  };
}

function readTexts({ ca, cert, key }: TlsPaths): TlsTexts {
  const texts = {
    ...(ca === undefined ? {} : { ca: readCertificates(ca) }),
    cert: readCertificates(cert),
    key: readSecretFile(key),
  };
  createSecureContext(texts);
  if (!new X509Certificate(texts.cert).checkPrivateKey(createPrivateKey(texts.key))) {
    throw new Error(`${cert} is not the certificate of ${key}`);
  }
  return texts;
}

/** Whole certificates and nothing behind: OpenSSL passes over what it cannot read of a CA's file or of a chain's end. */
function readCertificates(file: string): Buffer {
  const pem = readFileSync(file);
  if (certificatesIn(pem).length === 0) throw new Error(`${file} holds no certificate, or is cut off`);
  return pem;
}

/** The certificates of a PEM text; none where anything else stands behind the last. Throws where one cannot be read. */
export function certificatesIn(pem: Buffer): readonly X509Certificate[] {
  const blocks = pem.toString("latin1").trim().split(CERTIFICATE_END);
  if (blocks.pop() !== "") return [];
  return blocks.map((block) => new X509Certificate(block + CERTIFICATE_END));
}

/**
 * Changes whenever one of the files does, its mode included; a file that is gone for the moment of a replacement is a
 * change too.
 */
function stampOf({ ca, cert, key }: TlsPaths): string {
  return [ca, cert, key]
    .map((file) => {
      const stat = file === undefined ? undefined : statSync(file, { throwIfNoEntry: false });
      return stat === undefined ? "-" : `${String(stat.ctimeMs)}/${String(stat.ino)}/${String(stat.size)}`;
    })
    .join(" ");
}

import "reflect-metadata";

import { X509Certificate, createPrivateKey, webcrypto } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import * as x509 from "@peculiar/x509";

import { certificatesIn } from "../../offchain/http/tls-files";

/** Who gets a certificate: file name → SPIFFE id and what it is used for. */
export const CERTIFICATES = {
  signer: { id: "spiffe://agentkeys/signer", usage: x509.ExtendedKeyUsage.serverAuth },
  broker: { id: "spiffe://agentkeys/broker", usage: x509.ExtendedKeyUsage.clientAuth },
  "worker-credentials": { id: "spiffe://agentkeys/worker/credentials", usage: x509.ExtendedKeyUsage.clientAuth },
  "worker-memory": { id: "spiffe://agentkeys/worker/memory", usage: x509.ExtendedKeyUsage.clientAuth },
  "worker-config": { id: "spiffe://agentkeys/worker/config", usage: x509.ExtendedKeyUsage.clientAuth },
} as const;

/** What a run of `makeCertificates` left in the folder. */
export interface MadeCertificates {
  readonly dir: string;
  readonly certificates: readonly { readonly id: string; readonly made: boolean; readonly notAfter: string }[];
}

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;
const CA_DAYS = 3_650;
const LEAF_DAYS = 90;

/**
 * Makes `ca.pem` and `<name>.pem`, `<name>.key` for each service; keeps what has more than a third of its life left,
 * belongs to its key, and was made by this CA for this name. The CA's key may lie elsewhere while nothing is made.
 * @throws Error that names a CA which cannot be used; `force` makes everything anew
 */
export async function makeCertificates(options: {
  readonly dir: string;
  readonly force?: boolean;
}): Promise<MadeCertificates> {
  const { dir, force = false } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const ca = (force ? undefined : keptCa(dir)) ?? (await makeCa(dir));
  const certificates = [];
  for (const [name, { id, usage }] of Object.entries(CERTIFICATES)) {
    const kept = keptLeaf(dir, name, { id, usage }, ca.certificate);
    const notAfter = kept === undefined ? (await issue(dir, name, id, usage, ca)).notAfter : new Date(kept.validTo);
    certificates.push({ id, made: kept === undefined, notAfter: notAfter.toISOString() });
  }
  return { dir, certificates };
}

/**
 * The first step of a CA's rollover: a new CA in front of the one that is there, in one `ca.pem`. Certificates stay those
 * of the old one; the next `makeCertificates` makes them anew by the new one. The old CA's key is gone: it signs no more.
 * @throws Error where there is no CA, or one that cannot be told from the new one, or where a rollover is under way
 */
export async function addCa(dir: string): Promise<void> {
  const file = join(dir, "ca.pem");
  const [old, ...more] = casIn(dir);
  if (old === undefined) throw new Error(`${file} is not there: there is nothing to roll over`);
  if (more.length > 0) throw new Error(`${file} has an old CA already: end that rollover with --drop-old-ca`);
  // of two CAs with one name, TLS finds the right one by this alone
  if (new x509.X509Certificate(old.raw).getExtension(x509.SubjectKeyIdentifierExtension) === null) {
    throw new Error(`${file} names no key identifier: use --force, and restart all services together`);
  }
  await makeCa(dir, old.toString());
}

/**
 * The last step: the new CA alone is left in `ca.pem`.
 * @throws Error while a certificate is not the new CA's
 */
export function dropOldCas(dir: string): void {
  const file = join(dir, "ca.pem");
  const [ca, ...old] = casIn(dir);
  if (ca === undefined || old.length === 0) throw new Error(`${file} has no old CA`);
  for (const [name, made] of Object.entries(CERTIFICATES)) {
    if (keptLeaf(dir, name, made, ca) === undefined) {
      throw new Error(`${name}.pem is not the new CA's: run certs without this option first, and hand it out`);
    }
  }
  writeWhole(file, ca.toString(), 0o644);
}

function casIn(dir: string): readonly X509Certificate[] {
  const file = join(dir, "ca.pem");
  return existsSync(file) ? certificatesIn(readFileSync(file)) : [];
}

interface Ca {
  readonly certificate: X509Certificate;
  /** Read when something is to be signed. */
  privateKey(): Promise<webcrypto.CryptoKey>;
}

/** The CA of an earlier run, or undefined where there is none or it has grown old. Its key is asked for when needed. */
function keptCa(dir: string): Ca | undefined {
  const [file, keyFile] = [join(dir, "ca.pem"), join(dir, "ca.key")];
  if (!existsSync(file)) return undefined;
  const certificate = readCertificate(file);
  if (!certificate?.ca) {
    throw new Error(`${file} is not a CA's certificate: move it away, or let --force make everything anew`);
  }
  if (!isYoung(certificate, CA_DAYS)) return undefined;
  return {
    certificate,
    async privateKey() {
      if (!existsSync(keyFile)) throw new Error(`${file} is here without ${keyFile}: put it back, or use --force`);
      const pem = readFileSync(keyFile, "utf8");
      if (!certificate.checkPrivateKey(createPrivateKey(pem))) {
        throw new Error(`${keyFile} is not the key of ${file}: put the right one back, or use --force`);
      }
      const pkcs8 = x509.PemConverter.decodeFirst(pem);
      return webcrypto.subtle.importKey("pkcs8", pkcs8, ALGORITHM, true, ["sign"]);
    },
  };
}

/** @param old PEM of the CA that stays trusted beside it */
async function makeCa(dir: string, old = ""): Promise<Ca> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned(
    {
      name: "CN=AgentKeys internal CA",
      ...validity(CA_DAYS),
      keys,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(true, 0, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
      ],
    },
    webcrypto,
  );
  await writePair(dir, "ca", `${certificate.toString("pem")}\n${old}`, keys.privateKey);
  const privateKey = (): Promise<webcrypto.CryptoKey> => Promise.resolve(keys.privateKey);
  return { certificate: new X509Certificate(certificate.toString("pem")), privateKey };
}

/** Exactly one URI name and no other: callers are compared by it, whole. @see protocol 3.7 */
async function issue(
  dir: string,
  name: string,
  id: string,
  usage: x509.ExtendedKeyUsage,
  ca: Ca,
): Promise<x509.X509Certificate> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
  const issuer = new x509.X509Certificate(ca.certificate.raw);
  const certificate = await x509.X509CertificateGenerator.create(
    {
      subject: `CN=${name}`,
      issuer: issuer.subject,
      ...validity(LEAF_DAYS),
      publicKey: keys.publicKey,
      signingKey: await ca.privateKey(),
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([usage]),
        new x509.SubjectAlternativeNameExtension([{ type: "url", value: id }]),
        await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto),
        await authorityKeyOf(issuer),
      ],
    },
    webcrypto,
  );
  await writePair(dir, name, certificate.toString("pem"), keys.privateKey);
  return certificate;
}

/** The CA's own key identifier where it names one, so that both agree; otherwise that of its key. @see RFC 5280 4.2.1.1 */
async function authorityKeyOf(ca: x509.X509Certificate): Promise<x509.AuthorityKeyIdentifierExtension> {
  const named = ca.getExtension(x509.SubjectKeyIdentifierExtension);
  if (named !== null) return new x509.AuthorityKeyIdentifierExtension(named.keyId);
  return x509.AuthorityKeyIdentifierExtension.create(ca.publicKey, false, webcrypto);
}

async function writePair(dir: string, name: string, pem: string, key: webcrypto.CryptoKey): Promise<void> {
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", key);
  writeWhole(join(dir, `${name}.key`), x509.PemConverter.encode(pkcs8, "PRIVATE KEY"), 0o600);
  writeWhole(join(dir, `${name}.pem`), pem, 0o644);
}

function writeWhole(file: string, text: string, mode: number): void {
  // what a killed run left would keep its own mode
  rmSync(`${file}.tmp`, { force: true });
  writeFileSync(`${file}.tmp`, text, { mode, flag: "wx", flush: true });
  renameSync(`${file}.tmp`, file);
}

/** What an earlier run made, unless it is old, torn (one file of another run), of another CA, or made for something else. */
function keptLeaf(
  dir: string,
  name: string,
  made: { readonly id: string; readonly usage: x509.ExtendedKeyUsage },
  ca: X509Certificate,
): X509Certificate | undefined {
  const [file, keyFile] = [join(dir, `${name}.pem`), join(dir, `${name}.key`)];
  const certificate = existsSync(file) && existsSync(keyFile) ? readCertificate(file) : undefined;
  if (certificate === undefined || !isYoung(certificate, LEAF_DAYS)) return undefined;
  const usages = certificate.keyUsage as readonly string[] | undefined;
  if (certificate.subjectAltName !== `URI:${made.id}` || usages?.includes(made.usage) !== true) return undefined;
  return certificate.verify(ca.publicKey) && belongsTo(certificate, keyFile) ? certificate : undefined;
}

function belongsTo(certificate: X509Certificate, keyFile: string): boolean {
  try {
    return certificate.checkPrivateKey(createPrivateKey(readFileSync(keyFile)));
  } catch {
    return false;
  }
}

function readCertificate(file: string): X509Certificate | undefined {
  try {
    return new X509Certificate(readFileSync(file));
  } catch {
    return undefined;
  }
}

function isYoung(certificate: X509Certificate, days: number): boolean {
  return Date.parse(certificate.validTo) - Date.now() > (days * DAY_MS) / 3;
}

function validity(days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(Date.now() - 300_000), notAfter: new Date(Date.now() + days * DAY_MS) };
}

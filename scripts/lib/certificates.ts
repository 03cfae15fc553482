import "reflect-metadata";

import { webcrypto } from "node:crypto";
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import * as x509 from "@peculiar/x509";

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

/** Makes `ca.pem` and `<name>.pem`, `<name>.key` for each service; keeps what has more than a third of its life left. */
export async function makeCertificates(options: {
  readonly dir: string;
  readonly force?: boolean;
}): Promise<MadeCertificates> {
  const { dir, force = false } = options;
  mkdirSync(dir, { recursive: true, mode: 0o700 });
  const ca = await openCa(dir, force);
  const certificates = [];
  for (const [name, { id, usage }] of Object.entries(CERTIFICATES)) {
    const kept = ca.made || force ? undefined : youngEnough(join(dir, `${name}.pem`), LEAF_DAYS);
    const made = kept ?? (await issue(dir, name, id, usage, ca));
    certificates.push({ id, made: kept === undefined, notAfter: made.notAfter.toISOString() });
  }
  return { dir, certificates };
}

interface Ca {
  readonly certificate: x509.X509Certificate;
  readonly privateKey: webcrypto.CryptoKey;
  readonly made: boolean;
}

async function openCa(dir: string, force: boolean): Promise<Ca> {
  const kept = force ? undefined : youngEnough(join(dir, "ca.pem"), CA_DAYS);
  if (kept !== undefined && existsSync(join(dir, "ca.key"))) {
    const pkcs8 = x509.PemConverter.decodeFirst(readFileSync(join(dir, "ca.key"), "utf8"));
    const privateKey = await webcrypto.subtle.importKey("pkcs8", pkcs8, ALGORITHM, true, ["sign"]);
    return { certificate: kept, privateKey, made: false };
  }
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
      ],
    },
    webcrypto,
  );
  await writePair(dir, "ca", certificate, keys.privateKey);
  return { certificate, privateKey: keys.privateKey, made: true };
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
  const certificate = await x509.X509CertificateGenerator.create(
    {
      subject: `CN=${name}`,
      issuer: ca.certificate.subject,
      ...validity(LEAF_DAYS),
      publicKey: keys.publicKey,
      signingKey: ca.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [
        new x509.BasicConstraintsExtension(false, undefined, true),
        new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        new x509.ExtendedKeyUsageExtension([usage]),
        new x509.SubjectAlternativeNameExtension([{ type: "url", value: id }]),
      ],
    },
    webcrypto,
  );
  await writePair(dir, name, certificate, keys.privateKey);
  return certificate;
}

async function writePair(
  dir: string,
  name: string,
  certificate: x509.X509Certificate,
  key: webcrypto.CryptoKey,
): Promise<void> {
  const pkcs8 = await webcrypto.subtle.exportKey("pkcs8", key);
  writeWhole(join(dir, `${name}.key`), x509.PemConverter.encode(pkcs8, "PRIVATE KEY"), 0o600);
  writeWhole(join(dir, `${name}.pem`), certificate.toString("pem"), 0o644);
}

function writeWhole(file: string, text: string, mode: number): void {
  writeFileSync(`${file}.tmp`, text, { mode, flush: true });
  renameSync(`${file}.tmp`, file);
}

function youngEnough(file: string, days: number): x509.X509Certificate | undefined {
  if (!existsSync(file)) return undefined;
  const certificate = new x509.X509Certificate(readFileSync(file, "utf8"));
  const left = certificate.notAfter.getTime() - Date.now();
  return left > (days * DAY_MS) / 3 ? certificate : undefined;
}

function validity(days: number): { readonly notBefore: Date; readonly notAfter: Date } {
  return { notBefore: new Date(Date.now() - 300_000), notAfter: new Date(Date.now() + days * DAY_MS) };
}

import "reflect-metadata";

import { webcrypto } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";

import * as x509 from "@peculiar/x509";

/** PEM texts as a TLS client or server takes them. */
export interface TlsIdentity {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/** What a certificate is to say; an honest worker's where nothing is wished. */
export interface LeafWish {
  /** `subjectAltName`; none at all for an empty list. */
  readonly names?: readonly x509.JsonGeneralName[];
  /** `extKeyUsage`; none at all for an empty list. */
  readonly usages?: readonly x509.ExtendedKeyUsage[];
  readonly notBefore?: Date;
  readonly notAfter?: Date;
}

/** The usages that the product's certificates have one of. */
export const { clientAuth, serverAuth } = x509.ExtendedKeyUsage;

const ALGORITHM = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
const DAY_MS = 86_400_000;

/** A CA whose key the test holds: what an operator's own CA, or a thief of it, can issue. */
export class TestCa {
  private constructor(
    readonly pem: string,
    private readonly certificate: x509.X509Certificate,
    private readonly key: webcrypto.CryptoKey,
  ) {}

  /** The CA in a folder that `npm run certs` made. */
  static async of(dir: string): Promise<TestCa> {
    const pem = readFileSync(join(dir, "ca.pem"), "utf8");
    const pkcs8 = x509.PemConverter.decodeFirst(readFileSync(join(dir, "ca.key"), "utf8"));
    const key = await webcrypto.subtle.importKey("pkcs8", pkcs8, ALGORITHM, true, ["sign"]);
    return new TestCa(pem, new x509.X509Certificate(pem), key);
  }

  /**
   * Another CA, by default under the same name.
   * @param options `unnamed`: without a key identifier; `by`: not of its own making, but below that one
   */
  static async fresh(
    options: { readonly notAfter?: Date; readonly unnamed?: boolean; readonly by?: TestCa } = {},
  ): Promise<TestCa & { readonly keyPem: string }> {
    const { by } = options;
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
    const subject = by === undefined ? "CN=AgentKeys internal CA" : "CN=AgentKeys issuing CA";
    const extensions: x509.Extension[] = [new x509.BasicConstraintsExtension(true, by === undefined ? 1 : 0, true)];
    if (options.unnamed !== true) {
      extensions.push(await x509.SubjectKeyIdentifierExtension.create(keys.publicKey, false, webcrypto));
    }
    const certificate = await x509.X509CertificateGenerator.create(
      {
        subject,
        issuer: by?.certificate.subject ?? subject,
        notBefore: new Date(Date.now() - DAY_MS),
        notAfter: options.notAfter ?? new Date(Date.now() + 3_650 * DAY_MS),
        publicKey: keys.publicKey,
        signingKey: by?.key ?? keys.privateKey,
        signingAlgorithm: ALGORITHM,
        extensions,
      },
      webcrypto,
    );
    const ca = new TestCa(certificate.toString("pem"), certificate, keys.privateKey);
    return Object.assign(ca, { keyPem: await pemOf(keys.privateKey) });
  }

  /** A certificate with a fresh key. */
  async issue(wish: LeafWish = {}): Promise<TlsIdentity> {
    const { usages = [clientAuth], names = [{ type: "url", value: "spiffe://agentkeys/worker/credentials" }] } = wish;
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ["sign", "verify"]);
    const extensions: x509.Extension[] = [new x509.BasicConstraintsExtension(false, undefined, true)];
    if (usages.length > 0) extensions.push(new x509.ExtendedKeyUsageExtension([...usages]));
    const named = this.certificate.getExtension(x509.SubjectKeyIdentifierExtension);
    if (named !== null) extensions.push(new x509.AuthorityKeyIdentifierExtension(named.keyId));
    if (names.length > 0) extensions.push(new x509.SubjectAlternativeNameExtension([...names]));
    const certificate = await x509.X509CertificateGenerator.create(
      {
        subject: "CN=test",
        issuer: this.certificate.subject,
        notBefore: wish.notBefore ?? new Date(Date.now() - 300_000),
        notAfter: wish.notAfter ?? new Date(Date.now() + DAY_MS),
        publicKey: keys.publicKey,
        signingKey: this.key,
        signingAlgorithm: ALGORITHM,
        extensions,
      },
      webcrypto,
    );
    return { ca: this.pem, cert: certificate.toString("pem"), key: await pemOf(keys.privateKey) };
  }
}

async function pemOf(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey("pkcs8", key), "PRIVATE KEY");
}

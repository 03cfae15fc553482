import "reflect-metadata";

import { readFileSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import * as x509 from "@peculiar/x509";
import { expect } from "chai";
import { Agent, request } from "undici";

import { type Listening, listen } from "../../../offchain/http/server";
import { certificatesIn } from "../../../offchain/http/tls-files";
import { addCa, dropOldCas, makeCertificates } from "../../../scripts/lib/certificates";
import { TestCa } from "../../helpers/certificates";
import { runScript } from "../../helpers/program";
import { temporaryFolders } from "../../helpers/temporary-folder";

type Pair = "old" | "new";
/** PEM texts by file name. */
type Folder = Readonly<Record<"ca.pem" | "signer.pem" | "signer.key" | "broker.pem" | "broker.key", string>>;

describe("certs: a CA's rollover (RFC 5280 4.2.1.1, 4.2.1.2)", function () {
  this.timeout(60_000);
  const folders = temporaryFolders();
  after(() => {
    folders.removeAll();
  });

  const read = (dir: string): Folder => {
    const names = ["ca.pem", "signer.pem", "signer.key", "broker.pem", "broker.key"] as const;
    return Object.fromEntries(names.map((name) => [name, readFileSync(join(dir, name), "utf8")])) as Folder;
  };

  /** Every file's bytes, by name. */
  const contents = (dir: string): Readonly<Record<string, string>> =>
    Object.fromEntries(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), "utf8")]));

  /** Whether a broker with these files gets an answer from a signer with those. */
  async function meet(broker: Folder, signer: Folder): Promise<boolean> {
    const tls = { ca: signer["ca.pem"], cert: signer["signer.pem"], key: signer["signer.key"] };
    const server: Listening = await listen((_request, response) => response.end("{}"), {
      host: "127.0.0.1",
      port: 0,
      tls: { ...tls, requestCert: true, rejectUnauthorized: true, minVersion: "TLSv1.3" },
    });
    const connect = { ca: broker["ca.pem"], cert: broker["broker.pem"], key: broker["broker.key"] };
    const dispatcher = new Agent({ connect: { ...connect, checkServerIdentity: () => undefined } });
    try {
      const answer = await request(server.url, { dispatcher });
      return (await answer.body.text()) === "{}";
    } catch {
      return false;
    } finally {
      await dispatcher.close();
      await server.close();
    }
  }

  const keyIds = (pem: string): readonly (string | undefined)[] => {
    const certificate = new x509.X509Certificate(pem);
    return [
      certificate.getExtension(x509.SubjectKeyIdentifierExtension)?.keyId,
      certificate.getExtension(x509.AuthorityKeyIdentifierExtension)?.keyId,
    ];
  };

  it("every certificate names its own key and the CA's, as the CA names it", async () => {
    const dir = folders.make();
    await makeCertificates({ dir });
    const { "ca.pem": ca, "signer.pem": signer, "broker.pem": broker } = read(dir);
    const [own, above] = keyIds(ca);
    expect(own).to.match(/^[0-9a-f]{40}$/);
    expect(above).to.equal(own);
    for (const leaf of [signer, broker]) {
      expect(keyIds(leaf)[0]).to.match(/^[0-9a-f]{40}$/);
      expect(keyIds(leaf)[1]).to.equal(own);
    }
    expect(new Set([own, keyIds(signer)[0], keyIds(broker)[0]]).size).to.equal(3);
  });

  it("old and new, clients and servers, meet in both directions at every step; at the end the old ones do not", async () => {
    const dir = folders.make();
    await makeCertificates({ dir });
    const first = read(dir);
    const certs = async (...options: string[]): Promise<Folder> => {
      const run = await runScript("certs", ["--dir", dir, ...options]);
      expect(run.code, run.stderr).to.equal(0);
      return read(dir);
    };

    const trusted = await certs("--new-ca");
    expect(trusted["signer.pem"]).to.equal(first["signer.pem"]);
    expect(trusted["ca.pem"]).to.contain(first["ca.pem"].trim());
    // handed out one service after the other
    for (const [broker, signer] of [
      [first, trusted],
      [trusted, first],
      [trusted, trusted],
    ] as const) {
      expect(await meet(broker, signer)).to.equal(true);
    }
    const renewed = await certs();
    expect(renewed["ca.pem"]).to.equal(trusted["ca.pem"]);
    for (const reversed of [false, true]) {
      // whichever stands first in the file
      const text = certificatesIn(Buffer.from(trusted["ca.pem"])).map((one) => one.toString());
      const ca = { "ca.pem": (reversed ? text.reverse() : text).join("\n") };
      const of: Readonly<Record<Pair, Folder>> = { old: { ...trusted, ...ca }, new: { ...renewed, ...ca } };
      for (const broker of ["old", "new"] as const) {
        for (const signer of ["old", "new"] as const) {
          expect(await meet(of[broker], of[signer]), `${broker} asks ${signer}`).to.equal(true);
        }
      }
    }
    const last = await certs("--drop-old-ca");
    expect(certificatesIn(Buffer.from(last["ca.pem"]))).to.have.length(1);
    expect([await meet(last, last), await meet(last, renewed), await meet(renewed, last)]).to.deep.equal([
      true,
      true,
      true,
    ]);
    expect([await meet(trusted, last), await meet(last, trusted)]).to.deep.equal([false, false]);
  });

  it("no step is taken out of turn, and then nothing is changed", async () => {
    const dir = folders.make();
    const refused = async (step: () => unknown): Promise<void> => {
      const before = contents(dir);
      const error = await Promise.resolve()
        .then(step)
        .then(
          () => undefined,
          (why: unknown) => why,
        );
      expect(error).to.be.instanceOf(Error);
      expect(contents(dir)).to.deep.equal(before);
    };
    await refused(() => addCa(dir));
    await makeCertificates({ dir });
    await refused(() => {
      dropOldCas(dir);
    });
    const run = await runScript("certs", ["--dir", dir, "--new-ca", "--force"]);
    expect(run.code).to.equal(1);
    await addCa(dir);
    await refused(() => addCa(dir));
    await refused(() => {
      dropOldCas(dir);
    });
    await makeCertificates({ dir });
    dropOldCas(dir);
    expect((await makeCertificates({ dir })).certificates.filter((one) => one.made)).to.deep.equal([]);
  });

  it("a CA without a key identifier cannot be told from another of its name: no rollover, but all anew", async () => {
    const unnamed = await TestCa.fresh({ unnamed: true });
    const dir = folders.make();
    writeFileSync(join(dir, "ca.pem"), unnamed.pem);
    writeFileSync(join(dir, "ca.key"), unnamed.keyPem, { mode: 0o600 });
    await makeCertificates({ dir });
    const before = read(dir);
    expect(await meet(before, before)).to.equal(true);
    const refused = await addCa(dir).catch((error: unknown) => error);
    expect(refused).to.be.instanceOf(Error);
    expect(read(dir)).to.deep.equal(before);
    await makeCertificates({ dir, force: true });
    await addCa(dir);
  });
});

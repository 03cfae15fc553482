import { X509Certificate, createPrivateKey } from "node:crypto";
import { readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { makeCertificates } from "../../../scripts/lib/certificates";
import { TestCa, clientAuth, serverAuth } from "../../helpers/certificates";
import { runScript } from "../../helpers/program";
import { temporaryFolders } from "../../helpers/temporary-folder";

const CLIENT_AUTH = "1.3.6.1.5.5.7.3.2";
const SERVER_AUTH = "1.3.6.1.5.5.7.3.1";
const NAMES: Readonly<Record<string, string>> = {
  signer: "spiffe://agentkeys/signer",
  broker: "spiffe://agentkeys/broker",
  "worker-credentials": "spiffe://agentkeys/worker/credentials",
  "worker-memory": "spiffe://agentkeys/worker/memory",
  "worker-config": "spiffe://agentkeys/worker/config",
};
const DAY_MS = 86_400_000;

describe("certs: certificates for mutual TLS (protocol 3.7)", function () {
  this.timeout(60_000);
  const folders = temporaryFolders();
  const read = (dir: string, name: string): X509Certificate => new X509Certificate(readFileSync(join(dir, name)));
  /** Every file's bytes, by name. */
  const contents = (dir: string): Readonly<Record<string, string>> =>
    Object.fromEntries(readdirSync(dir).map((name) => [name, readFileSync(join(dir, name), "utf8")]));
  const madeIn = async (dir: string, force = false): Promise<readonly string[]> =>
    (await makeCertificates({ dir, force })).certificates.filter((one) => one.made).map((one) => one.id);

  after(() => {
    folders.removeAll();
  });

  describe("npm run certs", () => {
    const dir = join(folders.make(), "certs");
    let first: Readonly<Record<string, unknown>>;

    before(async () => {
      const run = await runScript("certs", ["--dir", dir, "--json"]);
      expect(run.code, run.stderr).to.equal(0);
      first = run.json();
    });

    it("--json: folder, and for each name whether it was made and until when", () => {
      expect(first["dir"]).to.equal(dir);
      const certificates = first["certificates"] as readonly { id: string; made: boolean; notAfter: string }[];
      expect(certificates.map((one) => one.id)).to.have.members(Object.values(NAMES));
      for (const one of certificates) {
        expect(one.made).to.equal(true);
        expect(Date.parse(one.notAfter) - Date.now()).to.be.within(89 * DAY_MS, 90 * DAY_MS);
      }
    });

    it("leaves key and certificate of each and of the CA, and nothing else; keys 0600, folder 0700", () => {
      const names = ["ca", ...Object.keys(NAMES)];
      expect(readdirSync(dir)).to.have.members(names.flatMap((name) => [`${name}.pem`, `${name}.key`]));
      for (const name of names) {
        expect(statSync(join(dir, `${name}.key`)).mode & 0o777, name).to.equal(0o600);
        expect(statSync(join(dir, `${name}.pem`)).mode & 0o777, name).to.equal(0o644);
      }
      expect(statSync(dir).mode & 0o777).to.equal(0o700);
    });

    it("each names exactly one URI and no other, has one usage, and is no CA", () => {
      const ca = read(dir, "ca.pem");
      for (const [name, id] of Object.entries(NAMES)) {
        const certificate = read(dir, `${name}.pem`);
        expect(certificate.subjectAltName, name).to.equal(`URI:${id}`);
        expect(certificate.keyUsage, name).to.deep.equal([name === "signer" ? SERVER_AUTH : CLIENT_AUTH]);
        expect(certificate.ca, name).to.equal(false);
        expect(certificate.checkIssued(ca) && certificate.verify(ca.publicKey), name).to.equal(true);
        expect(certificate.checkPrivateKey(createPrivateKey(readFileSync(join(dir, `${name}.key`)))), name).to.equal(
          true,
        );
        expect(Date.parse(certificate.validFrom), name).to.be.at.most(Date.now());
      }
      const keys = Object.keys(NAMES).map((name) => read(dir, `${name}.pem`).publicKey.export({ format: "jwk" }).x);
      expect(new Set([...keys, ca.publicKey.export({ format: "jwk" }).x]).size).to.equal(keys.length + 1);
    });

    it("the CA is one that signs certificates and nothing below it does", () => {
      const ca = read(dir, "ca.pem");
      expect(ca.ca).to.equal(true);
      expect(ca.subjectAltName).to.equal(undefined);
      expect(ca.verify(ca.publicKey)).to.equal(true);
      // pathLenConstraint 0 and keyCertSign | cRLSign, both critical (RFC 5280 sections 4.2.1.9, 4.2.1.3), in DER
      expect(ca.raw.includes(Buffer.from("551d130101ff040830060101ff020100", "hex"))).to.equal(true);
      expect(ca.raw.includes(Buffer.from("551d0f0101ff040403020106", "hex"))).to.equal(true);
    });

    it("a second run keeps every byte, and says so", async () => {
      const before = contents(dir);
      const run = await runScript("certs", ["--dir", dir]);
      expect(run.code).to.equal(0);
      expect(run.stdout.match(/^ {2}kept /gm)).to.have.length(Object.keys(NAMES).length);
      expect(contents(dir)).to.deep.equal(before);
    });

    it("prints no key", async () => {
      const { stdout, stderr } = await runScript("certs", ["--dir", dir]);
      for (const [name, text] of Object.entries(contents(dir))) {
        const line = text.split("\n")[1] ?? "";
        if (name.endsWith(".key")) expect((stdout + stderr).includes(line), name).to.equal(false);
      }
    });

    it("--force makes everything anew, under a new CA", async () => {
      const before = contents(dir);
      const run = await runScript("certs", ["--dir", dir, "--force", "--json"]);
      expect(run.code).to.equal(0);
      const after = contents(dir);
      expect(Object.keys(after)).to.have.members(Object.keys(before));
      for (const [name, text] of Object.entries(after)) expect(text, name).to.not.equal(before[name]);
      const ca = read(dir, "ca.pem");
      for (const name of Object.keys(NAMES)) expect(read(dir, `${name}.pem`).verify(ca.publicKey), name).to.equal(true);
    });

    it("an option that is none: exit code 1 and nothing made", async () => {
      const other = join(folders.make(), "none");
      const run = await runScript("certs", ["--dir", other, "--froce"]);
      expect(run.code).to.equal(1);
      expect(() => readdirSync(other)).to.throw();
    });
  });

  describe("a later run makes anew what cannot be used, and nothing else", () => {
    const signer = "spiffe://agentkeys/signer";
    let dir: string;

    beforeEach(async () => {
      dir = folders.make();
      await makeCertificates({ dir });
    });

    afterEach(async () => {
      expect(await madeIn(dir), "and then it is settled").to.deep.equal([]);
      const ca = read(dir, "ca.pem");
      for (const [name, id] of Object.entries(NAMES)) {
        const certificate = read(dir, `${name}.pem`);
        const key = createPrivateKey(readFileSync(join(dir, `${name}.key`)));
        expect(certificate.checkPrivateKey(key) && certificate.verify(ca.publicKey), name).to.equal(true);
        expect(certificate.subjectAltName).to.equal(`URI:${id}`);
      }
    });

    /** Puts another certificate in the signer's place. */
    async function replaceSigner(days: number, name = signer, usage = serverAuth): Promise<void> {
      const ca = await TestCa.of(dir);
      const names = [{ type: "url", value: name } as const];
      const leaf = await ca.issue({ names, usages: [usage], notAfter: new Date(Date.now() + days * DAY_MS) });
      writeFileSync(join(dir, "signer.pem"), leaf.cert);
      writeFileSync(join(dir, "signer.key"), leaf.key);
    }

    it("with less than a third of its life left, or ended; one with more is kept", async () => {
      await replaceSigner(31);
      expect(await madeIn(dir)).to.deep.equal([]);
      for (const days of [29, -1 / 24 / 60]) {
        await replaceSigner(days);
        expect(await madeIn(dir)).to.deep.equal([signer]);
      }
    });

    it("for another name or another use", async () => {
      await replaceSigner(80, "spiffe://agentkeys/signer2");
      expect(await madeIn(dir)).to.deep.equal([signer]);
      await replaceSigner(80, signer, clientAuth);
      expect(await madeIn(dir)).to.deep.equal([signer]);
    });

    it("without its certificate or its key", async () => {
      for (const file of ["signer.pem", "signer.key"]) {
        rmSync(join(dir, file));
        expect(await madeIn(dir), file).to.deep.equal([signer]);
      }
    });

    it("torn by a crash between key and certificate, or damaged", async () => {
      writeFileSync(join(dir, "signer.key"), readFileSync(join(dir, "broker.key")));
      expect(await madeIn(dir)).to.deep.equal([signer]);
      for (const file of ["signer.pem", "signer.key"]) {
        writeFileSync(join(dir, file), "damaged");
        expect(await madeIn(dir), file).to.deep.equal([signer]);
      }
    });

    it("of a CA that was there before: what a crash after the CA left", async () => {
      const older = contents(dir);
      await makeCertificates({ dir, force: true });
      for (const file of ["signer.pem", "signer.key"]) writeFileSync(join(dir, file), older[file] ?? "");
      expect(await madeIn(dir)).to.deep.equal([signer]);
    });

    it("all of it when the CA grew old", async () => {
      const old = await TestCa.fresh({ notAfter: new Date(Date.now() + 1_000 * DAY_MS) });
      writeFileSync(join(dir, "ca.pem"), old.pem);
      writeFileSync(join(dir, "ca.key"), old.keyPem);
      expect(await madeIn(dir)).to.have.members(Object.values(NAMES));
    });

    it("with a CA of the operator's own", async () => {
      const own = await TestCa.fresh();
      writeFileSync(join(dir, "ca.pem"), own.pem);
      writeFileSync(join(dir, "ca.key"), own.keyPem);
      expect(await madeIn(dir)).to.have.members(Object.values(NAMES));
      expect(readFileSync(join(dir, "ca.pem"), "utf8")).to.equal(own.pem);
    });

    it("what a killed run left under a temporary name does not lend its mode", async () => {
      writeFileSync(join(dir, "signer.key.tmp"), "x", { mode: 0o644 });
      rmSync(join(dir, "signer.key"));
      expect(await madeIn(dir)).to.deep.equal([signer]);
      expect(statSync(join(dir, "signer.key")).mode & 0o777).to.equal(0o600);
    });
  });

  describe("a CA that it cannot use is not written over", () => {
    it("its key elsewhere: nothing is asked of it while nothing is to be made", async () => {
      const dir = folders.make();
      await makeCertificates({ dir });
      const elsewhere = join(folders.make(), "ca.key");
      renameSync(join(dir, "ca.key"), elsewhere);
      expect(await madeIn(dir)).to.deep.equal([]);
      rmSync(join(dir, "signer.pem"));
      const before = contents(dir);
      const run = await runScript("certs", ["--dir", dir]);
      expect(run.code).to.equal(1);
      expect(run.stderr).to.contain("ca.key");
      expect(contents(dir)).to.deep.equal(before);
      renameSync(elsewhere, join(dir, "ca.key"));
      expect(await madeIn(dir)).to.deep.equal(["spiffe://agentkeys/signer"]);
    });

    it("another CA's key, a leaf or rubbish in its place", async () => {
      const dir = folders.make();
      await makeCertificates({ dir });
      rmSync(join(dir, "signer.pem"));
      const honest = contents(dir);
      const other = await TestCa.fresh();
      const changes = { "ca.key": other.keyPem, "ca.pem": honest["broker.pem"] ?? "", "ca.pem ": "rubbish" };
      for (const [file, text] of Object.entries(changes)) {
        writeFileSync(join(dir, file.trim()), text);
        const before = contents(dir);
        const error = await makeCertificates({ dir }).then(
          () => undefined,
          (refused: unknown) => refused,
        );
        expect(error, file).to.be.instanceOf(Error);
        expect(contents(dir), file).to.deep.equal(before);
        writeFileSync(join(dir, file.trim()), honest[file.trim()] ?? "");
      }
      expect(await madeIn(dir)).to.deep.equal(["spiffe://agentkeys/signer"]);
    });

    it("a folder that is a file: exit code 1", async () => {
      const file = join(folders.make(), "file");
      writeFileSync(file, "x");
      expect((await runScript("certs", ["--dir", file])).code).to.equal(1);
      expect(readFileSync(file, "utf8")).to.equal("x");
    });
  });
});

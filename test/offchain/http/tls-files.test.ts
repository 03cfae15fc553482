import { rmSync } from "node:fs";

import { expect } from "chai";

import { type TlsFiles, type TlsTexts, followTlsFiles } from "../../../offchain/http/tls-files";
import { TestCa, type TlsIdentity } from "../../helpers/certificates";
import { eventually } from "../../helpers/eventually";
import { logLines } from "../../helpers/log-lines";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { type TlsFolder, tlsFolder } from "../../helpers/tls-folder";

/** Levels of pino. */
const [INFO, ERROR] = [30, 50];

describe("http: certificates that are renewed without a restart", function () {
  this.timeout(60_000);
  const folders = temporaryFolders();
  const opened: TlsFiles[] = [];
  let ca: TestCa;
  let first: TlsIdentity;
  let second: TlsIdentity;
  let other: TlsIdentity;

  before(async () => {
    ca = await TestCa.fresh();
    [first, second, other] = [await ca.issue(), await ca.issue(), await ca.issue()];
  });
  after(() => {
    folders.removeAll();
  });
  afterEach(() => {
    for (const one of opened.splice(0)) one.close();
  });

  /** Follows the files of a folder of its own, the first certificate in them. */
  function follow() {
    const folder = tlsFolder(folders.make(), first);
    const { log, lines } = logLines();
    const files = followTlsFiles(folder.paths, log);
    opened.push(files);
    const heard: TlsTexts[] = [];
    files.onChange((texts) => heard.push(texts));
    const count = (level: number): number => lines.filter((line) => line["level"] === level).length;
    return { folder, files, heard, lines, count };
  }

  const certOf = (files: TlsFiles): string => files.current().cert.toString();

  it("a new pair is read whole, told once, and logged without the key", async () => {
    const { folder, files, heard, lines, count } = follow();
    expect(certOf(files)).to.equal(first.cert);
    folder.replace(second);
    await eventually(() => Promise.resolve(certOf(files) === second.cert));
    expect(heard).to.deep.equal([files.current()]);
    expect(files.current().key.toString()).to.equal(second.key);
    expect(count(INFO)).to.equal(1);
    expect(JSON.stringify(lines)).to.not.match(/PRIVATE KEY/);
  });

  it("a CA that gets a second certificate is a change too", async () => {
    const { folder, files, heard } = follow();
    const both = first.ca + "\n" + (await TestCa.fresh()).pem;
    folder.replace({ ca: both });
    await eventually(() => Promise.resolve(heard.length === 1));
    expect(files.current().ca?.toString()).to.equal(both);
    expect(certOf(files)).to.equal(first.cert);
  });

  it("files without a CA, for a face that asks for no client certificates", () => {
    const { paths } = tlsFolder(folders.make(), first);
    const files = followTlsFiles({ cert: paths.cert, key: paths.key }, logLines().log);
    opened.push(files);
    expect(files.current()).to.have.all.keys("cert", "key");
  });

  it("nobody hears of anything after it was closed", async () => {
    const [closed, open] = [follow(), follow()];
    closed.files.close();
    for (const { folder } of [closed, open]) folder.replace(second);
    await eventually(() => Promise.resolve(open.heard.length === 1));
    expect(closed.heard).to.have.length(0);
  });

  const half = (text: string): string => text.slice(0, text.length / 2);
  /** What an operator can leave behind; each is mended by the second pair with the CA beside it. */
  const damages: Readonly<Record<string, (folder: TlsFolder) => void>> = {
    "a certificate cut off": (one) => {
      one.overwrite("cert", half(second.cert));
    },
    "an empty certificate": (one) => {
      one.overwrite("cert", "");
    },
    "a chain whose second certificate is cut off": (one) => {
      one.replace({ key: second.key, cert: `${second.cert}\n${half(ca.pem)}` });
    },
    "a chain cut off in the first line of its second certificate": (one) => {
      one.replace({ key: second.key, cert: `${second.cert}\n-----BEGIN CERT` });
    },
    "the certificate of another key": (one) => {
      one.replace({ cert: other.cert });
    },
    "a new key whose certificate has not come yet": (one) => {
      one.replace({ key: second.key });
    },
    "a key cut off": (one) => {
      one.overwrite("key", half(second.key));
    },
    "a key that others may read": (one) => {
      one.setKeyMode(0o640);
    },
    "no key": (one) => {
      rmSync(one.paths.key);
    },
    "a CA cut off": (one) => {
      one.overwrite("ca", half(first.ca));
    },
    "an empty CA": (one) => {
      one.overwrite("ca", "");
    },
    "a CA that is none": (one) => {
      one.overwrite("ca", "see the wiki\n");
    },
  };
  for (const [name, damage] of Object.entries(damages)) {
    it(`${name}: no start`, () => {
      const folder = tlsFolder(folders.make(), first);
      followTlsFiles(folder.paths, logLines().log).close();
      damage(folder);
      expect(() => followTlsFiles(folder.paths, logLines().log)).to.throw();
    });
  }

  it("each of these is logged once, and what was read before stays in use until it is mended", async () => {
    const damaged = async ([name, damage]: readonly [string, (folder: TlsFolder) => void]): Promise<void> => {
      const { folder, files, heard, lines, count } = follow();
      const before = files.current();
      damage(folder);
      await eventually(() => Promise.resolve(count(ERROR) === 1));
      expect(files.current(), name).to.equal(before);
      expect(heard, name).to.have.length(0);
      folder.replace(second);
      await eventually(() => Promise.resolve(certOf(files) === second.cert));
      expect(heard, name).to.have.length(1);
      expect([count(ERROR), count(INFO)], name).to.deep.equal([1, 1]);
      expect(JSON.stringify(lines), name).to.not.match(/PRIVATE KEY/);
    };
    await Promise.all(Object.entries(damages).map(damaged));
  });

  it("a key whose mode is put right is read again, though its text is the same", async () => {
    const { folder, files, heard, count } = follow();
    folder.replace({ cert: second.cert });
    await eventually(() => Promise.resolve(count(ERROR) === 1));
    folder.replace({ key: second.key });
    folder.setKeyMode(0o644);
    await eventually(() => Promise.resolve(count(ERROR) === 2));
    folder.setKeyMode(0o600);
    await eventually(() => Promise.resolve(certOf(files) === second.cert));
    expect(heard).to.have.length(1);
  });
});

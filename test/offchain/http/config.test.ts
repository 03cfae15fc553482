import { chmodSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { brokerConfig } from "../../../offchain/broker/config";
import {
  ConfigurationError,
  address,
  flag,
  list,
  oneOf,
  origin,
  readConfig,
  readSecretFile,
  text,
  whole,
} from "../../../offchain/http/config";
import { checkOnlyReplica } from "../../../offchain/http/embedded";
import { serviceLog } from "../../../offchain/http/log";
import { temporaryFolders } from "../../helpers/temporary-folder";

const folders = temporaryFolders();

function problem(act: () => unknown): Error | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    return error as Error;
  }
}

describe("http: configuration", () => {
  after(() => {
    folders.removeAll();
  });

  const SCHEMA = {
    port: { name: "T_PORT", meaning: "a port", fallback: "80", read: whole },
    url: { name: "T_URL", meaning: "a URL", read: origin },
    level: { name: "T_LEVEL", meaning: "a level", read: oneOf("info", "warn") },
  } as const;

  it("reads values and defaults", () => {
    const env = { T_URL: "https://a.example", T_LEVEL: "warn", T_OTHER: "ignored" };
    expect(readConfig(SCHEMA, env)).to.deep.equal({ port: 80, url: "https://a.example", level: "warn" });
  });

  it("reports every problem at once: what is missing, and what is wrong", () => {
    const error = problem(() => readConfig(SCHEMA, { T_PORT: "eighty", T_LEVEL: "loud" }));
    expect(error).to.be.instanceOf(ConfigurationError);
    for (const name of ["T_PORT", "T_URL", "T_LEVEL"]) expect(error?.message).to.include(name);
  });

  it("a variable that is set to nothing is not its default", () => {
    const env = { T_PORT: "", T_URL: "https://a.example", T_LEVEL: "info" };
    expect(problem(() => readConfig(SCHEMA, env))?.message).to.include("T_PORT");
  });

  it("a service's own: an empty environment names each of its variables without a default", () => {
    const error = problem(() => brokerConfig({}));
    for (const name of ["BROKER_ORIGIN", "BROKER_STATE_DIR", "CHAIN_RPC_URLS", "CHAIN_ID", "CHAIN_SCOPE_REGISTRY"]) {
      expect(error?.message).to.include(name);
    }
    expect(error?.message).not.to.include("BROKER_PORT");
  });

  const WORDS: readonly (readonly [string, (value: string) => unknown, readonly string[], readonly string[]])[] = [
    ["text", text, ["a", " "], [""]],
    ["whole", whole, ["0", "7", "999999999999999"], ["", "-1", "01", "1.0", "1e3", "0x10", " 1", "1000000000000000"]],
    ["flag", flag, ["0", "1"], ["", "true", "yes", "2", "01"]],
    ["list", list, ["a", "a, b", "a,b"], ["", ",", "a,", "a,,b"]],
    ["oneOf", oneOf("a", "b"), ["a", "b"], ["", "A", "c", "toString"]],
    [
      "origin",
      origin,
      ["https://a.example", "https://a.example:8443/base", "http://127.0.0.1:1", "http://localhost", "http://[::1]:1"],
      [
        ...["", "a.example", "http://a.example", "https://a.example/", "https://A.example", "https://a.example:443"],
        ...[
          "https://u@a.example",
          "https://a.example?",
          "https://a.example?q",
          "https://a.example#f",
          "ftp://a.example",
        ],
        ...["https://bücher.example", "https://a.example/../b", "http://127.0.0.1.evil.example", "http://0.0.0.0:1"],
      ],
    ],
    [
      "address",
      address,
      [`0x${"aB".repeat(20)}`],
      ["", `0x${"ab".repeat(19)}`, "ab".repeat(20), `0x${"ag".repeat(20)}`, `0x${"ab".repeat(21)}`],
    ],
  ];
  for (const [name, read, good, bad] of WORDS) {
    it(`${name} takes ${JSON.stringify(good)} and nothing like ${JSON.stringify(bad)}`, () => {
      for (const one of good)
        expect(
          problem(() => read(one)),
          one,
        ).to.equal(undefined);
      for (const one of bad)
        expect(
          problem(() => read(one)),
          one,
        ).to.be.instanceOf(Error);
    });
  }

  describe("secret files", () => {
    function secret(mode = 0o600): string {
      const file = join(folders.make(), "secret");
      writeFileSync(file, "bytes", { mode });
      chmodSync(file, mode);
      return file;
    }

    for (const mode of [0o600, 0o400, 0o700]) {
      it(`mode ${mode.toString(8)} is read`, () => {
        expect(readSecretFile(secret(mode)).toString()).to.equal("bytes");
      });
    }
    for (const mode of [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644, 0o666]) {
      it(`mode ${mode.toString(8)} is refused`, () => {
        expect(problem(() => readSecretFile(secret(mode)))).to.be.instanceOf(Error);
      });
    }
    it("a symbolic link to a good file is refused; a second name of it is the file", () => {
      const file = secret();
      const [link, name] = [join(folders.make(), "link"), join(folders.make(), "name")];
      symlinkSync(file, link);
      linkSync(file, name);
      expect(problem(() => readSecretFile(link))).to.be.instanceOf(Error);
      expect(readSecretFile(name).toString()).to.equal("bytes");
    });
    it("a folder, and nothing at all, are refused", () => {
      const dir = join(folders.make(), "dir");
      mkdirSync(dir, { mode: 0o700 });
      expect(problem(() => readSecretFile(dir))).to.be.instanceOf(Error);
      expect(problem(() => readSecretFile(join(dir, "nothing")))).to.be.instanceOf(Error);
    });
  });

  it("beyond loopback embedded stores need the word that there is one replica", () => {
    for (const host of ["127.0.0.1", "localhost", "::1"]) {
      expect(problem(() => { checkOnlyReplica(host, false, "T_ONLY"); })).to.equal(undefined); // prettier-ignore
    }
    for (const host of ["0.0.0.0", "::", "10.0.0.1", "a.example"]) {
      const error = problem(() => { checkOnlyReplica(host, false, "T_ONLY"); }); // prettier-ignore
      expect(error).to.be.instanceOf(ConfigurationError);
      expect(error?.message).to.include("T_ONLY=1");
      expect(problem(() => { checkOnlyReplica(host, true, "T_ONLY"); })).to.equal(undefined); // prettier-ignore
    }
  });

  it("a log level that is none does not stop the log before the configuration can say so", () => {
    expect(serviceLog("t", "loud").level).to.equal("info");
    expect(serviceLog("t", "silent").level).to.equal("silent");
    expect(serviceLog("t", "debug").level).to.equal("debug");
    expect(serviceLog("t", "toString").level).to.equal("info");
  });
});

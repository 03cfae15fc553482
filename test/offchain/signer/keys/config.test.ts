import { randomBytes } from "node:crypto";
import { chmodSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { ConfigurationError } from "../../../../offchain/http/config";
import { VAULT_VARIABLES, vaultConfig } from "../../../../offchain/signer/vault/config";
import { readPin, readUnlock } from "../../../../offchain/signer/vault/keys/open";
import { KeyFile } from "../../../../offchain/signer/vault/keys/unlock";
import { temporaryFolders } from "../../../helpers/temporary-folder";
import { VAULT_ENVIRONMENT } from "../../../helpers/vault-environment";

const FILE = { VAULT_FILE: "/srv/vault.sealed", VAULT_PASSPHRASE_FILE: "/srv/passphrase" };
const TOKEN = {
  VAULT_BACKEND: "pkcs11",
  VAULT_PKCS11_MODULE: "/usr/lib/softhsm/libsofthsm2.so",
  VAULT_PKCS11_TOKEN: "agentkeys",
  VAULT_PKCS11_PIN_FILE: "/srv/pin",
};

describe("signer: which keys the vault is told to open", () => {
  const folders = temporaryFolders();

  after(() => {
    folders.removeAll();
  });

  /** Names of the variables that are complained of. */
  function problems(env: Readonly<Record<string, string>>): string[] {
    try {
      vaultConfig({ ...VAULT_ENVIRONMENT, ...env });
      return [];
    } catch (error) {
      expect(error).to.be.instanceOf(ConfigurationError);
      return [...(error as Error).message.matchAll(/^- (VAULT_[A-Z0-9_]+)/gm)].map((match) => match[1] ?? "");
    }
  }

  it("a sealed file unless another is named, by passphrase or by key file", () => {
    expect(vaultConfig({ ...VAULT_ENVIRONMENT, ...FILE })).to.include({
      backend: "sealed-file",
      file: "/srv/vault.sealed",
    });
    expect(problems({ ...FILE, VAULT_BACKEND: "sealed-file" })).to.deep.equal([]);
    const byKey = vaultConfig({ ...VAULT_ENVIRONMENT, VAULT_FILE: "/srv/vault.sealed", VAULT_KEY_FILE: "/srv/key" });
    expect(byKey).to.include({ backend: "sealed-file", keyFile: "/srv/key" });
    expect(byKey).to.not.have.property("passphraseFile");
  });

  it("a token, and what its library reads from its environment", () => {
    expect(vaultConfig({ ...VAULT_ENVIRONMENT, ...TOKEN })).to.include({ backend: "pkcs11", token: "agentkeys" });
    const { environment } = vaultConfig({
      ...VAULT_ENVIRONMENT,
      ...TOKEN,
      VAULT_PKCS11_ENVIRONMENT: "A=b=c,SOFTHSM2_CONF=/x",
    }) as {
      environment: ReadonlyMap<string, string>;
    };
    expect([...environment]).to.deep.equal([
      ["A", "b=c"],
      ["SOFTHSM2_CONF", "/x"],
    ]);
    for (const text of ["", "A", "=b", "1A=b", "A=b,", "A B=c"]) {
      expect(problems({ ...TOKEN, VAULT_PKCS11_ENVIRONMENT: text }), text).to.deep.equal(["VAULT_PKCS11_ENVIRONMENT"]);
    }
  });

  it("what the back end in use needs is asked for all at once, and nothing of the other", () => {
    expect(problems({})).to.have.members(["VAULT_FILE", "VAULT_PASSPHRASE_FILE"]);
    expect(problems({ VAULT_KEY_FILE: "/srv/key" })).to.deep.equal(["VAULT_FILE"]);
    const token = ["VAULT_PKCS11_MODULE", "VAULT_PKCS11_TOKEN", "VAULT_PKCS11_PIN_FILE"];
    expect(problems({ VAULT_BACKEND: "pkcs11" })).to.have.members(token);
    const none = Object.fromEntries(token.map((name) => [name, "none"]));
    expect(problems({ VAULT_BACKEND: "pkcs11", ...none }), "as .env.example leaves them").to.have.members(token);
    for (const backend of ["", "none", "PKCS11", "sealed"]) {
      expect(problems({ ...FILE, ...TOKEN, VAULT_BACKEND: backend }), backend).to.deep.equal(["VAULT_BACKEND"]);
    }
  });

  it("every variable is in the table that .env.example is made of", () => {
    const names = Object.values(VAULT_VARIABLES).map((one): string => one.name);
    for (const name of [...Object.keys({ ...FILE, ...TOKEN }), "VAULT_KEY_FILE", "VAULT_PKCS11_ENVIRONMENT"]) {
      expect(names).to.include(name);
    }
  });

  it("a key file has 32 bytes or more and is private; a PIN ends before an editor's newline", () => {
    const path = join(folders.make(), "key");
    for (const length of [0, 31]) {
      writeFileSync(path, randomBytes(length), { mode: 0o600 });
      expect(() => readUnlock({ keyFile: path })).to.throw(ConfigurationError);
    }
    writeFileSync(path, Buffer.alloc(32, 7));
    const unlock = readUnlock({ keyFile: path });
    expect(unlock).to.be.instanceOf(KeyFile);
    expect(unlock.reveal().equals(Buffer.alloc(32, 7))).to.equal(true);
    expect(readUnlock({ passphraseFile: path })).to.not.be.instanceOf(KeyFile);
    for (const text of ["1234", "1234\n", "1234\r\n"]) {
      writeFileSync(path, text);
      expect(readPin(path).reveal()).to.equal("1234");
    }
    writeFileSync(path, "12 34 \n\n");
    expect(readPin(path).reveal()).to.equal("12 34 \n");
    chmodSync(path, 0o640);
    expect(() => readPin(path)).to.throw(/chmod 600/);
    expect(() => readUnlock({ keyFile: path })).to.throw(/chmod 600/);
  });
});

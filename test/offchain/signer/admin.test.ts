import { chmodSync, existsSync, lstatSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";

import { expect } from "chai";

import { serviceLog } from "../../../offchain/http/log";
import { ADMIN_SOCKET, MAX_ADMIN_LINE, serveAdmin } from "../../../offchain/signer/vault/admin";
import { signCredential } from "../../../offchain/signer/vault/keys/sign-credential";
import { openSealedFile } from "../../../offchain/signer/vault/keys/sealed-file";
import { recoverState } from "../../../offchain/signer/vault/state/recover";
import type { AgentKeyRecord } from "../../../offchain/signer/vault/state/vault-state";
import { type Hex, ZERO32 } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { runScript } from "../../helpers/program";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { openSealedVault } from "../../helpers/vault-parts";

type Vault = Awaited<ReturnType<typeof openSealedVault>>;
type Line = Readonly<Record<string, unknown>> & {
  readonly ok: boolean;
  readonly value?: Readonly<Record<string, unknown>>;
  readonly failure?: { readonly code: string };
};

const ACCOUNT: Hex = `0x${"11".repeat(20)}`;
const NOW = 1_800_000_000;
const log = serviceLog("test", "silent");

function record(index: number): AgentKeyRecord {
  return {
    keyId: `00000000-0000-8000-8000-000000000000:${String(index)}`,
    operatorOmni: ZERO32,
    account: ACCOUNT,
    index,
    label: "agent-a",
    deviceKeyHash: ZERO32,
    agentAddress: ACCOUNT,
    epoch: 0,
    credentialHash: `0x${"ab".repeat(32)}`,
    credentialExpiresAt: NOW + 60,
    createdAt: NOW,
  };
}

describe("vault: administration", function () {
  this.timeout(60_000);
  const folders = temporaryFolders();
  let vault: Vault;
  let admin: Awaited<ReturnType<typeof serveAdmin>>;
  let socket: string;
  let dir: string;

  before(keccakReady);
  beforeEach(async () => {
    dir = folders.make();
    vault = await openSealedVault(dir, () => NOW);
    admin = await serveAdmin({ ...vault, now: () => NOW, log }, dir);
    socket = join(dir, ADMIN_SOCKET);
  });
  afterEach(async () => {
    await admin.close();
    await vault.close();
  });
  after(() => {
    folders.removeAll();
  });

  /** Sends bytes and reads `answers` lines, or whatever comes before the vault hangs up. */
  function talk(bytes: string | Buffer, answers = 1): Promise<readonly Line[]> {
    return new Promise((resolve, reject) => {
      let text = "";
      const client = connect(socket, () => client.write(bytes));
      const lines = (): readonly Line[] =>
        text
          .split("\n")
          .slice(0, -1)
          .map((one) => JSON.parse(one) as Line);
      client.on("data", (chunk: Buffer) => {
        text += chunk.toString();
        if (lines().length >= answers) client.destroy();
      });
      client.on("close", () => {
        resolve(lines());
      });
      client.on("error", reject);
    });
  }
  const ask = async (command: string, members: object = {}): Promise<Line> =>
    (await talk(`${JSON.stringify({ command, ...members })}\n`))[0] ?? { ok: false };
  const program = (...args: readonly string[]): ReturnType<typeof runScript> =>
    runScript("agentkeys-admin", [...args, "--state-dir", dir, "--json"]);
  const owner = { operatorOmni: ZERO32, account: ACCOUNT };

  describe("the socket", () => {
    it("is 0600 and goes with the vault", async () => {
      expect(lstatSync(socket).isSocket()).to.equal(true);
      expect(statSync(socket).mode & 0o777).to.equal(0o600);
      await admin.close();
      expect(existsSync(socket)).to.equal(false);
      admin = await serveAdmin({ ...vault, now: () => NOW, log }, dir);
    });

    it("is not made in a folder that others may write to", async () => {
      for (const mode of [0o770, 0o707]) {
        const loose = folders.make();
        chmodSync(loose, mode);
        const parts = { ...vault, now: () => NOW, log };
        const refused = await serveAdmin(parts, loose).then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(refused).to.be.an("error");
        expect(existsSync(join(loose, ADMIN_SOCKET))).to.equal(false);
        chmodSync(loose, 0o700);
        await (await serveAdmin(parts, loose)).close();
      }
    });

    it("answers several commands in their order, also when they come cut", async () => {
      const lines = `${JSON.stringify({ command: "credential-secret-status" })}\n{"command":"no"}\n`;
      const answers = await talk(lines, 2);
      expect(answers.map((one) => one.ok)).to.deep.equal([true, false]);
    });

    for (const [name, line, code] of [
      ["no JSON", "credential-secret-status", "request_malformed"],
      ["no object", "[]", "request_malformed"],
      ["the same member twice", '{"command":"list-agent-keys","command":"prepare-epoch"}', "request_malformed"],
      ["no command", "{}", "route_not_found"],
      ["an unknown command", '{"command":"sign"}', "route_not_found"],
      ["a member of every object", '{"command":"constructor"}', "route_not_found"],
      ["a rotation that does not say how", '{"command":"rotate-credential-secret"}', "request_malformed"],
      ["a rotation by a word", '{"command":"rotate-credential-secret","force":"yes"}', "request_malformed"],
      ["no key to revoke", '{"command":"revoke-agent-key"}', "request_malformed"],
      ["an unknown key to revoke", '{"command":"revoke-agent-key","keyId":"x:0"}', "agent_key_not_found"],
    ] as const) {
      it(`refuses ${name}: ${code}, and serves on`, async () => {
        const before = vault.keys.tokenSecrets();
        const [refused] = await talk(`${line}\n`);
        expect(refused?.failure?.code).to.equal(code);
        expect(vault.keys.tokenSecrets()).to.deep.equal(before);
        expect((await ask("credential-secret-status")).ok).to.equal(true);
      });
    }

    it("hangs up on a line without an end", async () => {
      expect(await talk(Buffer.alloc(MAX_ADMIN_LINE + 1, 0x61))).to.deep.equal([]);
      expect((await ask("credential-secret-status")).ok).to.equal(true);
    });
  });

  describe("rotate-credential-secret", () => {
    const issue = (): ReturnType<typeof signCredential> =>
      signCredential(vault.keys, NOW + 3_600, (kid) => Buffer.from(kid));
    const verifies = async ({ signingInput, mac }: Awaited<ReturnType<typeof issue>>): Promise<boolean> =>
      (await vault.keys.macCredential(Buffer.from(signingInput).toString(), signingInput))?.equals(mac) === true;

    it("lets what was signed live on, and with force nothing", async () => {
      const first = await issue();
      const gentle = await program("rotate-credential-secret");
      expect([gentle.code, gentle.json()["ok"], gentle.json()["forced"]]).to.deep.equal([0, true, false]);
      expect(await verifies(first)).to.equal(true);
      const second = await issue();
      const forced = await program("rotate-credential-secret", "--force");
      expect([forced.code, forced.json()["forced"]]).to.deep.equal([0, true]);
      expect([await verifies(first), await verifies(second)]).to.deep.equal([false, false]);
      expect(await verifies(await issue())).to.equal(true);
      const status = await program("credential-secret-status");
      expect(status.json()["secrets"]).to.deep.equal(vault.keys.tokenSecrets());
      expect(vault.keys.tokenSecrets()).to.have.length(1);
    });
  });

  it("lists agent keys without anything that signs, and revokes one for good", async () => {
    await vault.state.create(owner, record);
    await vault.state.create(owner, record);
    const listed = await program("list-agent-keys");
    const keys = listed.json()["keys"] as readonly Record<string, unknown>[];
    expect(keys.map((one) => one["index"])).to.deep.equal([0, 1]);
    expect(listed.stdout).not.to.contain("ab".repeat(32));
    const keyId = record(1).keyId;
    const revoked = await program("revoke-agent-key", keyId);
    expect([revoked.code, revoked.json()["revokedAt"]]).to.deep.equal([0, NOW]);
    const now = vault.state.agentKey(keyId);
    expect([now?.revokedAt, now?.epoch, now?.credentialHash]).to.deep.equal([NOW, 1, undefined]);
    expect(vault.state.agentKey(record(0).keyId)?.revokedAt).to.equal(undefined);
    expect((await program("revoke-agent-key", keyId)).json()["revokedAt"]).to.equal(NOW);
    expect(vault.state.agentKey(keyId)?.epoch).to.equal(1);
    const unknown = await program("revoke-agent-key", "x:0");
    expect([unknown.code, unknown.json()["code"]]).to.deep.equal([1, "agent_key_not_found"]);
  });

  it("prepares the next epoch", async () => {
    const drawn = await program("prepare-epoch");
    expect([drawn.code, drawn.json()["epoch"]]).to.deep.equal([0, 2]);
    expect(vault.keys.commitments().get(2)).to.equal(drawn.json()["commitment"]);
  });

  describe("the program", () => {
    for (const [name, args] of [
      ["no command", []],
      ["an unknown command", ["sign"]],
      ["a word too many", ["list-agent-keys", "all"]],
      ["a word too few", ["revoke-agent-key"]],
      ["an unknown option", ["list-agent-keys", "--all"]],
    ] as const) {
      it(`is misused with ${name}: exit code 2`, async () => {
        const outcome = await program(...args);
        expect([outcome.code, outcome.json()["code"]]).to.deep.equal([2, "usage"]);
      });
    }

    it("says where it looked when no vault runs there", async () => {
      await admin.close();
      const gone = await program("list-agent-keys");
      expect([gone.code, gone.json()["code"]]).to.deep.equal([2, "usage"]);
      writeFileSync(socket, "");
      const odd = await program("list-agent-keys");
      expect([odd.code, odd.json()["code"]]).to.deep.equal([1, "caller_not_allowed"]);
      rmSync(socket);
      admin = await serveAdmin({ ...vault, now: () => NOW, log }, dir);
      expect((await program("list-agent-keys")).code).to.equal(0);
    });

    it("explains itself", async () => {
      const help = await runScript("agentkeys-admin", ["--help"]);
      expect(help.code).to.equal(0);
      for (const command of ["rotate-credential-secret", "prepare-epoch", "backup", "restore"]) {
        expect(help.stdout).to.contain(command);
      }
    });
  });

  describe("backup and restore", () => {
    it("are refused while the vault runs", async () => {
      const file = join(folders.make(), "backup");
      const refused = await program("backup", file);
      expect([refused.code, refused.json()["code"]]).to.deep.equal([1, "storage_unavailable"]);
      expect(existsSync(file)).to.equal(false);
    });

    it("put a stopped vault back elsewhere, sealed all the way", async () => {
      await vault.state.create(owner, record);
      await vault.keys.prepareEpoch();
      const commitments = [...vault.keys.commitments()];
      const seed = await vault.keys.operatorSeed(ZERO32, ACCOUNT);
      await vault.close();
      const file = join(folders.make(), "backup");
      const made = await program("backup", file);
      expect(made.code, made.stdout + made.stderr).to.equal(0);
      expect(statSync(file).mode & 0o777).to.equal(0o600);
      const copied = JSON.parse(readFileSync(file, "utf8")) as { files: Record<string, string> };
      expect(Buffer.from(copied.files["keys"] ?? "", "base64url")).to.deep.equal(readFileSync(vault.file));
      expect((await program("backup", file)).json()["code"], "written over").to.equal("storage_unavailable");

      const elsewhere = join(folders.make(), "vault");
      mkdirSync(elsewhere, { mode: 0o700 });
      const put = await runScript("agentkeys-admin", ["restore", file, "--state-dir", elsewhere, "--moved", "--json"]);
      expect(put.code, put.stdout + put.stderr).to.equal(0);
      const restored = await openSealedVault(elsewhere, () => NOW, vault.unlock);
      expect([...restored.keys.commitments()]).to.deep.equal(commitments);
      expect(await restored.keys.operatorSeed(ZERO32, ACCOUNT)).to.deep.equal(seed);
      expect(restored.state.all()).to.deep.equal([record(0)]);
      await restored.close();

      const again = await runScript("agentkeys-admin", ["restore", file, "--state-dir", elsewhere, "--json"]);
      expect([again.code, again.json()["code"]]).to.deep.equal([1, "storage_unavailable"]);
      vault = await openSealedVault(dir, () => NOW, vault.unlock);
    });

    it("a backup without the keys is none, unless it is said that they are in a token", async () => {
      await vault.state.create(owner, record);
      await admin.close();
      await vault.close();
      const [file, elsewhere] = [join(folders.make(), "backup"), join(folders.make(), "vault.sealed")];
      const args = ["backup", file, "--vault-file", elsewhere];
      const refused = await program(...args);
      expect([refused.code, refused.json()["code"]]).to.deep.equal([1, "storage_unavailable"]);
      expect(existsSync(file)).to.equal(false);
      expect((await program(...args, "--state-only")).json()["files"]).to.deep.equal(["state", "state.seq"]);
      vault = await openSealedVault(dir, () => NOW, vault.unlock);
      admin = await serveAdmin({ ...vault, now: () => NOW, log }, dir);
    });

    it("are of no use to go back in time: an older state is refused until it was made harmless", async () => {
      await vault.state.create(owner, record);
      await vault.close();
      const file = join(folders.make(), "backup");
      expect((await program("backup", file)).code).to.equal(0);
      vault = await openSealedVault(dir, () => NOW, vault.unlock);
      await vault.state.create(owner, record);
      await vault.close();
      const put = await program("restore", file, "--force");
      expect([put.code, put.json()["needsRecovery"]]).to.deep.equal([0, true]);
      const opened = await openSealedVault(dir, () => NOW, vault.unlock).then(
        () => "opened",
        (error: unknown) => (error as Error).message,
      );
      expect(opened).to.match(/rolled back/);
      const keys = await openSealedFile({ file: vault.file, unlock: vault.unlock, now: () => NOW, log });
      await recoverState({ dir: join(dir, "agent-keys"), key: keys.stateKey(), anchor: keys.stateAnchor() });
      await keys.close();
      vault = await openSealedVault(dir, () => NOW, vault.unlock);
      const [known] = vault.state.all();
      expect([known?.index, known?.credentialHash, known?.epoch]).to.deep.equal([0, undefined, 1]);
      expect((await vault.state.create(owner, record)).index).to.be.above(1);
    });

    it("from before the first agent key, they begin no state again; of a vault that was moved they do", async () => {
      await vault.close();
      const file = join(folders.make(), "backup");
      expect((await program("backup", file)).json()["files"]).to.deep.equal(["keys", "keys.seq"]);
      for (const [moved, expected] of [
        [[], "refused"],
        [["--moved"], 0],
      ] as const) {
        const elsewhere = join(folders.make(), "vault");
        mkdirSync(elsewhere, { mode: 0o700 });
        const put = await runScript("agentkeys-admin", ["restore", file, "--state-dir", elsewhere, ...moved, "--json"]);
        expect([put.code, put.json()["needsRecovery"]]).to.deep.equal([0, expected === "refused"]);
        const first: unknown = await openSealedVault(elsewhere, () => NOW, vault.unlock).then(
          async (one) => {
            const { index } = await one.state.create(owner, record);
            await one.close();
            return index;
          },
          () => "refused",
        );
        expect(first).to.equal(expected);
      }
      vault = await openSealedVault(dir, () => NOW, vault.unlock);
    });

    it("does not restore what is no backup, or is cut", async () => {
      await vault.close();
      const file = join(folders.make(), "backup");
      expect((await program("backup", file)).code).to.equal(0);
      const whole = readFileSync(file);
      const elsewhere = folders.make();
      const restore = (): ReturnType<typeof runScript> =>
        runScript("agentkeys-admin", ["restore", file, "--state-dir", elsewhere, "--json"]);
      for (const bad of [
        whole.subarray(0, -3),
        Buffer.from("{}"),
        Buffer.from('{"format":"agentkeys-vault-backup.v1","files":{"keys":"*"}}'),
      ]) {
        writeFileSync(file, bad, { mode: 0o600 });
        const refused = await restore();
        expect([refused.code, refused.json()["code"]]).to.deep.equal([1, "payload_invalid"]);
        expect(existsSync(join(elsewhere, "vault.sealed"))).to.equal(false);
      }
      writeFileSync(file, whole);
      expect((await restore()).code).to.equal(0);
      vault = await openSealedVault(dir, () => NOW, vault.unlock);
    });
  });
});

import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";
import { getVerificationInformation } from "@nomicfoundation/ignition-core";

import { type HardhatNode, startHardhatNode } from "../../helpers/hardhat-node";
import { type Outcome, runScript } from "../../helpers/program";
import { SOME_COMMITMENT } from "../../helpers/registries";
import { temporaryFolders } from "../../helpers/temporary-folder";

const OURS = [
  "AccountRecovery",
  "CredentialAudit",
  "K3EpochCounter",
  "MasterAccountFactory",
  "OperatorPaymaster",
  "ScopeRegistry",
  "SessionKeyValidator",
  "SidecarRegistry",
  "WebAuthnGuardian",
];

describe("npm run deploy, where AgentKeys is already", () => {
  const folders = temporaryFolders();
  let node: HardhatNode;
  let file: string;
  let journals: string;
  let first: Readonly<Record<string, unknown>>;

  const deploy = (...more: string[]): Promise<Outcome> =>
    runScript("deploy", ["--rpc", node.url, "--out", file, "--journals", journals, "--json", ...more]);

  before(async () => {
    file = join(folders.make(), "addresses.json");
    journals = folders.make();
    node = await startHardhatNode("cancun");
    first = (await deploy("--k3-commitment", SOME_COMMITMENT, "--entry-point", "0.7")).json();
    expect(first).to.include({ ok: true, changed: true, entryPointVersion: "0.7" });
  });

  after(async () => {
    await node.stop();
    folders.removeAll();
  });

  it("finds the version that it was deployed for when its file is lost, not the one that is usual", async () => {
    const before = readFileSync(file, "utf8");
    rmSync(file);
    const again = (await deploy()).json();
    expect(again).to.deep.equal({ ...first, changed: false });
    expect(readFileSync(file, "utf8")).to.equal(before);
  });

  it("does not pass for done when another commitment or EntryPoint is asked for", async () => {
    const other = `0x${"12".repeat(32)}`;
    for (const wish of [
      ["--k3-commitment", other],
      ["--entry-point", "0.8"],
    ]) {
      const refused = await deploy(...wish);
      expect([refused.code, refused.json()["code"]], wish.join(" ")).to.deep.equal([2, "usage"]);
    }
    expect((await deploy("--k3-commitment", SOME_COMMITMENT, "--entry-point", "0.7")).code).to.equal(0);
  });

  it("keeps in the journal what an explorer needs to verify each of our contracts", async () => {
    const chain = { network: "local", chainId: 31337, urls: { apiURL: "http://127.0.0.1:1", browserURL: "" } };
    const found = new Map<string, { readonly sourceCode: string; readonly args: string }>();
    for await (const one of getVerificationInformation(join(journals, "chain-31337"), [chain])) {
      if (one[0] !== null) found.set(one[1].name.split(":")[1] ?? "", one[1]);
    }
    // the EntryPoint comes from its package, compiled by others
    expect([...found.keys()].sort()).to.deep.equal([...OURS, "P256Verifier"].sort());
    for (const [name, { sourceCode, args }] of found) {
      const { sources } = JSON.parse(sourceCode) as { sources: Record<string, unknown> };
      expect(
        Object.keys(sources).some((source) => source.endsWith(`/${name}.sol`)),
        name,
      ).to.equal(true);
      expect(args.length > 0, name).to.equal(!["SidecarRegistry", "WebAuthnGuardian", "P256Verifier"].includes(name));
    }
  });
});

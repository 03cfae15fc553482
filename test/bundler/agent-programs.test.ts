import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import { writeStackFile } from "../../scripts/lib/stack-file";
import { type BundlerWorld, bundlerWorld } from "../helpers/bundler-world";
import { type Outcome, runScript } from "../helpers/program";
import { temporaryFolders } from "../helpers/temporary-folder";

// what the README tells an operator to type, from nothing to an agent's session
describe("an agent's key by the operator's programs", function () {
  this.bail(true);
  const folders = temporaryFolders();
  let world: BundlerWorld;
  let dir: string;
  let at: readonly string[];
  let file: string;

  before(async () => {
    world = await bundlerWorld();
    dir = folders.make();
    const stack = join(dir, "stack.json");
    writeStackFile(stack, world.stack);
    at = ["--stack", stack, "--state", join(dir, "operator")];
    file = join(dir, "operator", "agents", "agent-p.agent-key.json");
  });

  after(() => {
    folders.removeAll();
  });

  const agentKey = (act: string, ...more: string[]): Promise<Outcome> =>
    runScript("agent-key", [act, "--label", "agent-p", ...at, ...more, "--json"]);

  function held(): { readonly agentAddress: string; readonly agentCredential: string } {
    return JSON.parse(readFileSync(file, "utf8")) as { agentAddress: string; agentCredential: string };
  }

  it("1. needs an agent that is registered", async () => {
    expect((await runScript("register-master", [...at, "--software", "--json"])).json()).to.include({ ok: true });
    expect((await agentKey("create")).json()).to.include({ ok: false, code: "device_not_active" });
    expect((await agentKey("make")).json()).to.include({ ok: false, code: "usage" });
    expect((await agentKey("refresh")).json()).to.include({ ok: false, code: "usage" });
    const registered = await runScript("register-agent", [...at, "--label", "agent-p", "--json"]);
    expect(registered.json()).to.include({ ok: true });
  });

  it("2. makes a key once, and shows no credential", async () => {
    let made = await agentKey("create");
    // the vault may not have seen the block yet that has the device in it
    while (made.json()["code"] === "device_not_active") made = await agentKey("create");
    expect(made.json()).to.include({ ok: true, agentAddress: held().agentAddress });
    expect(made.stdout + made.stderr).to.not.include(held().agentCredential);
    expect(statSync(file).mode & 0o777).to.equal(0o600);
    expect((await agentKey("create")).json()).to.include({ ok: false, code: "usage" });
  });

  it("3. the key is what a session is granted to", async () => {
    const rules = join(dir, "rules.json");
    writeFileSync(
      rules,
      JSON.stringify({ rules: [{ target: await world.target.getAddress(), function: "write(uint256)" }] }),
    );
    const key = ["--label", "agent-p", "--key", held().agentAddress];
    const granted = await runScript("grant-session", [...at, ...key, "--rules", rules, "--json"]);
    expect(granted.json()).to.include({ ok: true, changed: true });
  });

  it("4. a refresh ends the credential of before, a revocation the key", async () => {
    const before = held();
    expect((await agentKey("refresh")).json()).to.include({ ok: true, agentAddress: before.agentAddress });
    expect(held().agentCredential).to.not.equal(before.agentCredential);
    expect((await agentKey("revoke")).json()).to.include({ ok: true });
    expect((await agentKey("refresh")).json()).to.include({ ok: false, code: "agent_key_not_found" });
  });
});

import { mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect } from "chai";

import { deviceKeyAt } from "../../../offchain/client/device-key-file";
import { keccakReady } from "../../../offchain/wire/keccak";
import { NO_END } from "../../../offchain/wire/names";
import { untilOf } from "../../../scripts/lib/grant-options";
import { DEVELOPMENT_KEY, type HardhatNode, startHardhatNode } from "../../helpers/hardhat-node";
import { type Outcome, runScript } from "../../helpers/program";
import { SOME_COMMITMENT } from "../../helpers/registries";
import { type RpcProxy, startRpcProxy } from "../../helpers/rpc-proxy";

describe("scripts", () => {
  let node: HardhatNode;
  let proxy: RpcProxy;
  let dir: string;
  let deployment: string;

  before(async () => {
    dir = await mkdtemp(join(tmpdir(), "agentkeys-scripts-"));
    deployment = join(dir, "addresses.json");
    node = await startHardhatNode();
    proxy = await startRpcProxy(node.url);
  });

  after(async () => {
    await proxy.stop();
    await node.stop();
    await rm(dir, { recursive: true, force: true });
  });

  const place = (state = "operator"): readonly string[] => [
    ...["--rpc", node.url, "--deployment", deployment, "--state", join(dir, state)],
  ];

  function deploy(url: string, ...more: string[]): Promise<Outcome> {
    return runScript("deploy", ["--rpc", url, "--out", deployment, "--journals", join(dir, "journals"), ...more]);
  }

  /** Runs a program twice with --json: the first time it changes something, the second time it does not. */
  async function twice(name: string, ...args: string[]): Promise<Readonly<Record<string, unknown>>> {
    const first = (await runScript(name, [...args, "--json"])).json();
    expect(first).to.include({ ok: true, changed: true });
    const second = await runScript(name, [...args, "--json"]);
    expect(second.json()).to.include({ ok: true, changed: false });
    expect(second.code).to.equal(0);
    return first;
  }

  function expectRefused(outcome: Outcome, status: number, words: RegExp): void {
    expect(outcome.code).to.equal(status);
    expect(outcome.stderr).to.match(words);
  }

  it("1. deploy says what is missing before anything is there", async () => {
    expectRefused(await runScript("register-master", [...place(), "--software"]), 2, /run "npm run deploy/);
    expectRefused(await deploy(node.url), 2, /--k3-commitment is missing/);
    expectRefused(await deploy(node.url, "--network", "nowhere"), 2, /--network is one of/);
    expectRefused(await deploy("http://127.0.0.1:1", "--k3-commitment", SOME_COMMITMENT), 2, /does not answer/);
    expectRefused(
      await deploy(node.url, "--network", "heima"),
      2,
      /heima is chain 212013, but the RPC serves chain 31337/,
    );
  });

  it("2. deploy writes the addresses, and a second run finds them", async () => {
    const first = (await deploy(node.url, "--k3-commitment", SOME_COMMITMENT, "--json")).json();
    expect(first).to.include({ ok: true, changed: true, chainId: 31337, entryPointVersion: "0.8" });
    const written = JSON.parse(await readFile(deployment, "utf8")) as Record<string, unknown>;
    expect(written["contracts"]).to.deep.equal(first["contracts"]);
    expect((await deploy(node.url, "--json")).json()).to.deep.include({
      changed: false,
      contracts: first["contracts"],
    });
    await rm(deployment);
    const again = (await deploy(node.url, "--json")).json();
    expect(again).to.deep.include({
      changed: false,
      contracts: first["contracts"],
      entryPoint: first["entryPoint"],
    });
  });

  it("3. deploy notices that a fresh node stands where the journal's node was", async () => {
    const fresh = await startHardhatNode();
    try {
      const out = join(dir, "fresh.json");
      const args = ["--rpc", fresh.url, "--out", out, "--journals", join(dir, "journals"), "--json"];
      const first = (await runScript("deploy", [...args, "--k3-commitment", SOME_COMMITMENT])).json();
      expect(first).to.include({ ok: true, changed: true });
      const second = (await runScript("deploy", args)).json();
      expect(second).to.include({ changed: false });
    } finally {
      await fresh.stop();
    }
  });

  it("4. a rehearsal leaves nothing behind", async () => {
    const args = ["--network", "hardhat", "--k3-commitment", SOME_COMMITMENT, "--entry-point", "0.7", "--json"];
    expect((await runScript("deploy", args)).json()).to.include({ ok: true, file: null, entryPointVersion: "0.7" });
  });

  it("5. register-master wants a kind of passkey, makes the account and the operator, once", async () => {
    expectRefused(await runScript("register-master", [...place()]), 2, /Say --browser, or --software/);
    expectRefused(await runScript("register-master", [...place(), "--software", "--browser"]), 2, /exclude each other/);
    expectRefused(await runScript("register-agent", [...place(), "--label", "a"]), 2, /run register-master first/);
    await twice("register-master", ...place(), "--software");
    const { mode } = await stat(join(dir, "operator", "passkey.json"));
    expect(mode & 0o777).to.equal(0o600);
    expectRefused(await runScript("register-master", [...place(), "--browser"]), 2, /passkey of the other kind/);
  });

  it("6. register-master-k10 and revoke-device, although it is the only device", async () => {
    const done = await twice("register-master-k10", ...place(), "--recovery");
    expect((await stat(join(dir, "operator", "k10.key"))).mode & 0o777).to.equal(0o600);
    await twice("revoke-device", ...place(), "--hash", String(done["deviceKeyHash"]));
    expectRefused(
      await runScript("register-master-k10", [...place(), "--recovery"]),
      1,
      /was revoked.*caller_not_allowed/,
    );
    expectRefused(await runScript("revoke-device", [...place()]), 2, /give --hash or --actor/);
    const unknown = ["--hash", `0x${"99".repeat(32)}`];
    expectRefused(await runScript("revoke-device", [...place(), ...unknown]), 1, /never registered.*device_not_active/);
  });

  it("7. register-agent, grant-scope, and revoke-device of a whole agent", async () => {
    const agent = await twice("register-agent", ...place(), "--label", "agent-a", "--service", "openrouter");
    const grant = ["--label", "agent-a", "--service", "memory:travel", "--class", "memory", "--ops", "store,fetch"];
    await twice("grant-scope", ...place(), ...grant, "--until", "never");
    for (const [args, words] of [
      [["--label", "Agent"], /--label/],
      [["--ops", "rotate"], /--ops/],
      [["--class", "secrets"], /--class/],
      [["--until", "2001-01-01"], /--until lies in the past/],
      [["--service", "a..b"], /--service/],
    ] as const) {
      expectRefused(await runScript("grant-scope", [...place(), ...grant, ...args]), 2, words);
    }
    await twice("revoke-device", ...place(), "--actor", String(agent["actorOmni"]));
    const refused = await runScript("grant-scope", [...place(), ...grant, "--until", "30d", "--json"]);
    expect(refused.code).to.equal(1);
    expect(refused.json()).to.include({ ok: false, code: "device_binding_mismatch" });
  });

  it("8. says what it signs", async () => {
    const { stdout } = await runScript("register-agent", [...place(), "--label", "agent-b", "--service", "openrouter"]);
    expect(stdout).to.match(/Signing: SidecarRegistry\.registerAgentDevice\(label: agent-b/);
    expect(stdout).to.match(/Signing: ScopeRegistry\.setGrants\(actorOmni: agent agent-b .*openrouter/);
  });

  it("9. grant-session, inside of what its file says, and revoke-session", async () => {
    const file = join(dir, "rules.json");
    const rule = { target: `0x${"Ab".repeat(20)}`, function: "transfer(address,uint256)", valueTotal: "0" };
    const whole = { rules: [rule], tokens: [{ token: rule.target, total: "1000" }] };
    const grant = ["--label", "agent-b", "--key", `0x${"C0".repeat(20)}`, "--rules", file];
    for (const [wrong, words] of [
      ["{", /is not JSON/],
      [{ ...whole, limits: [] }, /limits is none of rules, tokens/],
      [{ rules: [{ ...rule, function: "transfer" }] }, /a function is written as/],
      [{ rules: [{ ...rule, valueTotal: 5 }] }, /a text of decimal digits/],
      [{ rules: [{ ...rule, valueTotal: String(2n ** 80n) }] }, /is 2\^80 or above/],
      [{ rules: [{ ...rule, where: [{ word: 0, is: "less", value: `0x${"00".repeat(32)}` }] }] }, /"is" is one of/],
    ] as const) {
      await writeFile(file, typeof wrong === "string" ? wrong : JSON.stringify(wrong));
      expectRefused(await runScript("grant-session", [...place(), ...grant]), 2, words);
    }
    await writeFile(file, JSON.stringify(whole));
    expectRefused(await runScript("grant-session", [...place(), ...grant, "--until", "169h"]), 2, /at most 7 days/);
    expectRefused(await runScript("grant-session", [...place(), ...grant, "--calls", "4096"]), 2, /below 4096/);
    const unnamed = await runScript("grant-session", [...place(), ...grant, "--paymaster-total", "1"]);
    expectRefused(unnamed, 2, /goes with --paymaster/);
    const refused = await runScript("grant-session", [...place(), ...grant, "--window", "59", "--json"]);
    expect(refused.json()).to.include({ ok: false, code: "request_malformed" });
    const done = await runScript("grant-session", [...place(), ...grant]);
    expect(done.stdout).to.match(/Signing: SessionKeyValidator\.grant\(session: \{actorOmni: agent agent-b/);
    expect(done.code).to.equal(0);
    expectRefused(await runScript("revoke-session", [...place(), "--all", "--label", "agent-b"]), 2, /one of --key/);
    await twice("revoke-session", ...place(), "--key", `0x${"c0".repeat(20)}`);
  });

  it("10. rotate-epoch by governance's key, once", async () => {
    const keyFile = join(dir, "governance.key");
    await writeFile(keyFile, `${DEVELOPMENT_KEY}\n`, { mode: 0o600 });
    const args = ["--rpc", node.url, "--deployment", deployment];
    const next = ["--commitment", `0x${"66".repeat(32)}`];
    expectRefused(await runScript("rotate-epoch", [...args, ...next]), 2, /Governance's key is needed/);
    await twice("rotate-epoch", ...args, ...next, "--key-file", keyFile);
    const early = [...args, "--commitment", `0x${"77".repeat(32)}`, "--key-file", keyFile];
    expectRefused(await runScript("rotate-epoch", early), 1, /once an hour/);
    await writeFile(join(dir, "loose.key"), DEVELOPMENT_KEY, { mode: 0o644 });
    expectRefused(
      await runScript("rotate-epoch", [...args, ...next, "--key-file", join(dir, "loose.key")]),
      2,
      /readable by others/,
    );
  });

  it("11. works from a stack file", async () => {
    const addresses = JSON.parse(await readFile(deployment, "utf8")) as Record<string, unknown>;
    const stack = join(dir, "stack.json");
    await writeFile(stack, JSON.stringify({ ...addresses, rpcUrl: node.url, developmentKey: DEVELOPMENT_KEY }));
    await twice("register-master", "--stack", stack, "--state", join(dir, "other"), "--software");
    expectRefused(await runScript("register-master", ["--stack", join(dir, "none.json")]), 2, /is "npm start" running/);
  });

  it("12. paymaster: deposit, sponsor and budget, and an operation that they pay for", async () => {
    const owner = join(dir, "paymaster-owner.key");
    await writeFile(owner, DEVELOPMENT_KEY, { mode: 0o600 });
    await keccakReady();
    const sponsorFile = join(dir, "sponsor.key");
    const { address } = await deviceKeyAt(sponsorFile);
    const at = ["--rpc", node.url, "--deployment", deployment];
    const paymaster = (...args: string[]) => runScript("paymaster", [...args, ...at, "--key-file", owner, "--json"]);
    expectRefused(await runScript("paymaster", ["spend", ...at]), 2, /the act is one of/);
    expectRefused(await runScript("paymaster", ["deposit", ...at, "--amount", "1"]), 2, /owner's key is needed/);
    expectRefused(await runScript("paymaster", ["deposit", ...at, "--amount", "1e3"]), 2, /decimal number/);
    const sponsored = [...place("sponsored"), "--key-file", owner, "--sponsor", sponsorFile];
    expectRefused(await runScript("register-master", [...sponsored, "--software"]), 1, /no sponsor/);
    expect((await paymaster("add-sponsor", "--address", address)).json()).to.include({ ok: true });
    expect((await paymaster("deposit", "--amount", "2")).json()).to.include({ deposit: "2000000000000000000" });
    expect((await paymaster("stake", "--amount", "0.1")).json()).to.include({ isStaked: true, unstakeDelay: 86_400 });
    const unpaid = await runScript("register-master", sponsored);
    expectRefused(unpaid, 1, /no budget for 0x/);
    const account = String(/no budget for (0x[0-9a-f]{40})/.exec(unpaid.stderr)?.[1]);
    const budget = (coins: string) => paymaster("budget", "--account", account, "--amount", coins);
    expect((await budget("0.000000000000000007")).json()).to.include({ ok: true });
    expectRefused(await runScript("register-master", sponsored), 1, /has 7 wei left; the operation may cost \d+/);
    const set = (await budget("1")).json()["budget"] as Record<string, unknown>;
    expect(set).to.include({ perWindow: "1000000000000000000", windowSeconds: 86_400, left: "1000000000000000000" });
    await twice("register-master", ...sponsored);
    const status = (await runScript("paymaster", ["status", ...at, "--account", account, "--json"])).json();
    const { left } = status["budget"] as { left: string };
    expect(BigInt(left) < 10n ** 18n).to.equal(true);
    expect(BigInt(String(status["deposit"])) >= 10n ** 18n + BigInt(left)).to.equal(true);
    expect((await node.provider.getBalance(account)) === 0n).to.equal(true);
  });

  it("13. refuses a software passkey, and to spend unasked, on a production chain", async () => {
    proxy.faults.chainId = 8453;
    const addresses = JSON.parse(await readFile(deployment, "utf8")) as Record<string, unknown>;
    const base = join(dir, "base.json");
    await writeFile(base, JSON.stringify({ ...addresses, chainId: 8453 }));
    const args = ["--network", "base", "--rpc", proxy.url, "--deployment", base, "--state", join(dir, "base")];
    const confirmed = { MAINNET_CONFIRM: "1", DEPLOYER_KEY: DEVELOPMENT_KEY };
    expectRefused(await runScript("register-master", [...args, "--software"]), 2, /MAINNET_CONFIRM=1/);
    expectRefused(
      await runScript("register-master", [...args, "--software"], confirmed),
      1,
      /software passkey is refused on chain 8453.*caller_not_allowed/,
    );
    expect(await stat(join(dir, "base")).catch(() => undefined)).to.equal(undefined);
    const unowned = ["--network", "base", "--rpc", proxy.url, "--k3-commitment", SOME_COMMITMENT];
    const journals = ["--journals", join(dir, "journals"), "--out", join(dir, "base-new.json")];
    expectRefused(await runScript("deploy", [...unowned, ...journals]), 2, /MAINNET_CONFIRM=1/);
    expectRefused(await runScript("deploy", [...unowned, ...journals], confirmed), 2, /--owner is required/);
    proxy.heal();
  });

  it("14. --json says refusals in one line, too", async () => {
    const outcome = await runScript("grant-scope", [...place(), "--json"]);
    expect(outcome.code).to.equal(2);
    expect(outcome.json()).to.include({ ok: false, code: "usage" });
    expect((await runScript("deploy", ["--help"])).stdout).to.match(/^npm run deploy/);
    expectRefused(await runScript("deploy", ["--nonsense"]), 2, /Unknown option '--nonsense'/);
  });
});

describe("untilOf", () => {
  const now = 1_767_225_600; // a midnight

  it("reads dates, seconds, durations and never", () => {
    expect(untilOf("never", now)).to.equal(NO_END);
    expect(untilOf("30d", now)).to.equal(now + 30 * 86_400);
    expect(untilOf("30d", now + 1)).to.equal(now + 31 * 86_400);
    expect(untilOf("12h", now)).to.equal(now + 86_400);
    expect(untilOf("2026-12-31T12:00:00Z", now)).to.equal(Date.parse("2026-12-31T12:00:00Z") / 1_000);
    expect(untilOf(String(now + 5), now)).to.equal(now + 5);
    for (const wrong of ["", "soon", "0d", "-1d", "1.5h"]) expect(() => untilOf(wrong, now), wrong).to.throw();
  });
});

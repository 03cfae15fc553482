import { access, mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect } from "chai";
import { type Browser, type CDPSession, type Page, chromium } from "playwright-core";

import { type HardhatNode, startHardhatNode } from "../helpers/hardhat-node";
import { type Outcome, runScript } from "../helpers/program";
import { SOME_COMMITMENT } from "../helpers/registries";

const CHROMIUM = process.env["CHROMIUM_PATH"] ?? "/usr/bin/chromium";

describe("passkey page in a real browser", () => {
  let node: HardhatNode;
  let browser: Browser;
  let page: Page;
  let devtools: CDPSession;
  let dir: string;
  let authenticatorId: string;

  before(async () => {
    await access(CHROMIUM).catch(() => {
      throw new Error(`No browser at ${CHROMIUM}: apt-get install chromium, or set CHROMIUM_PATH.`);
    });
    dir = await mkdtemp(join(tmpdir(), "agentkeys-browser-"));
    node = await startHardhatNode();
    const args = ["--rpc", node.url, "--out", join(dir, "addresses.json"), "--journals", join(dir, "journals")];
    expect((await runScript("deploy", [...args, "--k3-commitment", SOME_COMMITMENT])).code).to.equal(0);
    browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
    page = await browser.newPage();
    devtools = await page.context().newCDPSession(page);
    await devtools.send("WebAuthn.enable");
    ({ authenticatorId } = await devtools.send("WebAuthn.addVirtualAuthenticator", {
      options: {
        protocol: "ctap2",
        ctap2Version: "ctap2_1",
        transport: "internal",
        hasResidentKey: true,
        hasUserVerification: true,
        isUserVerified: true,
        automaticPresenceSimulation: true,
      },
    }));
  });

  after(async () => {
    await browser.close();
    await node.stop();
    await rm(dir, { recursive: true, force: true });
  });

  /** Starts a program and does what a person would do on the page that it opens. */
  async function withPage(
    name: string,
    args: readonly string[],
    visit: (page: Page) => Promise<void>,
  ): Promise<Outcome> {
    let visited: Promise<void> | undefined;
    const failed = new AbortController();
    const place = ["--rpc", node.url, "--deployment", join(dir, "addresses.json"), "--state", join(dir, "operator")];
    const outcome = await runScript(
      name,
      [...place, "--json", ...args],
      {},
      {
        signal: failed.signal,
        onStderr(text) {
          const url = /http:\/\/localhost:\d+\/[0-9a-f]{32}\//.exec(text)?.[0];
          if (url === undefined || visited !== undefined) return;
          visited = page.goto(url).then(() => visit(page));
          visited.catch(() => {
            failed.abort();
          });
        },
      },
    );
    await visited;
    return outcome;
  }

  async function press(title: string): Promise<void> {
    await page.getByRole("heading", { name: title }).waitFor();
    await page.locator("#go").click();
  }

  it("1. makes the account and the operator: one tap for the passkey, one for the operation", async () => {
    const outcome = await withPage("register-master", ["--browser"], async () => {
      await press("Make a passkey");
      await page.getByRole("heading", { name: "Sign with your passkey" }).waitFor();
      expect(await page.locator("#shown li").allTextContents()).to.deep.equal(["SidecarRegistry.registerOperator()"]);
      expect(await page.locator("#hash code").textContent()).to.match(/^0x[0-9a-f]{64}$/);
      await press("Sign with your passkey");
      await page.getByText("Done. This page can be closed.").waitFor();
    });
    expect(outcome.json(), outcome.stderr).to.include({ ok: true, changed: true });
    const stored = JSON.parse(await readFile(join(dir, "operator", "credential.json"), "utf8")) as object;
    expect(Object.keys(stored)).to.deep.equal(["credentialId", "rpId", "x", "y"]);
  });

  it("2. finds both again, and opens no page", async () => {
    const outcome = await withPage("register-master", ["--browser"], () => Promise.reject(new Error("no page")));
    expect(outcome.json(), outcome.stderr).to.include({ ok: true, changed: false });
  });

  it("3. signs for an agent, and shows device and grant", async () => {
    const outcome = await withPage("register-agent", ["--label", "agent-a", "--service", "openrouter"], async () => {
      await page.getByRole("heading", { name: "Sign with your passkey" }).waitFor();
      const shown = await page.locator("#shown li").allTextContents();
      expect(shown).to.have.length(2);
      expect(shown[0]).to.match(/^SidecarRegistry\.registerAgentDevice\(label: agent-a/);
      expect(shown[1]).to.match(/serviceHash: openrouter \(0x/);
      await press("Sign with your passkey");
    });
    expect(outcome.json(), outcome.stderr).to.include({ ok: true, changed: true, label: "agent-a" });
  });

  it("4. sends nothing when the person is not verified", async () => {
    await devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: false });
    const before = await node.provider.getBlockNumber();
    const outcome = await withPage("grant-scope", ["--label", "agent-a", "--service", "other"], async () => {
      await press("Sign with your passkey");
    });
    expect(outcome.code).to.equal(1);
    expect(outcome.json()).to.include({ ok: false, code: "caller_not_allowed" });
    expect(await node.provider.getBlockNumber()).to.equal(before);
    await devtools.send("WebAuthn.setUserVerified", { authenticatorId, isUserVerified: true });
  });

  it("5. is closed to whoever does not know its secret, and to other origins", async () => {
    const outcome = await withPage("grant-scope", ["--label", "agent-a", "--service", "other"], async () => {
      const url = page.url();
      const { origin } = new URL(url);
      await page.getByRole("heading", { name: "Sign with your passkey" }).waitFor();
      const step = (await (await fetch(`${url}step`)).json()) as { number: number };
      expect(step.number).to.equal(1);
      expect((await fetch(`${origin}/`)).status).to.equal(404);
      expect((await fetch(`${origin}/${"0".repeat(32)}/step`)).status).to.equal(404);
      expect((await fetch(`${url}step`.replace("localhost", "127.0.0.1"))).status).to.equal(404);
      const answer = { method: "POST", body: JSON.stringify({ step: 1, error: "Stolen" }) };
      expect((await fetch(`${url}answer`, answer)).status).to.equal(409);
      const foreign = { ...answer, headers: { origin: "http://localhost:1" } };
      expect((await fetch(`${url}answer`, foreign)).status).to.equal(409);
      await press("Sign with your passkey");
    });
    expect(outcome.json(), outcome.stderr).to.include({ ok: true, changed: true });
  });
});

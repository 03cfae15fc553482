import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { expect } from "chai";

import { connectContracts } from "../../../offchain/chain/connect";
import type { Deployment } from "../../../offchain/chain/deployment";
import { contractPasskey } from "../../../offchain/client/authenticator";
import { deviceKey, deviceKeyAt } from "../../../offchain/client/device-key-file";
import { consentByKey, parseConsent, parseRequest } from "../../../offchain/client/guardian-consent";
import {
  type GuardianMessage,
  configurationId,
  guardianDigest,
  hashPasskeys,
  removalId,
} from "../../../offchain/client/guardian-messages";
import { openOperator } from "../../../offchain/client/operator";
import { startRecovery } from "../../../offchain/client/recovery";
import {
  newSoftwarePasskey,
  softwareAuthenticator,
  softwareAuthenticatorAt,
} from "../../../offchain/client/software-authenticator";
import { type Hex, fromHex, toHex } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { deployAgentKeys } from "../../../scripts/lib/deploy-agentkeys";
import { DEVELOPMENT_KEY, type HardhatNode, startHardhatNode } from "../../helpers/hardhat-node";
import { type Outcome, runScript } from "../../helpers/program";
import { SOME_COMMITMENT } from "../../helpers/registries";

const HOUR = 3_600;

describe("recovery", function () {
  this.timeout(120_000);
  let node: HardhatNode;
  let dir: string;
  let deployment: Deployment;
  let account: Hex;

  const file = (name: string): string => join(dir, name);

  before(async () => {
    await keccakReady();
    node = await startHardhatNode();
    dir = await mkdtemp(join(tmpdir(), "agentkeys-recovery-"));
    deployment = await deployAgentKeys({ rpcUrl: node.url, k3Commitment: SOME_COMMITMENT });
    const stack = { ...deployment, rpcUrl: node.url, developmentKey: DEVELOPMENT_KEY };
    await writeFile(file("stack.json"), JSON.stringify(stack));
    for (const name of ["anna", "ben", "mallory"]) {
      await writeFile(file(`${name}.key`), `${toHex(randomBytes(32))}\n`, { mode: 0o600 });
    }
    account = String((await run("register-master", "owner", "--software")).json()["account"]) as Hex;
  });

  after(async () => {
    await node.stop();
    await rm(dir, { recursive: true, force: true });
  });

  function run(program: string, state: string, ...args: readonly string[]): Promise<Outcome> {
    return runScript(program, [...args, "--stack", file("stack.json"), "--state", file(state), "--json"]);
  }

  /** Runs an act of the recovery program on a state folder. */
  async function act(state: string, ...args: readonly string[]): Promise<Readonly<Record<string, unknown>>> {
    const [name = "", ...rest] = args;
    const outcome = await runScript("recovery", [
      ...[name, ...rest, "--stack", file("stack.json"), "--state", file(state), "--json"],
    ]);
    return outcome.json();
  }

  function sign(who: string, request: string): Promise<Readonly<Record<string, unknown>>> {
    const files = ["--request", file(request), "--out", file(`${request}-${who}`)];
    return act(who, "consent", ...files, ...(who === "cleo" ? [] : ["--key-file", file(`${who}.key`)]));
  }

  const consents = (request: string, ...who: readonly string[]): readonly string[] =>
    who.flatMap((one) => ["--consent", file(`${request}-${one}`)]);

  async function guardianOf(who: string): Promise<Hex> {
    return (await deviceKeyAt(file(`${who}.key`))).address;
  }

  async function pass(seconds: number): Promise<void> {
    await node.provider.send("evm_increaseTime", [seconds]);
    await node.mine();
  }

  function refused(outcome: Readonly<Record<string, unknown>>, code: string, words: RegExp): void {
    expect(outcome).to.include({ ok: false, code });
    expect(outcome["detail"]).to.match(words);
  }

  it("computes what the contract computes", async () => {
    const { recovery } = connectContracts(deployment, node.provider);
    const newPasskeys = [0, 1].map(() => contractPasskey(softwareAuthenticator(newSoftwarePasskey()).credential));
    const place = { chainId: 31337, recovery: deployment.contracts.AccountRecovery, account };
    const digestOf = (message: GuardianMessage): Hex => guardianDigest({ ...place, message });
    const change: Hex = `0x${"ab".repeat(32)}`;
    const hash = hashPasskeys(newPasskeys);
    expect(hash).to.equal(await recovery.hashPasskeys(newPasskeys));
    expect(digestOf({ kind: "start", newPasskeys, recoveryNonce: 3, notBefore: 99 })).to.equal(
      await recovery.recoverDigest(account, hash, 3, 99),
    );
    expect(digestOf({ kind: "cancel", recoveryNonce: 3 })).to.equal(await recovery.cancelRecoveryDigest(account, 3));
    expect(digestOf({ kind: "cancel-change", change, readyAt: 7 })).to.equal(
      await recovery.cancelChangeDigest(account, change, 7),
    );
    const guardians: Hex[] = [`0x${"11".repeat(20)}`, `0x${"22".repeat(84)}`];
    expect(configurationId({ guardians, threshold: 2, delay: 86_400 })).to.equal(
      await recovery.configurationId(guardians, 2, 86_400),
    );
    expect(removalId(change)).to.equal(await recovery.removalId(change));
  });

  it("configures at once while off, announces afterwards, and withdraws", async () => {
    const cleo = String((await act("cleo", "guardian", "--software"))["guardian"]);
    const guardians = [await guardianOf("anna"), await guardianOf("ben"), cleo].flatMap((one) => ["--guardian", one]);
    refused(await act("owner", "configure", ...guardians, "--threshold", "4"), "request_malformed", /threshold/);
    const first = await act("owner", "configure", ...guardians, "--threshold", "2");
    expect(first).to.include({ ok: true, changed: true });
    expect(await act("owner", "status", "--account", account)).to.include({ threshold: 2, delay: 48 * HOUR });

    const announced = await act("owner", "configure", "--off");
    expect(announced).to.include({ ok: true, changed: true });
    expect(await act("owner", "configure", "--off")).to.include({ ok: true, changed: false });
    refused(await act("owner", "configure", "--off", "--execute"), "caller_not_allowed", /in (1 d 23 h|2 d)/);
    expect(await act("owner", "cancel-change", "--change", String(announced["change"]))).to.include({ ok: true });
    refused(await act("owner", "configure", "--off", "--execute"), "caller_not_allowed", /not announced/);
  });

  it("starts with enough consents to one message, from guardians, for this account and chain", async () => {
    const ask = ["request", "--account", account, "--for", "start", "--collect", "1h", "--out"];
    refused(await act("new", ...ask, file("start")), "usage", /--browser, or --software/);
    const request = await act("new", ...ask, file("start"), "--software");
    expect(request).to.include({ ok: true, threshold: 2 });
    refused(await sign("mallory", "start"), "caller_not_allowed", /other guardians/);
    for (const signed of await Promise.all(["anna", "ben", "cleo"].map((who) => sign(who, "start")))) {
      expect(signed).to.include({ ok: true });
    }

    const start = (...args: readonly string[]) => act("anyone", "start", "--account", account, ...args);
    refused(await start(...consents("start", "anna", "anna")), "caller_not_allowed", /1 of 2 consents: 1 more/);
    refused(await start("--consent", file("start")), "request_malformed", /no guardian has signed/);
    const elsewhere = ["start", "--account", `0x${"33".repeat(20)}`];
    refused(
      await act("anyone", ...elsewhere, ...consents("start", "anna", "cleo")),
      "caller_not_allowed",
      /no guardians/,
    );

    // what no program of ours would write: each of these is found before anything is sent
    const honest = parseConsent(await readFile(file("start-anna"), "utf8"));
    if (!honest.ok) throw new Error(honest.failure.detail);
    const { value: own } = honest;
    const key = deviceKey(randomBytes(32));
    const { message } = own.request;
    if (message.kind !== "start") throw new Error(message.kind);
    const later = { ...message, notBefore: message.notBefore + 1 };
    const forged = [
      [consentByKey({ ...own.request, chainId: 1 }, key), "request_malformed"],
      [consentByKey({ ...own.request, account: `0x${"33".repeat(20)}` }, key), "request_malformed"],
      [consentByKey(own.request, key), "caller_not_allowed"],
      [
        { ...consentByKey({ ...own.request, message: later }, key), guardian: await guardianOf("ben") },
        "request_malformed",
      ],
      // found by the contract, when the start is tried
      [{ ...consentByKey(own.request, key), guardian: await guardianOf("ben") }, "caller_not_allowed"],
    ] as const;
    const chain = { provider: node.provider, deployment };
    for (const [consent, code] of forged) {
      const done = await startRecovery(chain, account, [own, consent]);
      expect(done.ok ? "started" : done.failure.code).to.equal(code);
    }
    expect(await start(...consents("start", "cleo", "anna"))).to.include({ ok: true });
    refused(await start(...consents("start", "cleo", "anna")), "caller_not_allowed", /A recovery is pending/);
  });

  it("is cancelled by a live passkey once, and not by the new one", async () => {
    const early = await act("anyone", "finish", "--account", account);
    refused(early, "caller_not_allowed", /Too early: it can be finished in (2 d|1 d)/);
    expect(await act("owner", "cancel")).to.include({ ok: true, changed: true });
    refused(await act("anyone", "finish", "--account", account), "caller_not_allowed", /No recovery/);
    const again = await act("anyone", "start", "--account", account, ...consents("start", "anna", "ben"));
    refused(again, "request_malformed", /another nonce/);
  });

  it("is cancelled by guardians at any time", async () => {
    await started("second");
    refused(await act("owner", "cancel"), "caller_not_allowed", /once in 30 days: the next time is in (29|30) d/);
    await act("anyone", "request", "--account", account, "--for", "cancel", "--out", file("stop"));
    await Promise.all(["ben", "cleo"].map((who) => sign(who, "stop")));
    const cancel = ["cancel", "--account", account, ...consents("stop", "ben", "cleo")];
    expect(await act("anyone", ...cancel)).to.include({ ok: true });
    expect(await act("anyone", "status", "--account", account)).not.to.have.property("pending");
  });

  it("ends in one operation what the thief left, and keeps the account with the new passkey", async () => {
    const { credentialAudit, sidecarRegistry } = connectContracts(deployment, node.provider);
    const omni = await sidecarRegistry.omniOf(account);
    const auditor = await guardianOf("mallory");
    await run("register-master-k10", "owner", "--recovery");
    await byOldPasskey(credentialAudit.interface.encodeFunctionData("setAuditor", [auditor, true]));
    expect(await credentialAudit.mayAppend(omni, auditor)).to.equal(true);
    const k10 = await deviceKeyAt(file("owner/k10.key"));
    const deadline = ((await node.provider.getBlock("latest"))?.timestamp ?? 0) + HOUR;
    const order = await sidecarRegistry.freezeDigest(omni, k10.deviceKeyHash, 0, deadline);
    const relay = connectContracts(deployment, await node.provider.getSigner(0)).sidecarRegistry;
    await relay.freeze(omni, k10.deviceKeyHash, deadline, k10.sign(fromHex(order as Hex)));
    await started("third");
    await pass(50 * HOUR);
    const finished = await act("anyone", "finish", "--account", account);
    expect(finished).to.include({ ok: true, cleaned: false });
    const refusedOwner = (await run("revoke-device", "owner", "--hash", k10.deviceKeyHash)).json();
    refused(refusedOwner, "caller_not_allowed", /AA24/);

    const cleaned = await act("new", "finish", "--account", account);
    expect(cleaned).to.include({ ok: true, changed: true, cleaned: true, account, isFrozen: true });
    expect(cleaned).to.deep.include({ masterDevices: [k10.deviceKeyHash], auditors: [auditor] });
    expect(await sidecarRegistry.isActive(k10.deviceKeyHash)).to.equal(false);
    expect(await credentialAudit.mayAppend(omni, auditor)).to.equal(false);
    expect(await sidecarRegistry.isFrozen(omni)).to.equal(false);
    expect(await act("new", "finish", "--account", account)).to.include({ ok: true, changed: false, cleaned: true });
    // the state folder knows the account now
    expect((await run("register-agent", "new", "--label", "agent-a")).json()).to.include({ ok: true, changed: true });
  });

  /** A recovery to the passkey of the folder `new`, pending. */
  async function started(request: string): Promise<void> {
    const ask = ["request", "--account", account, "--for", "start", "--collect", "1h", "--out", file(request)];
    expect(await act("new", ...ask)).to.include({ ok: true });
    const parsed = parseRequest(await readFile(file(request), "utf8"));
    if (!parsed.ok) throw new Error(parsed.failure.detail);
    const signed = await Promise.all(
      ["anna", "ben"].map(async (who) => consentByKey(parsed.value, await deviceKeyAt(file(`${who}.key`)))),
    );
    const done = await startRecovery({ provider: node.provider, deployment }, account, signed);
    expect(done.ok).to.equal(true);
  }

  /** One call of CredentialAudit by the passkey that is to be replaced. */
  async function byOldPasskey(data: string): Promise<void> {
    const authenticator = await softwareAuthenticatorAt(file("owner/passkey.json"));
    const relay = { kind: "direct", key: DEVELOPMENT_KEY } as const;
    const opened = await openOperator({ rpcUrl: node.url, deployment, authenticator, relay });
    if (!opened.ok) throw new Error(opened.failure.detail);
    const call = { to: deployment.contracts.CredentialAudit, value: 0n, data: data as Hex };
    const done = await opened.value.perform([call]);
    opened.value.close();
    expect(done.ok).to.equal(true);
  }
});

import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { appendFileSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { expect } from "chai";

import { type ChainReader, chainReader } from "../../../offchain/chain/reader";
import { type Client, type ObjectWish, createClient } from "../../../offchain/client/client";
import { deviceKey } from "../../../offchain/client/device-key-file";
import { fileMarks, memoryMarks } from "../../../offchain/client/high-water-marks";
import { nameOf } from "../../../offchain/client/object-names";
import { type Hex, toHex } from "../../../offchain/wire/bytes";
import { objectPath } from "../../../offchain/wire/names";
import { parseObject } from "../../../offchain/wire/object";
import { type Stack, startStack } from "../../../scripts/lib/stack";
import { writeStackFile } from "../../../scripts/lib/stack-file";
import { World } from "../../drills/world";
import { advanceEpoch, nextEpoch } from "../../helpers/epochs";
import { eventually } from "../../helpers/eventually";
import { type Gate, startGate } from "../../helpers/gate";
import { type Outcome, runScript } from "../../helpers/program";
import { grantAll } from "../../helpers/shared-world";
import { temporaryFolders } from "../../helpers/temporary-folder";
import { type TestDevice, nowSeconds } from "../../helpers/words";

const ROOT = resolve(__dirname, "../../..");
/** Objects of the agent that are stored in each of three epochs. */
const EACH = 14;

interface Written {
  readonly value: string;
  readonly version: number;
}

describe("rotate --eager, against the real stack", function () {
  this.timeout(300_000);
  const folders = temporaryFolders();
  let stack: Stack;
  let world: World;
  let chain: ChainReader;
  let agent: Client;
  let master: Client;
  let dir: string;
  let marksFile: string;
  let wishes: readonly ObjectWish[];
  /** The last store of each object that was confirmed. */
  const stored = new Map<ObjectWish, Written>();

  before(async () => {
    stack = await startStack({ dir: folders.make(), logLevel: "warn" });
    world = await World.over(stack);
    dir = folders.make();
    marksFile = join(dir, "marks.json");
    writeStackFile(join(dir, "stack.json"), stack);
    const { party } = world;
    writeFileSync(join(dir, "k10.key"), `${toHex(party.masterDevice.secret)}\n`, { mode: 0o600 });
    const { SidecarRegistry, ScopeRegistry, K3EpochCounter } = stack.contracts;
    const lower = (address: string): Hex => address.toLowerCase() as Hex;
    chain = chainReader({
      rpcUrls: [stack.rpcUrl],
      quorum: 1,
      chainId: stack.chainId,
      contracts: {
        sidecarRegistry: lower(SidecarRegistry),
        scopeRegistry: lower(ScopeRegistry),
        k3EpochCounter: lower(K3EpochCounter),
      },
      profile: "local",
      now: nowSeconds,
    });
    agent = await clientOf(party.agentDevice, marksFile);
    master = await clientOf(party.masterDevice);
    const services = Array.from({ length: 3 * EACH }, (_, i) => `service-${String(i)}`);
    for (let at = 0; at < services.length; at += EACH) {
      await grantAll(world, party.wallet, party.actor, services.slice(at, at + EACH));
    }
    await world.nextBlock();
    const own = { actorOmni: party.omni, dataClass: "credentials", service: "own" } as const;
    wishes = [...services.map((service) => ({ ...own, actorOmni: party.actor, service })), own];
    for (const epoch of [1, 2, 3]) {
      if (epoch > 1) await nextEpoch(world);
      for (const wish of wishes.slice((epoch - 1) * EACH, epoch * EACH)) await store(wish, `epoch ${String(epoch)}`);
      if (epoch === 1) await store(own, "of the operator", master);
    }
  });

  after(async () => {
    await agent.close();
    await master.close();
    await chain.close();
    await world.close();
    await stack.stop();
    folders.removeAll();
  });

  async function clientOf(device: TestDevice, file?: string): Promise<Client> {
    return createClient({
      device: deviceKey(device.secret),
      operatorOmni: world.party.omni,
      domain: world.domain,
      urls: stack.urls,
      chain,
      marks: file === undefined ? memoryMarks() : await fileMarks(file),
      now: nowSeconds,
    });
  }

  async function store(wish: ObjectWish, value: string, by = agent): Promise<void> {
    for (;;) {
      const answer = await by.store(wish, Buffer.from(value));
      if (answer.ok) {
        const before = stored.get(wish)?.version ?? 0;
        expect(answer.value.version, "a confirmed store is a version of its own").to.be.greaterThan(before);
        stored.set(wish, { value, version: answer.value.version });
        return;
      }
      expect(answer.failure.code).to.equal("version_conflict");
    }
  }

  const epochOf = ({ actorOmni, dataClass, service }: ObjectWish): number | undefined =>
    parseObject(readFileSync(`${stack.files.objects}/${objectPath(actorOmni, dataClass, service)}`))?.header.epoch;

  const epochs = (): ReadonlySet<number | undefined> => new Set(wishes.map(epochOf));

  async function expectAllReadable(): Promise<void> {
    for (const wish of wishes) {
      const read = await (wish.actorOmni === world.party.omni ? master : agent).fetch(wish);
      const text = read.ok ? read.value.plaintext.toString() : read.failure.code;
      expect(text, nameOf(wish)).to.equal(stored.get(wish)?.value);
    }
  }

  function namesFile(name: string, lines: readonly string[]): string {
    const file = join(dir, name);
    writeFileSync(file, lines.join("\n"));
    return file;
  }

  const lineOf = ({ actorOmni, dataClass, service }: ObjectWish): string => `${actorOmni} ${dataClass} ${service}`;

  const arguments_ = (...more: readonly string[]): readonly string[] => [
    ...["--eager", "--operator", world.party.wallet.address, "--state", dir],
    ...["--stack", join(dir, "stack.json"), ...more],
  ];

  function rotate(...more: readonly string[]): Promise<Outcome> {
    return runScript("rotate-objects", arguments_("--json", ...more));
  }

  /** The program with the broker behind a gate, so that it stands still after so many objects. */
  async function rotateUntil(
    gate: Gate,
    ...more: readonly string[]
  ): Promise<{ child: ChildProcess; heard: () => string; ended: Promise<Readonly<Record<string, unknown>>> }> {
    const file = join(ROOT, "scripts/rotate-objects.ts");
    const args = arguments_("--json", "--broker", gate.url, "--concurrency", "3", ...more);
    const child = spawn(process.execPath, ["--import", "tsx", file, ...args], {
      cwd: ROOT,
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [said, heard] = ["", ""];
    child.stderr.on("data", (chunk: Buffer) => (heard += chunk.toString()));
    child.stdout.on("data", (chunk: Buffer) => (said += chunk.toString()));
    const ended = once(child, "close").then(() => (said === "" ? {} : (JSON.parse(said) as Record<string, unknown>)));
    await eventually(() => Promise.resolve(gate.held() >= 3));
    return { child, heard: () => heard, ended };
  }

  const recordFile = (epoch: number): string => {
    const folder = join(dir, "rotation");
    const name = readdirSync(folder).find((one) => one.startsWith(`${String(epoch)}-`));
    if (name === undefined) throw new Error(`no record of epoch ${String(epoch)}`);
    return join(folder, name);
  };
  const recorded = (epoch: number): readonly string[] =>
    readFileSync(recordFile(epoch), "utf8").split("\n").slice(0, -1);

  it("begins with objects of three epochs", () => {
    expect([...epochs()].sort()).to.deep.equal([1, 2, 3]);
  });

  it("killed half-way it has recorded what it did, and nothing is lost", async () => {
    const names = namesFile("names", wishes.map(lineOf));
    const gate = await startGate(stack.urls.broker, 20);
    try {
      const { child, ended } = await rotateUntil(gate, "--names", names);
      await eventually(() => Promise.resolve(recorded(3).length === 20));
      child.kill("SIGKILL");
      await ended;
      expect(child.signalCode).to.equal("SIGKILL");
    } finally {
      await gate.stop();
    }
    expect(statSync(recordFile(3)).mode & 0o777).to.equal(0o600);
    // three at a time, in the order of the list
    const done = wishes.filter((wish) => recorded(3).includes(nameOf(wish)));
    expect(wishes.slice(0, 22)).to.include.members(done);
    expect([done.length, ...new Set(done.map(epochOf))]).to.deep.equal([20, 3]);
    expect(epochs()).to.include(2);
    await expectAllReadable();
  });

  it("goes on where it was, beside live stores that are neither lost nor overwritten", async () => {
    // a line that the kill cut off
    appendFileSync(recordFile(3), nameOf(wishes[40] ?? never()).slice(0, 30));
    const gone = { actorOmni: world.party.actor, dataClass: "credentials", service: "never-stored" } as const;
    const lines = ["# comment", "", ...wishes.slice(5).map(lineOf), `agent-a  credentials\tservice-7`, lineOf(gone)];
    const names = namesFile("more-names", lines);
    const live = wishes.slice(18, 30);
    let isOver = false;
    const writers = live.map(async (wish, i) => {
      for (let n = 0; !isOver || n < 3; n += 1) {
        await store(wish, `live ${String(i)}.${String(n)}`);
        const read = await agent.fetch(wish);
        expect(read.ok && read.value.plaintext.toString(), "read at once").to.equal(`live ${String(i)}.${String(n)}`);
      }
    });
    // names and marks together, each object once; the operator's own is in no marks file of the agent
    const outcome = await rotate("--names", names, "--marks", marksFile, "--concurrency", "3");
    isOver = true;
    await Promise.all(writers);
    const said = outcome.json();
    expect(said, outcome.stderr).to.deep.include({ epoch: 3, before: 20, left: 0, failed: [], ok: true });
    expect(said["missing"]).to.deep.equal([nameOf(gone)]);
    expect(said["rotated"]).to.equal(wishes.length - 20);
    expect(outcome.code).to.equal(0);
    expect(epochs()).to.deep.equal(new Set([3]));
    await expectAllReadable();
  });

  it("run again it does nothing, and says how far it is in words", async () => {
    const before = wishes.map((wish) => readFileSync(`${stack.files.objects}/${nameOf(wish)}`));
    const args = arguments_("--names", join(dir, "names"));
    const outcome = await runScript("rotate-objects", args);
    expect(outcome.code, outcome.stderr).to.equal(0);
    expect(outcome.stdout).to.contain(`${String(wishes.length)} of ${String(wishes.length)} (100 %)`);
    expect(outcome.stdout).to.contain(`0 rotated, ${String(wishes.length)} by earlier runs`);
    expect(wishes.map((wish) => readFileSync(`${stack.files.objects}/${nameOf(wish)}`))).to.deep.equal(before);
  });

  it("Ctrl-C lets what is under way end, and the next run goes on", async () => {
    const names = join(dir, "names");
    const gate = await startGate(stack.urls.broker, 6);
    try {
      const { child, heard, ended } = await rotateUntil(gate, "--names", names, "--again");
      await eventually(() => Promise.resolve(recorded(3).length === 6));
      child.kill("SIGINT");
      await eventually(() => Promise.resolve(heard().includes("Stopping")));
      gate.open();
      const said = await ended;
      expect(child.exitCode).to.equal(1);
      expect(said).to.deep.include({ ok: false, code: "interrupted", rotated: 9, left: wishes.length - 9 });
      expect(recorded(3)).to.have.length(9);
    } finally {
      await gate.stop();
    }
    const outcome = await rotate("--names", names);
    expect(outcome.json()).to.deep.include({ ok: true, before: 9, rotated: wishes.length - 9 });
    await expectAllReadable();
  });

  it("where the epoch turns meanwhile everything ends in the new one", async () => {
    const commitment = await stack.prepareEpoch();
    const gate = await startGate(stack.urls.broker, 6);
    try {
      const { ended } = await rotateUntil(gate, "--names", join(dir, "names"), "--again");
      await advanceEpoch(world, commitment);
      gate.open();
      expect(await ended).to.deep.include({ ok: true, epoch: 4, before: 0, left: 0, failed: [] });
    } finally {
      await gate.stop();
    }
    expect(epochs()).to.deep.equal(new Set([4]));
    await expectAllReadable();
  });

  it("stops at once for a device that is no master's, and for another operator's nothing moves", async () => {
    const stranger = await world.newParty("agent-b");
    const before = wishes.map((wish) => readFileSync(`${stack.files.objects}/${nameOf(wish)}`));
    const key = join(dir, "stranger.key");
    writeFileSync(key, `${toHex(stranger.masterDevice.secret)}\n`, { mode: 0o600 });
    const refused = await rotate("--names", join(dir, "names"), "--device-key", key, "--again");
    expect(refused.code).to.equal(1);
    const said = refused.json();
    expect(said).to.deep.include({ ok: false, rotated: 0 });
    for (const { code } of said["failed"] as { code: string }[]) expect(code).to.equal("device_binding_mismatch");

    const unregistered = join(dir, "unregistered.key");
    writeFileSync(unregistered, `0x${"42".repeat(32)}\n`, { mode: 0o600 });
    const stopped = await rotate("--names", join(dir, "names"), "--device-key", unregistered, "--again");
    expect(stopped.code).to.equal(1);
    expect(stopped.json()).to.deep.include({ ok: false, code: "device_not_active", rotated: 0 });
    expect(wishes.map((wish) => readFileSync(`${stack.files.objects}/${nameOf(wish)}`))).to.deep.equal(before);
  });

  for (const [what, args, code] of [
    ["no --eager", ["--operator", `0x${"11".repeat(20)}`, "--names", "names"], 2],
    ["no names", ["--eager", "--operator", `0x${"11".repeat(20)}`], 2],
    ["no operator", ["--eager", "--names", "names"], 2],
    ["an operator that is none", ["--eager", "--operator", "0x11", "--names", "names"], 2],
    [
      "a concurrency of 33",
      ["--eager", "--operator", `0x${"11".repeat(20)}`, "--names", "n", "--concurrency", "33"],
      2,
    ],
  ] as const) {
    it(`is misused with ${what}`, async () => {
      const outcome = await runScript("rotate-objects", [...args, "--json"]);
      expect([outcome.code, outcome.json()["code"]]).to.deep.equal([code, "usage"]);
    });
  }

  it("names the line of a list that it cannot read, and the key that is missing", async () => {
    const bad = namesFile("bad", [lineOf(wishes[0] ?? never()), "agent-a credentials"]);
    const refused = await rotate("--names", bad);
    expect([refused.code, refused.json()["detail"]]).to.deep.equal([2, `${bad}: Line 2 is not "actor class service".`]);
    const missing = await rotate("--names", join(dir, "names"), "--device-key", join(dir, "no.key"));
    expect([missing.code, missing.json()["code"]]).to.deep.equal([2, "usage"]);
  });
});

function never(): never {
  throw new Error("there is no such object");
}

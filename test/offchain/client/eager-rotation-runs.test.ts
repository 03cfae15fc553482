import { appendFileSync, chmodSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";

import type { ObjectWish } from "../../../offchain/client/client";
import {
  type EagerRotation,
  type RotationProgress,
  type RotationReport,
  rotateEagerly,
} from "../../../offchain/client/eager-rotation";
import { fileMarks, namesInMarks } from "../../../offchain/client/high-water-marks";
import { distinct, nameOf, parseObjectNames } from "../../../offchain/client/object-names";
import { LooseKeyFile } from "../../../offchain/client/private-file";
import { fileRecord, memoryRecord } from "../../../offchain/client/rotation-record";
import { type Hex, ZERO32 } from "../../../offchain/wire/bytes";
import { actorOmni } from "../../../offchain/wire/names";
import type { ProblemCode } from "../../../offchain/wire/problem";
import type { WriteAnswer } from "../../../offchain/wire/redeem";
import { type FailureReason, type Result, failure, ok } from "../../../offchain/wire/result";
import { progress } from "../../../scripts/lib/progress";
import { temporaryFolders } from "../../helpers/temporary-folder";

const ACTOR: Hex = `0x${"22".repeat(32)}`;
const OPERATOR: Hex = `0x${"11".repeat(32)}`;
const WRITTEN: Result<WriteAnswer> = ok({ version: 2, digest: ZERO32 });

const wishes = (count: number): readonly ObjectWish[] =>
  Array.from({ length: count }, (_, i) => ({ actorOmni: ACTOR, dataClass: "credentials", service: `s-${String(i)}` }));

const refused = (code: ProblemCode, reason?: FailureReason): Result<never> => ({
  ok: false,
  failure: failure(code, "as the test says", reason),
});

/** What each service is answered, turn by turn; what is not named is rotated. */
type Script = Readonly<Record<string, readonly Result<WriteAnswer>[]>>;

describe("rotate --eager: what a run makes of its answers", () => {
  const folders = temporaryFolders();
  after(() => {
    folders.removeAll();
  });

  /** A run over services whose answers are the test's; counts how often each name was asked for. */
  async function run(
    script: Script,
    change: Partial<EagerRotation> = {},
  ): Promise<{ report: RotationReport; asked: ReadonlyMap<string, number>; seen: readonly RotationProgress[] }> {
    const asked = new Map<string, number>();
    const seen: RotationProgress[] = [];
    const record = memoryRecord();
    const answer = await rotateEagerly({
      client: {
        rotate({ service }) {
          const turn = asked.get(service) ?? 0;
          asked.set(service, turn + 1);
          const turns = script[service] ?? [];
          return Promise.resolve(turns[Math.min(turn, turns.length - 1)] ?? WRITTEN);
        },
      },
      currentEpoch: () => Promise.resolve(ok(3)),
      recordOf: () => Promise.resolve(record),
      names: wishes(4),
      concurrency: 2,
      signal: new AbortController().signal,
      onProgress: (one) => seen.push(one),
      patienceMs: 1,
      ...change,
    });
    if (!answer.ok) throw new Error(answer.failure.code);
    return { report: answer.value, asked, seen };
  }

  for (const [code, reason] of [
    ["version_conflict", undefined],
    ["k3_epoch_mismatch", undefined],
    ["cap_already_used", undefined],
    ["upstream_unavailable", undefined],
    ["signer_unavailable", undefined],
    ["chain_unavailable", undefined],
    ["storage_unavailable", undefined],
    ["audit_unavailable", undefined],
    ["replay_store_unavailable", undefined],
    ["rate_limited", undefined],
    ["proof_invalid", "stale"],
  ] as const) {
    it(`${code} passes: the name is asked again until it is rotated`, async () => {
      const { report, asked } = await run({ "s-1": [refused(code, reason), refused(code, reason), WRITTEN] });
      expect(report).to.deep.equal({ epoch: 3, rotated: 4, before: 0, missing: [], failed: [], left: 0 });
      expect(asked.get("s-1")).to.equal(3);
    });
  }

  for (const [code, reason] of [
    ["object_corrupt", "rolled_back"],
    ["device_binding_mismatch", undefined],
    ["broker_sig_invalid", undefined],
    ["internal_error", undefined],
    ["proof_invalid", "forged"],
  ] as const) {
    it(`${code} is listed, asked once, and the others are rotated`, async () => {
      const { report, asked } = await run({ "s-1": [refused(code, reason)] });
      expect(report).to.deep.include({ rotated: 3, missing: [], left: 0 });
      expect(report.failed.map(({ wish, failure: { code: said } }) => [wish.service, said])).to.deep.equal([
        ["s-1", code],
      ]);
      expect(report).to.not.have.property("stopped");
      expect(asked.get("s-1")).to.equal(1);
    });
  }

  it("object_not_found is missing, not refused, and is not recorded as done", async () => {
    const record = memoryRecord();
    const { report } = await run({ "s-1": [refused("object_not_found")] }, { recordOf: () => Promise.resolve(record) });
    expect(report).to.deep.include({ rotated: 3, failed: [], left: 0 });
    expect(report.missing.map(({ service }) => service)).to.deep.equal(["s-1"]);
    expect(wishes(4).map((wish) => record.has(nameOf(wish)))).to.deep.equal([true, false, true, true]);
  });

  for (const code of ["device_not_active", "device_revoked", "device_role_missing", "operator_frozen"] as const) {
    it(`${code} stops the run: every name would be answered so`, async () => {
      const { report, asked } = await run({ "s-0": [refused(code)] }, { names: wishes(50), concurrency: 1 });
      expect(report).to.deep.include({ rotated: 0, left: 49 });
      expect(report.stopped).to.deep.include({ code });
      expect(asked.size).to.equal(1);
    });
  }

  it("an outage stops the run after a few names, and one name that cannot be stored does not", async () => {
    const down = Object.fromEntries(wishes(50).map(({ service }) => [service, [refused("signer_unavailable")]]));
    const outage = await run(down, { names: wishes(50), concurrency: 1 });
    expect(outage.report.stopped).to.deep.include({ code: "signer_unavailable" });
    expect([outage.report.failed.length, outage.report.left]).to.deep.equal([5, 45]);
    const one = await run({ "s-7": [refused("storage_unavailable")] }, { names: wishes(50), concurrency: 1 });
    expect(one.report).to.deep.include({ rotated: 49, left: 0 });
    expect(one.report.failed.map(({ wish }) => wish.service)).to.deep.equal(["s-7"]);
    expect(one.report).to.not.have.property("stopped");
  });

  it("a conflict that never ends is listed after twenty caps", async () => {
    const { report, asked } = await run({ "s-1": [refused("version_conflict")] });
    expect(asked.get("s-1")).to.equal(20);
    expect(report).to.deep.include({ rotated: 3, left: 0 });
    expect(report.failed).to.have.length(1);
  });

  it("never has more under way than it was told, and each name once", async () => {
    let [under, most] = [0, 0];
    const seen: string[] = [];
    const { report } = await run(
      {},
      {
        names: wishes(40),
        concurrency: 3,
        client: {
          async rotate(wish) {
            seen.push(nameOf(wish));
            most = Math.max(most, (under += 1));
            await new Promise((done) => setImmediate(done));
            under -= 1;
            return WRITTEN;
          },
        },
      },
    );
    expect([most, report.rotated, new Set(seen).size, seen.length]).to.deep.equal([3, 40, 40, 40]);
  });

  it("interrupted while it waits for another turn, it begins nothing and counts that name as left", async () => {
    const stop = new AbortController();
    const { report, asked } = await run(
      { "s-0": [refused("signer_unavailable")] },
      {
        concurrency: 1,
        signal: stop.signal,
        patienceMs: 3_600_000,
        client: {
          rotate() {
            setImmediate(() => {
              stop.abort();
            });
            return Promise.resolve(refused("signer_unavailable"));
          },
        },
      },
    );
    expect(report).to.deep.include({ rotated: 0, left: 4, stopped: "interrupted" });
    expect(asked.size).to.equal(0);
  });

  it("an epoch that turned meanwhile begins everything anew, and the one before counts for nothing", async () => {
    const epochs = [3, 4, 4];
    const records = new Map([3, 4].map((epoch) => [epoch, memoryRecord()]));
    const { report, asked, seen } = await run(
      {},
      {
        currentEpoch: () => Promise.resolve(ok(epochs.shift() ?? 4)),
        recordOf: (epoch) => Promise.resolve(records.get(epoch) ?? memoryRecord()),
      },
    );
    expect(report).to.deep.include({ epoch: 4, rotated: 8, before: 0, left: 0 });
    expect([...asked.values()]).to.deep.equal([2, 2, 2, 2]);
    expect(new Set(seen.map(({ epoch }) => epoch))).to.deep.equal(new Set([3, 4]));
    expect(records.get(4)?.has(nameOf(wishes(1)[0] ?? never()))).to.equal(true);
  });

  it("without an epoch nothing is begun; without one at the end the run is not called whole", async () => {
    const asked: string[] = [];
    const client = {
      rotate(wish: ObjectWish) {
        asked.push(nameOf(wish));
        return Promise.resolve(WRITTEN);
      },
    };
    const rotation: EagerRotation = {
      client,
      currentEpoch: () => Promise.resolve(refused("chain_unavailable")),
      recordOf: () => Promise.resolve(memoryRecord()),
      names: wishes(2),
      concurrency: 1,
      signal: new AbortController().signal,
    };
    const none = await rotateEagerly(rotation);
    expect(!none.ok && none.failure.code).to.equal("chain_unavailable");
    expect(asked).to.deep.equal([]);
    let turn = 0;
    const lost = await rotateEagerly({
      ...rotation,
      currentEpoch: () => Promise.resolve((turn += 1) === 1 ? ok(3) : refused("chain_unavailable")),
    });
    expect(lost.ok && lost.value.stopped).to.deep.include({ code: "chain_unavailable" });
    expect(lost.ok && lost.value.rotated).to.equal(2);
  });

  describe("the record", () => {
    it("knows after a crash what it answered, and nothing of a line that was cut", async () => {
      const file = join(folders.make(), "rotation", "one.done");
      const first = await fileRecord(file);
      const [a, b, c] = wishes(3).map(nameOf);
      await first.add(a ?? "");
      await first.add(b ?? "");
      // not closed: the process is gone
      appendFileSync(file, (c ?? "").slice(0, -3));
      expect(statSync(file).mode & 0o777).to.equal(0o600);
      const second = await fileRecord(file);
      expect([a, b, c].map((name) => second.has(name ?? ""))).to.deep.equal([true, true, false]);
      await second.add(c ?? "");
      await second.close();
      await first.close();
      expect(readFileSync(file, "utf8")).to.equal(`${String(a)}\n${String(b)}\n${String(c)}\n`);
    });

    it("is not read where others may write what is done", async () => {
      const file = join(folders.make(), "one.done");
      await (await fileRecord(file)).close();
      chmodSync(file, 0o644);
      const error: unknown = await fileRecord(file).catch((one: unknown) => one);
      expect(error).to.be.instanceOf(LooseKeyFile);
      chmodSync(file, 0o600);
      await (await fileRecord(file)).close();
    });
  });

  describe("names", () => {
    it("reads omnis and labels, spaces, comments and both line ends; each object once", () => {
      const omni = actorOmni(OPERATOR, "agent-a");
      const text = `# list\r\n\r\n${ACTOR} credentials openrouter\r\nagent-a\tmemory  memory:travel \nagent-a config a\n${omni} config a\n`;
      const parsed = parseObjectNames(text, OPERATOR);
      expect(parsed.ok && distinct(parsed.value)).to.deep.equal([
        { actorOmni: ACTOR, dataClass: "credentials", service: "openrouter" },
        { actorOmni: omni, dataClass: "memory", service: "memory:travel" },
        { actorOmni: omni, dataClass: "config", service: "a" },
      ]);
    });

    for (const line of [
      "agent-a credentials",
      "agent-a credentials openrouter more",
      "agent-a classify openrouter",
      "agent-a credentials ../x",
      "Agent-A credentials openrouter",
      `${ACTOR.toUpperCase()} credentials openrouter`,
      `${ACTOR.slice(0, -1)} credentials openrouter`,
      "agent-a credentials openrouter # why",
    ]) {
      it(`refuses "${line.slice(0, 60)}"`, () => {
        const parsed = parseObjectNames(`agent-a credentials ok\n${line}`, OPERATOR);
        expect(!parsed.ok && parsed.failure.code).to.equal("request_malformed");
        expect(!parsed.ok && parsed.failure.detail).to.contain("Line 2");
      });
    }

    it("of a marks file are those that it has seen", async () => {
      const file = join(folders.make(), "marks.json");
      expect(await namesInMarks(file)).to.deep.equal([]);
      const marks = await fileMarks(file);
      const name = { operatorOmni: OPERATOR, actorOmni: ACTOR, dataClass: "memory", service: "memory:travel" } as const;
      const signature: Hex = `0x${"00".repeat(65)}`;
      const storedBy = {
        ...{ device_key_hash: ZERO32, content_hash: ZERO32, k3_epoch: 1, issued_at: 1, expires_at: 2, nonce: ZERO32 },
        client_sig: signature,
      };
      await marks.raise(name, 3, storedBy);
      expect(await namesInMarks(file)).to.deep.equal([name]);
      expect((await fileMarks(file)).get(name)?.version).to.equal(3);
    });
  });

  describe("progress", () => {
    const said: string[] = [];
    const voice = { say: (line: string) => said.push(line), finish: () => undefined };
    const terminal = (isTTY: boolean): { stream: NodeJS.WriteStream; written: string[] } => {
      const written: string[] = [];
      const stream = { isTTY, write: (text: string) => written.push(text) } as unknown as NodeJS.WriteStream;
      return { stream, written };
    };

    it("is one line that is written over on a terminal", () => {
      const { stream, written } = terminal(true);
      const bar = progress(voice, stream);
      for (let done = 0; done <= 40; done += 1) bar.show(done, 40, "");
      bar.end();
      bar.end();
      expect(written).to.have.length(42);
      expect(written[40]).to.equal("\r\u001b[K40 of 40 (100 %)");
      expect(written[41]).to.equal("\n");
      expect(said).to.deep.equal([]);
    });

    it("is a line each tenth elsewhere", () => {
      const { stream, written } = terminal(false);
      const bar = progress(voice, stream);
      for (let done = 0; done <= 400; done += 1) bar.show(done, 400, done === 400 ? "2 refused" : "");
      bar.end();
      expect(written).to.deep.equal([]);
      expect(said).to.have.length(11);
      expect([said[1], said[10]]).to.deep.equal(["40 of 400 (10 %)", "400 of 400 (100 %), 2 refused"]);
    });
  });
});

function never(): never {
  throw new Error("there is no such object");
}

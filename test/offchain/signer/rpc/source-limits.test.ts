import { expect } from "chai";
import { Agent } from "undici";

import { serviceMetrics } from "../../../../offchain/http/metrics";
import { type Listening, listen } from "../../../../offchain/http/server";
import { publicApp } from "../../../../offchain/signer/front/public-app";
import { UNPROVED_A_MINUTE, sourceLimits } from "../../../../offchain/signer/front/source-limits";
import type { VaultClient } from "../../../../offchain/signer/front/vault-client";
import { KMS_PATHS } from "../../../../offchain/wire/kms";
import { type Result, ok, refuse } from "../../../../offchain/wire/result";
import { eventually } from "../../../helpers/eventually";
import { post } from "../../../helpers/http";
import { logLines } from "../../../helpers/log-lines";
import { outcomeOf } from "../../../helpers/service-door";

const MINUTE = 60_000;
const SOURCE = "192.0.2.1";

/** How many of each there are. */
const counted = (outcomes: readonly string[]): Readonly<Record<string, number>> =>
  Object.fromEntries([...new Set(outcomes)].map((one) => [one, outcomes.filter((other) => other === one).length]));

describe("signer: places at the vault for one source (protocol 3.8)", () => {
  let clock = 0;
  const fresh = () => sourceLimits({ now: () => clock });

  /** Whether it has been let in, been refused, or waits. */
  async function stateOf(entered: Promise<number | undefined>): Promise<number | "in" | "waits"> {
    const waits = new Promise<"waits">((resolve) => setImmediate(resolve, "waits"));
    return Promise.race([entered.then((retryAfter) => retryAfter ?? ("in" as const)), waits]);
  }

  it("what proved nothing is counted when it enters, and for a minute after it left", async () => {
    const limits = fresh();
    for (let n = 0; n < UNPROVED_A_MINUTE; n += 1) expect(await limits.enter(SOURCE), `${n}`).to.equal(undefined);
    const next = limits.enter(SOURCE);
    expect(await stateOf(next)).to.equal("waits");
    for (let n = 0; n < UNPROVED_A_MINUTE; n += 1) limits.leave(SOURCE, false);
    expect(await next).to.equal(60);
    expect([limits.retryAfter(SOURCE), await limits.enter(`::ffff:${SOURCE}`)]).to.deep.equal([60, 60]);
    expect(await limits.enter("192.0.2.2")).to.equal(undefined);
    clock += MINUTE;
    expect([limits.retryAfter(SOURCE), await limits.enter(SOURCE)]).to.deep.equal([undefined, undefined]);
  });

  it("a place that is given back goes to who came first, and only to one", async () => {
    const limits = fresh();
    for (let n = 0; n < UNPROVED_A_MINUTE; n += 1) await limits.enter(SOURCE);
    const [first, second] = [limits.enter(SOURCE), limits.enter(SOURCE)];
    limits.leave(SOURCE, true);
    expect([await stateOf(first), await stateOf(second)]).to.deep.equal(["in", "waits"]);
    // that one is not a place that was given back
    limits.leave(SOURCE, false);
    expect(await stateOf(second)).to.equal("waits");
    limits.leave(SOURCE, true);
    expect(await stateOf(second)).to.equal("in");
  });

  it("a thousand may wait; one more is to come again in a second", async () => {
    const limits = fresh();
    for (let n = 0; n < UNPROVED_A_MINUTE; n += 1) await limits.enter(SOURCE);
    const waiting = Array.from({ length: 1_000 }, () => limits.enter(SOURCE));
    expect(await stateOf(limits.enter(SOURCE))).to.equal(1);
    limits.leave(SOURCE, true);
    expect(await stateOf(waiting[0] ?? Promise.reject(new Error("none")))).to.equal("in");
  });

  describe("at the public listener", () => {
    let face: Listening;
    let agent: Agent;
    let asked: string[] = [];
    /** The most that the vault had before it at a time. */
    let most = 0;
    /** Ends the vault's waiting. */
    let release: () => void = () => undefined;

    beforeEach(async () => {
      let underWay = 0;
      [asked, most] = [[], 0];
      const released = new Promise<void>((resolve) => (release = resolve));
      const vault: VaultClient = {
        async ask(_route, _caller, _body, headers): Promise<Result<unknown>> {
          asked.push(headers?.proof ?? "none");
          most = Math.max(most, (underWay += 1));
          await released;
          await new Promise((done) => setImmediate(done));
          underWay -= 1;
          return headers?.proof === "good" ? ok({}) : refuse("proof_invalid", "no", "missing");
        },
      };
      const parts = { vault, limits: fresh(), log: logLines().log, metrics: serviceMetrics("signer:front") };
      face = await listen(publicApp(parts), { host: "127.0.0.1", port: 0 });
      agent = new Agent();
    });
    afterEach(async () => {
      await agent.close();
      await face.close();
    });

    const send = async (headers: Readonly<Record<string, string>> = {}): Promise<string> =>
      outcomeOf(await post(face.url + KMS_PATHS.signAgent, "{}", headers, agent));
    const many = (count: number, headers?: Readonly<Record<string, string>>): Promise<string>[] =>
      Array.from({ length: count }, () => send(headers));

    it("500 at once that prove nothing: 60 reach the vault, and the device beside them gets in a minute later", async () => {
      const burst = many(500);
      await eventually(() => Promise.resolve(asked.length >= UNPROVED_A_MINUTE));
      release();
      expect(counted(await Promise.all(burst))).to.deep.equal({ "proof_invalid missing": 60, rate_limited: 440 });
      expect(asked).to.have.length(60);
      expect(await send({ "agentkeys-proof": "good" })).to.equal("rate_limited");
      clock += MINUTE;
      expect(await send({ "agentkeys-proof": "good" })).to.equal("ok");
    });

    it("59 that prove nothing and 200 devices at once: every device is answered, one place is enough", async () => {
      const strangers = many(59);
      await eventually(() => Promise.resolve(asked.length === 59));
      const devices = many(200, { "agentkeys-proof": "good" });
      await eventually(() => Promise.resolve(asked.length === UNPROVED_A_MINUTE));
      release();
      expect(counted(await Promise.all(devices))).to.deep.equal({ ok: 200 });
      expect(counted(await Promise.all(strangers))).to.deep.equal({ "proof_invalid missing": 59 });
      expect(asked).to.have.length(259);
      expect(most).to.equal(UNPROVED_A_MINUTE);
    });
  });
});

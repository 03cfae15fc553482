import { readFileSync, readdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";
import fc from "fast-check";

import { PUBLISHED_BEFORE_SECONDS, RETIRED_SECONDS, openKeyRing, rotateKey } from "../../../offchain/broker/keys";
import { lockFolder } from "../../../offchain/store/folder-lock";
import { StoreUnavailable } from "../../../offchain/store/unavailable";
import { parseCap } from "../../../offchain/wire/cap";
import { parseJwks } from "../../../offchain/wire/jwks";
import type { World } from "../../drills/world";
import { runScript } from "../../helpers/program";
import { sharedWorld } from "../../helpers/shared-world";
import { temporaryFolders } from "../../helpers/temporary-folder";

const START = 1_800_000_000;
const folders = temporaryFolders();
const kids = (jwks: { readonly keys: readonly { readonly kid: string }[] }): string[] =>
  jwks.keys.map((one) => one.kid);
const pems = (dir: string): string[] => readdirSync(dir).filter((name) => name.endsWith(".pem"));

describe("the broker's keys", () => {
  after(() => {
    folders.removeAll();
  });

  it("makes the first key by itself, for its owner alone, and finds it again", () => {
    const dir = join(folders.make(), "keys");
    const ring = openKeyRing(dir, START);
    expect(pems(dir)).to.deep.equal([`${String(START)}.pem`]);
    expect(statSync(join(dir, pems(dir)[0] ?? "")).mode & 0o777).to.equal(0o600);
    expect(kids(ring.jwks(START))).to.deep.equal([ring.current(START).kid]);
    expect(openKeyRing(dir, START + 1_000).current(START + 1_000).kid).to.equal(ring.current(START).kid);
  });

  it("publishes the next key before it signs, and the one before for as long as its caps can live", () => {
    const dir = folders.make();
    const ring = openKeyRing(dir, START);
    const first = ring.current(START).kid;
    const asked = START + 1_000;
    const done = rotateKey(dir, asked);
    if (done.outcome !== "made") throw new Error(done.outcome);
    expect(done.signsFrom).to.equal(asked + PUBLISHED_BEFORE_SECONDS);
    ring.reload(asked);
    const table: readonly (readonly [number, string, string[]])[] = [
      [asked, first, [first, done.kid]],
      [done.signsFrom - 1, first, [first, done.kid]],
      [done.signsFrom, done.kid, [first, done.kid]],
      [done.signsFrom + RETIRED_SECONDS - 1, done.kid, [first, done.kid]],
      [done.signsFrom + RETIRED_SECONDS, done.kid, [done.kid]],
    ];
    for (const [at, signing, published] of table) {
      ring.reload(at);
      expect(ring.current(at).kid, String(at - asked)).to.equal(signing);
      expect(kids(ring.jwks(at)), String(at - asked)).to.deep.equal(published);
    }
    expect(pems(dir)).to.deep.equal([`${String(done.signsFrom)}.pem`]);
  });

  it("is asked as often as one likes: the same key while it waits, a refusal while the old one is needed", () => {
    const dir = folders.make();
    const ring = openKeyRing(dir, START);
    const done = rotateKey(dir, START);
    if (done.outcome !== "made") throw new Error(done.outcome);
    const { kid, signsFrom } = done;
    for (const at of [START, START + 1, signsFrom - 1]) {
      expect(rotateKey(dir, at)).to.deep.equal({ outcome: "waiting", kid, signsFrom });
    }
    const overAt = signsFrom + RETIRED_SECONDS;
    for (const at of [signsFrom, overAt - 1]) expect(rotateKey(dir, at)).to.deep.equal({ outcome: "not over", overAt });
    expect(rotateKey(dir, overAt)).to.deep.equal({ outcome: "not taken up" });
    expect(pems(dir)).to.have.length(2);
    ring.reload(overAt);
    expect(rotateKey(dir, overAt).outcome).to.equal("made");
  });

  it("publishes for longer when told to, never for less", () => {
    const dir = folders.make();
    openKeyRing(dir, START);
    expect(() => rotateKey(dir, START, PUBLISHED_BEFORE_SECONDS - 1)).to.throw(RangeError);
    expect(rotateKey(dir, START, 3_600)).to.deep.include({ outcome: "made", signsFrom: START + 3_600 });
  });

  it("is for one at a time, and for a folder that a broker made", () => {
    const dir = folders.make();
    expect(rotateKey(dir, START).outcome).to.equal("no key");
    expect(rotateKey(join(dir, "missing"), START).outcome).to.equal("no key");
    openKeyRing(dir, START);
    const lock = lockFolder(dir);
    expect(() => rotateKey(dir, START)).to.throw(StoreUnavailable);
    lock.release();
    expect(rotateKey(dir, START).outcome).to.equal("made");
  });

  it("waits again when the broker was not there to publish", () => {
    const dir = folders.make();
    const first = openKeyRing(dir, START).current(START).kid;
    const done = rotateKey(dir, START);
    if (done.outcome !== "made") throw new Error(done.outcome);
    // it stopped before it could publish the second, and starts when that one was to sign already
    const restart = done.signsFrom + 50;
    const late = openKeyRing(dir, restart, START - 1);
    expect(late.current(restart).kid).to.equal(first);
    expect(late.current(restart + PUBLISHED_BEFORE_SECONDS - 1).kid).to.equal(first);
    expect(late.current(restart + PUBLISHED_BEFORE_SECONDS).kid).to.equal(done.kid);
    expect(kids(late.jwks(restart))).to.deep.equal([first, done.kid]);
    // one that signed before the stop goes on signing
    const after = restart + PUBLISHED_BEFORE_SECONDS + 20;
    expect(openKeyRing(dir, after, after - 10).current(after).kid).to.equal(done.kid);
  });

  it("keeps its promises whenever it is asked, reloaded and restarted", () => {
    const event = fc.record({ wait: fc.integer({ min: 0, max: 200 }), what: fc.constantFrom("rotate", "restart", "") });
    fc.assert(
      fc.property(fc.array(event, { minLength: 20, maxLength: 60 }), (events) => {
        const dir = folders.make();
        let now = START;
        let ring = openKeyRing(dir, now, 0);
        const publishedSince = new Map<string, number>();
        const signedAt = new Map<string, number>();
        for (const { wait, what } of events) {
          // a broker that runs looks at its folder every 5 s
          for (const end = now + wait; now < end; now += 5) {
            ring.reload(now);
            const published = kids(ring.jwks(now));
            const { kid } = ring.current(now);
            expect(published.length).to.be.within(1, 2);
            expect(published).to.include(kid);
            for (const one of published) if (!publishedSince.has(one)) publishedSince.set(one, now);
            const since = publishedSince.get(kid) ?? now;
            expect(since === START || now - since >= PUBLISHED_BEFORE_SECONDS - 5).to.equal(true);
            signedAt.set(kid, now);
            for (const [one, at] of signedAt) if (now < at + 305) expect(published).to.include(one);
          }
          if (what === "rotate") rotateKey(dir, now);
          if (what === "restart") ring = openKeyRing(dir, now, now - 5);
        }
      }),
      { numRuns: 8 },
    );
  });
});

describe("npm run broker:rotate-key, with broker, worker and vault running", function () {
  this.timeout(240_000);
  let world: World;
  let state: string;
  let watching: NodeJS.Timeout;
  let most = 0;

  const keys = (): string => join(state, "keys");
  const file = (from: number): string => join(keys(), `${String(from)}.pem`);
  const rotate = (...more: string[]): ReturnType<typeof runScript> =>
    runScript("broker-rotate-key", ["--state-dir", state, "--json", ...more]);
  const nowSeconds = (): number => Math.floor(Date.now() / 1_000);
  const served = async (): Promise<string[]> => {
    const answer = await fetch(`${world.stack.urls.broker}/.well-known/jwks.json`);
    return kids((await answer.json()) as { keys: { kid: string }[] });
  };
  /** Moves a key in time: what the program and the broker agree on is the file's name. */
  const redate = (from: number, to: number): void => {
    renameSync(file(from), file(to));
  };
  const until = async (holds: () => Promise<boolean>): Promise<void> => {
    while (!(await holds())) await new Promise((done) => setTimeout(done, 200));
  };
  const mint = async (): Promise<{ cap: string; kid: string }> => {
    const { cap } = await world.mint("fetch");
    const parsed = parseCap(cap);
    return { cap, kid: parsed.ok ? parsed.value.kid : "" };
  };
  const redeem = async (cap: string): Promise<string> => {
    const answer = await world.redeem(world.agentDevice, "fetch", cap);
    return answer.status === 200 ? "ok" : String(answer.json?.["code"]);
  };
  const askVault = async (cap: string): Promise<string> => {
    const answer = await world.askVault(world.agentDevice, "fetch", cap);
    return answer.status === 200 ? "ok" : String(answer.json?.["code"]);
  };

  before(async () => {
    world = await sharedWorld();
    state = join(world.stack.dir, "broker");
    await world.store("sk-before-rotation");
    watching = setInterval(() => {
      void served().then(
        (one) => (most = Math.max(most, one.length)),
        () => undefined,
      );
    }, 100);
  });

  after(() => {
    clearInterval(watching);
  });

  it("says what is wrong with how it is used", async () => {
    const none = await runScript("broker-rotate-key", ["--json"]);
    expect([none.code, none.json()["code"]]).to.deep.equal([2, "usage"]);
    const elsewhere = await runScript("broker-rotate-key", ["--state-dir", folders.make(), "--json"]);
    expect([elsewhere.code, elsewhere.json()["code"]]).to.deep.equal([2, "usage"]);
    for (const seconds of ["119", "1e3", "-1", "9999999"]) {
      expect((await rotate("--publish", seconds)).code, seconds).to.equal(2);
    }
    expect(pems(keys())).to.have.length(1);
    expect((await runScript("broker-rotate-key", ["--help"])).code).to.equal(0);
  });

  it("rotates under a running stack: caps of both keys are good, then only the new one's", async () => {
    const before = await mint();
    expect(await redeem(before.cap)).to.equal("ok");
    const first = Number(pems(keys())[0]?.slice(0, -4));

    const made = await rotate();
    expect(made.code, made.stderr).to.equal(0);
    const { kid, signsFrom } = made.json() as { kid: string; signsFrom: number };
    expect(made.json()).to.deep.include({ ok: true, made: true, withdrawnAt: signsFrom + RETIRED_SECONDS });
    expect((await rotate()).json()).to.deep.include({ ok: true, made: false, kid, signsFrom });
    expect(statSync(file(signsFrom)).mode & 0o777).to.equal(0o600);

    // published by the running broker, not signing yet
    await until(async () => (await served()).includes(kid));
    expect(await served()).to.deep.equal([before.kid, kid]);
    expect((await mint()).kid).to.equal(before.kid);

    // 120 s later: it signs, and worker and vault have it without a restart
    const signing = nowSeconds();
    redate(signsFrom, signing);
    await until(async () => (await mint()).kid === kid);
    const renewed = await mint();
    await until(async () => (await redeem(renewed.cap)) === "ok");
    expect(await askVault(renewed.cap)).to.equal("ok");
    expect(await redeem(before.cap)).to.equal("ok");
    expect(await askVault(before.cap)).to.equal("ok");
    const early = await rotate();
    expect([early.code, early.json()["code"]]).to.deep.equal([1, "rotation_not_over"]);

    // 310 s after that: the old key is withdrawn and gone from the disk, and what it signed with it
    const old = await mint();
    expect(old.kid).to.equal(kid);
    const late = signing - RETIRED_SECONDS - 10;
    redate(first, late - 1_000);
    redate(signing, late);
    await until(async () => (await served()).length === 1);
    expect(await served()).to.deep.equal([kid]);
    await until(() => Promise.resolve(pems(keys()).length === 1));
    const pinned = (): ReturnType<typeof parseJwks> => parseJwks(readFileSync(join(state, "jwks.json")));
    await until(() => Promise.resolve(pinned()?.size === 1));
    await until(async () => (await askVault(before.cap)) === "broker_sig_invalid");
    await until(async () => (await redeem(before.cap)) === "broker_sig_invalid");
    expect(await askVault(renewed.cap)).to.equal("ok");
    expect(await redeem(renewed.cap)).to.equal("ok");
    expect((await world.fetch()).secret).to.equal("sk-before-rotation");
    expect(most).to.equal(2);
  });

  it("a file that is no key stops neither the broker nor its keys", async () => {
    const [good] = await served();
    const bad = file(nowSeconds() + 60);
    writeFileSync(bad, "no key", { mode: 0o600 });
    const errors = (): number =>
      readFileSync(join(world.stack.files.logs, "broker.log"), "utf8").split('"level":50').length;
    const stamp = (): number => statSync(join(state, "jwks.json")).mtimeMs;
    const [before, said] = [stamp(), errors()];
    await until(() => Promise.resolve(errors() > said));
    expect(await served()).to.deep.equal([good]);
    expect((await mint()).kid).to.equal(good);
    rmSync(bad);
    await until(() => Promise.resolve(stamp() !== before));
    expect(await served()).to.deep.equal([good]);
  });
});

import { expect } from "chai";

import { credentialCache } from "../../../offchain/sidecar/cache";
import { type Result, ok, refuse } from "../../../offchain/wire/result";
import { CREDENTIAL, call, entry, localSidecar } from "../../helpers/sidecar";
import { signal, testServer, until } from "../../helpers/upstream";

const isZero = (bytes: Buffer): boolean => bytes.every((byte) => byte === 0);

describe("sidecar: credential cache", () => {
  /** A cache over a clock of the test, and what it loaded. */
  function cacheOf(lifeMs?: number) {
    const clock = { ms: 1_000 };
    const loaded: Buffer[] = [];
    const cache = credentialCache(() => clock.ms, lifeMs);
    const load = (): Promise<Result<Buffer>> => {
      const secret = Buffer.from(CREDENTIAL);
      loaded.push(secret);
      return Promise.resolve(ok(secret));
    };
    const get = async (service = "s") => {
      const held = await cache.get(service, load);
      if (!held.ok) throw new Error(held.failure.code);
      return held.value;
    };
    return { clock, loaded, cache, get };
  }

  it("loads once, then answers from memory until 60 s have passed", async () => {
    const { clock, loaded, get } = cacheOf();
    expect(await get()).to.include({ isCold: true });
    clock.ms += 59_999;
    expect(await get()).to.include({ isCold: false });
    expect(loaded).to.have.length(1);
    clock.ms += 1;
    expect(await get()).to.include({ isCold: true });
    expect(loaded).to.have.length(2);
    expect(isZero(loaded[0] ?? Buffer.of(1))).to.equal(true);
  });

  it("gives each call a copy that a later drop does not reach", async () => {
    const { loaded, cache, get } = cacheOf();
    const [one, two] = [await get(), await get()];
    one.secret.fill(0);
    expect(two.secret.toString()).to.equal(CREDENTIAL);
    cache.drop("s");
    expect(isZero(loaded[0] ?? Buffer.of(1))).to.equal(true);
    expect(two.secret.toString()).to.equal(CREDENTIAL);
  });

  it("many concurrent misses share one load, each with a copy", async () => {
    const answer = signal();
    let loads = 0;
    const cache = credentialCache(() => 0);
    const load = async (): Promise<Result<Buffer>> => {
      loads += 1;
      await answer.happened;
      return ok(Buffer.from(CREDENTIAL));
    };
    const asked = Array.from({ length: 50 }, () => cache.get("s", load));
    answer.happen();
    const held = await Promise.all(asked);
    expect(loads).to.equal(1);
    for (const one of held) {
      expect(one.ok && one.value.secret.toString()).to.equal(CREDENTIAL);
      if (one.ok) one.value.secret.fill(0);
    }
  });

  it("a load that fails, or throws, is kept for nobody", async () => {
    const cache = credentialCache(() => 0);
    const refused = await cache.get("s", () => Promise.resolve(refuse("chain_unavailable", "down")));
    expect(refused).to.deep.include({ ok: false });
    const thrown = await cache.get("s", () => Promise.reject(new Error("bug"))).catch((error: unknown) => error);
    expect(thrown).to.be.an("error");
    const held = await cache.get("s", () => Promise.resolve(ok(Buffer.from("now"))));
    expect(held.ok && held.value.isCold).to.equal(true);
  });

  it("zeroes by itself what has reached its age, also when nobody asks", async () => {
    const { loaded, get } = cacheOf(20);
    await get();
    await until(() => isZero(loaded[0] ?? Buffer.of(1)));
  });

  it("holds 256; the oldest is dropped and zeroed", async () => {
    const { loaded, get } = cacheOf();
    for (let i = 0; i < 257; i += 1) await get(`s${String(i)}`);
    expect(loaded.map(isZero).indexOf(false)).to.equal(1);
    expect(await get("s1")).to.include({ isCold: false });
    expect(await get("s0")).to.include({ isCold: true });
  });

  it("after clear nothing is left, and what was still loading is not kept", async () => {
    const answer = signal();
    const { loaded, cache, get } = cacheOf();
    await get("a");
    const late = Buffer.from(CREDENTIAL);
    const loading = cache.get("b", async () => {
      await answer.happened;
      return ok(late);
    });
    cache.clear();
    answer.happen();
    await loading;
    expect(isZero(loaded[0] ?? Buffer.of(1))).to.equal(true);
    const again = await cache.get("b", () => Promise.resolve(ok(Buffer.from("new"))));
    expect(again.ok && again.value.isCold).to.equal(true);
  });
});

describe("sidecar: calls and the cache", () => {
  it("many first calls at once cost one mint and fetch; the chain is asked only about what is cached", async () => {
    const upstream = await testServer();
    let asked = 0;
    const sidecar = await localSidecar([entry(upstream.url, { service: "s" })], {
      stillAllowed() {
        asked += 1;
        return Promise.resolve(ok(undefined));
      },
    });
    try {
      const first = await Promise.all(Array.from({ length: 30 }, () => call({ port: sidecar.port, path: "/s/a" })));
      expect(first.map((one) => one.status)).to.deep.equal(Array.from({ length: 30 }, () => 200));
      expect(sidecar.loads()).to.equal(1);
      const before = asked;
      expect((await call({ port: sidecar.port, path: "/s/b" })).status).to.equal(200);
      expect([sidecar.loads(), asked]).to.deep.equal([1, before + 1]);
    } finally {
      await sidecar.stop();
      await upstream.stop();
    }
  });

  for (const code of ["device_revoked", "service_not_in_scope", "operator_frozen", "chain_unavailable"] as const) {
    it(`a cached credential is dropped when the chain says ${code}; the upstream hears nothing`, async () => {
      const upstream = await testServer();
      const secret = Buffer.from(CREDENTIAL);
      let answer: Result<unknown> = ok(undefined);
      const sidecar = await localSidecar([entry(upstream.url, { service: "s" })], {
        load: () => Promise.resolve(answer.ok ? ok(secret) : (answer as Result<never>)),
        stillAllowed: () => Promise.resolve(answer),
      });
      try {
        expect((await call({ port: sidecar.port, path: "/s/a" })).status).to.equal(200);
        answer = refuse(code, "no more");
        for (let i = 0; i < 2; i += 1) expect((await call({ port: sidecar.port, path: "/s/b" })).code).to.equal(code);
        expect(isZero(secret)).to.equal(true);
        expect(upstream.received.map((one) => one.url)).to.deep.equal(["/a"]);
      } finally {
        await sidecar.stop();
        await upstream.stop();
      }
    });
  }
});

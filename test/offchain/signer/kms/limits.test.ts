import { expect } from "chai";
import fc from "fast-check";

import {
  type KmsLimits,
  type SlidingWindow,
  kmsLimits,
  slidingWindow,
  sourceKey,
} from "../../../../offchain/signer/vault/kms/limits";

/** A clock that a test sets, milliseconds. */
interface TestClock {
  at: number;
  readonly now: () => number;
}

function testClock(at = 1_000_000): TestClock {
  const clock: TestClock = { at, now: () => clock.at };
  return clock;
}

const MINUTE = 60_000;

/** Takes one if it may be taken. */
function tryTake(window: SlidingWindow, key: string): boolean {
  if (window.retryAfter(key) !== undefined) return false;
  window.take(key);
  return true;
}

describe("slidingWindow", () => {
  const minute = (clock: TestClock, limit = 20, maxKeys = 1_000): SlidingWindow =>
    slidingWindow({ limit, windowMs: MINUTE, maxKeys, now: clock.now });

  it("takes 20, refuses the 21st, and slides by each one that leaves", () => {
    const clock = testClock();
    const window = minute(clock);
    const start = clock.at;
    for (let i = 0; i < 20; i += 1) {
      clock.at = start + i * 1_000;
      expect(tryTake(window, "a"), `${i + 1}`).to.equal(true);
    }
    expect(tryTake(window, "a")).to.equal(false);
    expect(window.retryAfter("a")).to.equal(41);
    clock.at = start + MINUTE - 1;
    expect(window.retryAfter("a")).to.equal(1);
    clock.at = start + MINUTE;
    expect(tryTake(window, "a")).to.equal(true);
    expect(tryTake(window, "a")).to.equal(false);
    clock.at = start + MINUTE + 999;
    expect(tryTake(window, "a")).to.equal(false);
    clock.at = start + MINUTE + 1_000;
    expect(tryTake(window, "a")).to.equal(true);
    expect(tryTake(window, "a")).to.equal(false);
  });

  it("lets nobody have twice the limit across a minute's border, as fixed windows do", () => {
    const clock = testClock(0);
    const window = minute(clock);
    clock.at = MINUTE - 1;
    for (let i = 0; i < 20; i += 1) expect(tryTake(window, "a")).to.equal(true);
    clock.at = MINUTE + 1;
    expect(tryTake(window, "a")).to.equal(false);
  });

  it("keeps keys apart", () => {
    const clock = testClock();
    const window = minute(clock, 1);
    for (const key of ["a", "b", "", "__proto__", "constructor"]) expect(tryTake(window, key), key).to.equal(true);
    for (const key of ["a", "b", "", "__proto__", "constructor"]) expect(tryTake(window, key), key).to.equal(false);
  });

  it("does not count what was refused", () => {
    const clock = testClock();
    const window = minute(clock, 2);
    expect([tryTake(window, "a"), tryTake(window, "a")]).to.deep.equal([true, true]);
    for (let i = 0; i < 59; i += 1) {
      clock.at += 1_000;
      expect(tryTake(window, "a")).to.equal(false);
    }
    clock.at += 1_000;
    expect(tryTake(window, "a")).to.equal(true);
  });

  it("is exact for random times: never above the limit in any span, never refused below it", () => {
    const steps = fc.array(fc.tuple(fc.constantFrom("a", "b"), fc.nat(9_000)), { minLength: 1, maxLength: 120 });
    fc.assert(
      fc.property(steps, fc.integer({ min: 1, max: 6 }), (walk, limit) => {
        const clock = testClock();
        const window = minute(clock, limit);
        const taken: { readonly key: string; readonly at: number }[] = [];
        for (const [key, wait] of walk) {
          clock.at += wait;
          const inSpan = taken.filter((one) => one.key === key && one.at > clock.at - MINUTE);
          const retryAfter = window.retryAfter(key);
          expect(retryAfter === undefined).to.equal(inSpan.length < limit);
          if (retryAfter === undefined) {
            window.take(key);
            taken.push({ key, at: clock.at });
            continue;
          }
          // the promised time is enough, and a whole second less is not
          const freeAt = (inSpan.at(-limit)?.at ?? NaN) + MINUTE;
          expect(clock.at + retryAfter * 1_000).to.be.at.least(freeAt);
          expect(clock.at + (retryAfter - 1) * 1_000).to.be.below(freeAt);
        }
      }),
    );
  });

  it("remembers no more keys than it may: dead ones go, live ones stay, new ones wait", () => {
    const clock = testClock();
    const window = minute(clock, 2, 3);
    for (const key of ["a", "b", "c"]) {
      expect(tryTake(window, key)).to.equal(true);
      clock.at += 1_000;
    }
    expect(window.retryAfter("d")).to.equal(57);
    expect(tryTake(window, "a")).to.equal(true); // known ones go on
    expect(tryTake(window, "a")).to.equal(false);
    expect(window.retryAfter("d")).to.equal(58); // "b" is the first to go now
    clock.at += 58_000;
    expect(tryTake(window, "d")).to.equal(true);
    expect(tryTake(window, "a")).to.equal(true); // its first take has gone
    expect(tryTake(window, "a")).to.equal(false); // its second has not: the flood did not wash it away
    expect(window.retryAfter("e")).to.equal(1);
  });

  it("stays within its keys even where takes are not asked for first", () => {
    const clock = testClock();
    const window = minute(clock, 1, 3);
    for (let i = 0; i < 1_000; i += 1) {
      window.take(`key ${i}`);
      clock.at += 10;
    }
    // the first place to come free is that of the 998th, not of the first
    expect(window.retryAfter("new")).to.equal(60);
    // the last three are remembered, and no more
    for (const i of [997, 998, 999]) expect(tryTake(window, `key ${i}`), `${i}`).to.equal(false);
    clock.at += MINUTE;
    for (const i of [0, 1, 2]) expect(tryTake(window, `key ${i}`), `${i}`).to.equal(true);
    expect(tryTake(window, "key 3")).to.equal(false);
  });
});

describe("kmsLimits", () => {
  const sign = (limits: KmsLimits, keyId: string, deviceKeyHash = "device"): number | undefined =>
    limits.takeSignature({ keyId, deviceKeyHash });

  it("signs 20 a minute by one credential", () => {
    const clock = testClock();
    const limits = kmsLimits({ now: clock.now });
    for (let i = 0; i < 20; i += 1) expect(sign(limits, "key")).to.equal(undefined);
    expect(sign(limits, "key")).to.equal(60);
    expect(sign(limits, "another key")).to.equal(undefined);
    clock.at += 30_500;
    expect(sign(limits, "key")).to.equal(30);
    clock.at += 29_500;
    expect(sign(limits, "key")).to.equal(undefined);
  });

  it("signs 100 a minute for one device, whatever its credentials", () => {
    const clock = testClock();
    const limits = kmsLimits({ now: clock.now });
    for (let i = 0; i < 100; i += 1) expect(sign(limits, `key ${i % 6}`), `${i}`).to.equal(undefined);
    expect(sign(limits, "key 6")).to.equal(60);
    expect(sign(limits, "key 6", "another device")).to.equal(undefined);
    clock.at += MINUTE;
    expect(sign(limits, "key 6")).to.equal(undefined);
  });

  it("counts nothing of a signature that either limit refuses", () => {
    const clock = testClock();
    const limits = kmsLimits({ now: clock.now });
    for (let i = 0; i < 20; i += 1) sign(limits, "key");
    for (let i = 0; i < 500; i += 1) expect(sign(limits, "key")).to.equal(60);
    // the device has 80 left
    for (let i = 0; i < 80; i += 1) expect(sign(limits, `key ${i % 4}`), `${i}`).to.equal(undefined);
    // and "key 9" loses none of its 20 while the device is refused
    for (let i = 0; i < 500; i += 1) expect(sign(limits, "key 9")).to.equal(60);
    for (let i = 0; i < 20; i += 1) expect(sign(limits, "key 9", `device ${i}`)).to.equal(undefined);
    expect(sign(limits, "key 9", "device 20")).to.equal(60);
  });
});

describe("sourceKey", () => {
  it("is an IPv4 address or the /64 of an IPv6 one, however it is written", () => {
    const rows: Readonly<Record<string, string>> = {
      "192.0.2.1": "192.0.2.1",
      "::ffff:192.0.2.1": "192.0.2.1",
      "::FFFF:192.0.2.1": "192.0.2.1",
      "2001:db8:1:2:3:4:5:6": "2001:db8:1:2",
      "2001:db8:1:2::": "2001:db8:1:2",
      "2001:0DB8:0001:0002::ffff": "2001:db8:1:2",
      "2001:db8::1": "2001:db8:0:0",
      "2001:db8:0:0:1::": "2001:db8:0:0",
      "2001::5:6:7:8": "2001:0:0:0",
      "fe80::1%eth0": "fe80:0:0:0",
      "::1": "0:0:0:0",
      "::": "0:0:0:0",
      "": "unknown",
      nonsense: "unknown",
      "192.0.2.256": "unknown",
    };
    for (const [address, key] of Object.entries(rows)) expect(sourceKey(address), address).to.equal(key);
  });
});

import { expect } from "chai";

import { G, N, inverse, mod, pointAt, randomScalar } from "../../helpers/p256";
import { type Case, Examiner, affine, eitherSignatures, signatures, signaturesOf } from "../../helpers/p256-examiner";
import { coincidences, keyThatMeets, scalarOfDigits, steps } from "../../helpers/p256-walk";

/** Scalars at the edges of the order, of the digits and of their signs. */
const SPECIAL: readonly bigint[] = [
  ...[1n, 2n, 3n, 4n, 7n, 8n, 15n, 16n, 17n, 31n, 127n, 128n, 255n, 256n, 257n].flatMap((k) => [k, N - k]),
  ...[(N - 1n) / 2n, (N + 1n) / 2n, N / 3n, 2n ** 128n, 2n ** 128n - 1n, 2n ** 255n, 2n ** 224n - 1n],
  ...[0n, 1n, 2n ** 252n, 2n ** 252n - 1n, 2n ** 255n, 2n ** 255n - 1n, N - 1n, N - 2n].map(scalarOfDigits),
  ...["7", "8", "70", "07", "80", "08", "0f", "f0", "7f", "f7", "8f"].map((digits) =>
    scalarOfDigits(mod(BigInt(`0x${digits.repeat(64).slice(0, 64)}`))),
  ),
];

describe("P256Verifier, against keys and signatures made to break it", function () {
  this.timeout(600_000);

  let examiner: Examiner;

  before(async () => {
    examiner = await Examiner.deployed();
  });

  /** `count` times the first pair of cases that `attempt` finds. */
  function some(count: number, attempt: (index: number) => readonly [Case, Case] | undefined): readonly Case[] {
    const found: Case[] = [];
    for (let index = 0; index < 200 && found.length < 2 * count; index++) found.push(...(attempt(index) ?? []));
    return found;
  }

  it("the sum so far is the next table entry, its opposite, or infinity: at every addition", async () => {
    const met = new Set<string>();
    const names = steps(1n, 1n).map(({ name }) => name);
    const cases = names.flatMap((name, index) =>
      (["same", "opposite"] as const).flatMap((how) =>
        some(2, (attempt) => {
          const [u1, u2] = [attempt % 2 === 0 ? randomScalar() : (SPECIAL[attempt] ?? 1n), randomScalar()];
          const step = steps(u1, u2)[index];
          const k = step && keyThatMeets(step, how);
          if (k === undefined) return undefined;
          const pair = signatures(`${how} at ${name}: u1 ${String(u1)}, u2 ${String(u2)}, key ${String(k)}`, u1, u2, k);
          if (pair !== undefined) for (const event of coincidences(u1, u2, k)) met.add(event);
          return pair;
        }),
      ),
    );
    // sixteen times the highest digit is never the odd next one: no key makes the first addition exceptional
    const [first, second, ...others] = names;
    const expected = [second, ...others].flatMap((name) => [`same at ${String(name)}`, `opposite at ${String(name)}`]);
    expect([first, second, others.length]).to.deep.equal(["Q 248", "G 248", 93]);
    expect([...met]).to.have.members([...expected, ...others.map((name) => `infinity at ${name}`)]);
    expect(cases.length).to.equal(94 * 2 * 2 * 2);
    expect(await examiner.mistakes(cases)).to.deep.equal([]);
  });

  it("keys that are small multiples of the generator, powers of two times it, or table entries", async () => {
    const small = Array.from({ length: 64 }, (_, index) => BigInt(index + 1));
    const powers = Array.from({ length: 250 }, (_, index) => 2n ** BigInt(index + 6)).filter(
      (_, index) => index % 3 === 1,
    );
    const entries = [65n, 127n, 129n, 253n, 255n, inverse(3n), inverse(15n), inverse(16n), inverse(255n)];
    const cases = [...small, ...powers, ...entries].flatMap((k, index) =>
      [k, N - mod(k)].flatMap((key) => {
        const u1 = index % 2 === 0 ? randomScalar() : (SPECIAL[index % SPECIAL.length] ?? 1n);
        const u2 = index % 3 === 0 ? (SPECIAL[(5 * index) % SPECIAL.length] ?? 1n) : randomScalar();
        return eitherSignatures(`key ${String(key)}: u1 ${String(u1)}, u2 ${String(u2)}`, u1, u2, key);
      }),
    );
    expect(cases.length).to.equal((64 + 83 + 9) * 2 * 2);
    expect(await examiner.mistakes(cases)).to.deep.equal([]);
  });

  it("scalars at the edges, single nibbles, runs of one digit, and zero", async () => {
    const nibbles = Array.from({ length: 64 }, (_, at) => (BigInt((7 * at) % 15) + 1n) << BigInt(4 * at)).map((k) =>
      mod(k),
    );
    const cases = [...SPECIAL, ...nibbles].flatMap((scalar, index) => {
      const other = SPECIAL[(11 * index) % SPECIAL.length] ?? 1n;
      const key = index % 2 === 0 ? randomScalar() : BigInt(index);
      return [
        ...eitherSignatures(`u1 ${String(scalar)}, u2 ${String(other)}, key ${String(key)}`, scalar, other, key),
        ...eitherSignatures(`u1 ${String(other)}, u2 ${String(scalar)}, key ${String(key)}`, other, scalar, key),
        ...(index % 4 === 0 ? eitherSignatures(`u1 0, u2 ${String(scalar)}, key ${String(key)}`, 0n, scalar, key) : []),
      ];
    });
    expect(await examiner.mistakes(cases)).to.deep.equal([]);
  });

  it("u1·G is u2·Q, which is valid, or its opposite, which is not for any r", async () => {
    const cases = [...SPECIAL.slice(0, 12), ...Array.from({ length: 12 }, randomScalar)].flatMap((u2) => {
      const k = randomScalar();
      return [
        ...eitherSignatures(`same halves, u2 ${String(u2)}, key ${String(k)}`, mod(u2 * k), u2, k),
        ...eitherSignatures(`opposite halves, u2 ${String(u2)}, key ${String(k)}`, mod(-u2 * k), u2, k),
      ];
    });
    expect(cases.filter(({ valid }) => valid).length).to.equal(24);
    expect(await examiner.mistakes(cases)).to.deep.equal([]);
  });

  // x = 0 is also how the verifier writes infinity
  it("the point with x = 0 as a key, as an entry of the key's table, and as the sum after every addition", async () => {
    const zero = pointAt(0n);
    if (zero === undefined) throw new Error("P-256 has two points with x = 0");
    const keys = [1n, 3n, 5n, 7n, 9n, 11n, 13n, 15n].flatMap((entry) =>
      some(2, () => {
        const [u1, u2, key] = [randomScalar(), randomScalar(), zero.multiply(inverse(entry))];
        return signaturesOf(
          `${String(entry)} times the key has x = 0`,
          u1,
          u2,
          key,
          affine(G.multiply(u1).add(key.multiply(u2))),
        );
      }),
    );
    const sums = steps(1n, 1n).flatMap(({ name }, index) =>
      some(1, () => {
        const [u1, u2] = [randomScalar(), randomScalar()];
        const step = steps(u1, u2)[index];
        if (step === undefined) return undefined;
        const [g, q] = [mod(step.sum.g + step.entry.g), mod(step.sum.q + step.entry.q)];
        const key = (g === 0n ? zero : zero.subtract(G.multiply(g))).multiply(inverse(q));
        return signaturesOf(`x = 0 after ${name}`, u1, u2, key, affine(G.multiply(u1).add(key.multiply(u2))));
      }),
    );
    // at the last addition R itself has x = 0, so r would be 0
    expect([keys.length, sums.length]).to.deep.equal([32, 2 * 94]);
    expect(await examiner.mistakes([...keys, ...sums])).to.deep.equal([]);
  });
});

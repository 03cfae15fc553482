import { createHash, generateKeyPairSync, randomBytes, randomInt, sign } from "node:crypto";

import { expect } from "chai";
import { ethers } from "hardhat";

import {
  type CurvePoint,
  G,
  MAX_S,
  N,
  P,
  type Question,
  encodeQuestion,
  inverse,
  mod,
  nobleAnswers,
  pointAt,
  pointOf,
  randomScalar,
} from "../../helpers/p256";
import { type Case, Examiner } from "../../helpers/p256-examiner";
import { scalarOfDigits } from "../../helpers/p256-walk";

/** The point with y = 5. */
const LOW_Y = pointOf({ x: 0xd7325d7646cd60d80a92738ceb345f844cffaf35841022cab176f692de8de1d7n, y: 5n });
/** The first point at x = 5: a signature with this R has r = 5. */
const LOW_X = pointFrom(5n, 1n);

/** A valid question whose R is this point, for a made-up hash and s: the key that fits is computed. */
function questionFor(R: CurvePoint, wish: { readonly s?: bigint; readonly hash?: bigint } = {}): Question {
  const { s = mod(randomScalar(), MAX_S) + 1n, hash = randomScalar() } = wish;
  const r = mod(R.toAffine().x);
  const [u1, u2] = [mod(hash * inverse(s)), mod(r * inverse(s))];
  const key = (u1 === 0n ? R : R.subtract(G.multiply(u1))).multiply(inverse(u2));
  return { hash, r, s, ...key.toAffine() };
}

/** A valid question under this key, whose private half nobody knows. */
function questionUnder(key: CurvePoint, anyU2: () => bigint = randomScalar): Question {
  for (;;) {
    const [u1, u2] = [randomScalar(), anyU2()];
    const r = mod(G.multiply(u1).add(key.multiply(u2)).toAffine().x);
    const s = mod(r * inverse(u2));
    if (s <= MAX_S) return { hash: mod(u1 * s), r, s, ...key.toAffine() };
  }
}

/** 64 random nibbles of which none is this one, below the order. */
function digitsWithout(nibble: string): bigint {
  const digits = Array.from({ length: 63 }, () => "0123456789abcdef".replace(nibble, "")[randomInt(15)] ?? "");
  return BigInt(`0x7${digits.join("")}`);
}

/** The first point whose x is `from` or behind it in steps of `step`. */
function pointFrom(from: bigint, step: 1n | -1n): CurvePoint {
  for (let x = from; ; x += step) {
    const point = pointAt(x);
    if (point !== undefined) return point;
  }
}

/** What a question is: a malformed one is refused before anything is computed. */
type Kind = "valid" | "wrong" | "malformed";
const [VALID, WRONG, MALFORMED] = ["valid", "wrong", "malformed"] as const;

describe("P256Verifier, field by field", function () {
  this.timeout(300_000);

  let examiner: Examiner;

  before(async () => {
    examiner = await Examiner.deployed();
  });

  /** Whether 30,000 gas, of which less than 7,000 are left when the code begins, are enough for a refusal. */
  async function isRefusedAtOnce(question: Question): Promise<boolean> {
    const call = { to: examiner.verifier, data: encodeQuestion(question), gasLimit: 30_000 };
    const answer = await ethers.provider.call(call).catch(() => "out of gas");
    return answer === "0x";
  }

  it("refuses what is out of range, off the curve or another's, and takes the limits themselves", async () => {
    const good = questionFor(LOW_X);
    const zeroHash = questionFor(G.multiply(randomScalar()), { hash: 0n });
    const lowest = questionFor(G.multiply(randomScalar()), { s: 1n });
    const highest = questionFor(G.multiply(randomScalar()), { s: MAX_S });
    const [lowX, lowY] = [questionUnder(LOW_X), questionUnder(LOW_Y)];
    // -y, which for a y beyond p is no residue, enters by the digit 8 alone: see the verifier's table of the key
    const noEight = questionUnder(LOW_Y, () => scalarOfDigits(digitsWithout("8")));
    const { x, y } = G.multiply(randomScalar()).toAffine();
    const table: readonly (readonly [title: string, kind: Kind, question: Question])[] = [
      ["r = 5", VALID, good],
      ["r = 0", MALFORMED, { ...good, r: 0n }],
      ["r of R + 1", WRONG, { ...good, r: good.r + 1n }],
      ["r = n", MALFORMED, { ...good, r: N }],
      ["r + n", MALFORMED, { ...good, r: good.r + N }],
      ["-r", WRONG, { ...good, r: N - good.r }],
      ["s = 0", MALFORMED, { ...good, s: 0n }],
      ["s = n", MALFORMED, { ...good, s: N }],
      ["-s, high", MALFORMED, { ...good, s: N - good.s }],
      ["s + 1", WRONG, { ...good, s: (good.s % MAX_S) + 1n }],
      ["s = 1", VALID, lowest],
      ["s = 1 + n", MALFORMED, { ...lowest, s: 1n + N }],
      ["s = n - 1", MALFORMED, { ...lowest, s: N - 1n }],
      ["s = (n - 1) / 2", VALID, highest],
      ["s = (n + 1) / 2", MALFORMED, { ...highest, s: MAX_S + 1n }],
      ["hash + 1", WRONG, { ...good, hash: good.hash + 1n }],
      ["hash = 0", VALID, zeroHash],
      ["hash = n", VALID, { ...zeroHash, hash: N }],
      ["hash = 1 for 0", WRONG, { ...zeroHash, hash: 1n }],
      ["x = 5", VALID, lowX],
      ["x = 5 + p", MALFORMED, { ...lowX, x: lowX.x + P }],
      ["y = 5", VALID, lowY],
      ["y = 5 + p", MALFORMED, { ...lowY, y: lowY.y + P }],
      ["no digit is 8", VALID, noEight],
      ["no digit is 8, y = 5 + p", MALFORMED, { ...noEight, y: noEight.y + P }],
      ["y = -5", WRONG, { ...lowY, y: P - 5n }],
      ["y = 0", MALFORMED, { ...good, y: 0n }],
      ["x = 0", MALFORMED, { ...good, x: 0n }],
      ["x = p", MALFORMED, { ...good, x: P }],
      ["y = p", MALFORMED, { ...good, y: P }],
      ["the key is (0, 0)", MALFORMED, { ...good, x: 0n, y: 0n }],
      ["the key is (p, p)", MALFORMED, { ...good, x: P, y: P }],
      ["the opposite key", WRONG, { ...good, y: P - good.y }],
      ["another key", WRONG, { ...good, x, y }],
      ["a key off the curve", MALFORMED, { ...good, y: good.y + 1n }],
      ["x and y the other way", MALFORMED, { ...good, x: good.y, y: good.x }],
      ["all zero", MALFORMED, { hash: 0n, r: 0n, s: 0n, x: 0n, y: 0n }],
    ];
    const cases = table.map(([title, kind, question]): Case => ({ title, valid: kind === VALID, question }));
    expect(await examiner.mistakes(cases)).to.deep.equal([]);
    for (const [title, kind, question] of table)
      expect(await isRefusedAtOnce(question), title).to.equal(kind === MALFORMED);
  });

  it("takes an R whose x is not below the order by r = x - n, and by nothing else", async () => {
    const [least, most] = [pointFrom(N + 1n, 1n), pointFrom(P - 1n, -1n)];
    const cases = [least, most].flatMap((R): Case[] => {
      const question = questionFor(R);
      return [
        { title: "R with x above n", valid: true, question },
        { title: "r = x", valid: false, question: { ...question, r: question.r + N } },
        { title: "r + 1", valid: false, question: { ...question, r: question.r + 1n } },
      ];
    });
    // r + n is not below p here, and modulo p it is the x of R: u2 is made for this r
    const [hash, s, r] = [randomScalar(), mod(randomScalar(), MAX_S) + 1n, LOW_X.toAffine().x + P - N];
    const key = LOW_X.subtract(G.multiply(mod(hash * inverse(s)))).multiply(mod(s * inverse(r)));
    cases.push({ title: "r + n modulo p", valid: false, question: { hash, r, s, ...key.toAffine() } });
    expect(await examiner.mistakes(cases)).to.deep.equal([]);
  });

  it("agrees with OpenSSL's signatures, and with noble about them with bits flipped", async () => {
    const cases = Array.from({ length: 60 }, (): Case[] => {
      const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
      const { x = "", y = "" } = publicKey.export({ format: "jwk" });
      const message = randomBytes(40);
      const signature = sign("sha256", message, { key: privateKey, dsaEncoding: "ieee-p1363" });
      const word = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes).toString("hex")}`);
      const s = word(signature.subarray(32));
      const question: Question = {
        hash: word(createHash("sha256").update(message).digest()),
        r: word(signature.subarray(0, 32)),
        s: s > MAX_S ? N - s : s,
        x: word(Buffer.from(x, "base64url")),
        y: word(Buffer.from(y, "base64url")),
      };
      const flipped = (["hash", "r", "s", "x", "y"] as const).map((field): Case => {
        const changed = { ...question, [field]: question[field] ^ (1n << BigInt(randomInt(256))) };
        return {
          title: `${field} flipped: ${JSON.stringify(changed, text)}`,
          valid: nobleAnswers(changed),
          question: changed,
        };
      });
      return [{ title: JSON.stringify(question, text), valid: true, question }, ...flipped];
    }).flat();
    expect(cases.filter(({ valid }) => valid).length).to.equal(60);
    expect(await examiner.mistakes(cases)).to.deep.equal([]);
  });
});

function text(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? value.toString(16) : value;
}

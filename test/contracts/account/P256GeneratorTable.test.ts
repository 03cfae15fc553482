import { readFileSync } from "node:fs";
import { join } from "node:path";

import { expect } from "chai";
import { ethers } from "hardhat";

import { generatorTableSource } from "../../../scripts/lib/p256-table";

const SOURCE = join(__dirname, "..", "..", "..", "contracts", "libraries", "P256GeneratorTable.sol");
const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
const B = 0x5ac635d8aa3a93e7b3ebbd55769886bc651d06b0cc53b0f63bce3c3e27d2604bn;
/** The generator, as SEC 2 has it. */
const G: Point = {
  x: 0x6b17d1f2e12c4247f8bce6e563a440f277037d812deb33a0f4a13945d898c296n,
  y: 0x4fe342e2fe1a7f9b8ee7eb4a7c0f9e162bce33576b315ececbb6406837bf51f5n,
};

interface Point {
  readonly x: bigint;
  readonly y: bigint;
}

function residue(value: bigint): bigint {
  return ((value % P) + P) % P;
}

function inverse(value: bigint): bigint {
  let [result, base] = [1n, residue(value)];
  for (let exponent = P - 2n; exponent > 0n; exponent >>= 1n) {
    if (exponent & 1n) result = (result * base) % P;
    base = (base * base) % P;
  }
  return result;
}

/** By the schoolbook: chord or tangent. */
function sum(a: Point, b: Point): Point {
  const slope = a.x === b.x ? (3n * a.x * a.x - 3n) * inverse(2n * a.y) : (b.y - a.y) * inverse(b.x - a.x);
  const x = residue(slope * slope - a.x - b.x);
  return { x, y: residue(slope * (a.x - x) - a.y) };
}

/** x and p - y of G, 3·G, … 255·G, from the curve's parameters alone. */
function expectedWords(): readonly bigint[] {
  const double = sum(G, G);
  const words: bigint[] = [];
  for (let point = G, multiple = 1; multiple < 256; multiple += 2, point = sum(point, double)) {
    expect(residue(point.y ** 2n)).to.equal(residue(point.x ** 3n - 3n * point.x + B));
    words.push(point.x, P - point.y);
  }
  return words;
}

describe("P256GeneratorTable", () => {
  it("holds the odd multiples of the generator, each at its place", () => {
    const stores = [...readFileSync(SOURCE, "utf8").matchAll(/mstore\((0x[0-9a-f]{4}), (0x[0-9a-f]{64})\)/g)];
    expect(stores.map(([, at]) => Number(at))).to.deep.equal(stores.map((_, index) => 0x400 + 32 * index));
    expect(stores.map(([, , word]) => BigInt(word ?? ""))).to.deep.equal(expectedWords());
  });

  it("is what its script makes", () => {
    expect(readFileSync(SOURCE, "utf8")).to.equal(generatorTableSource());
  });

  it("is in the verifier's deployed code, word by word", async () => {
    const verifier = await ethers.deployContract("P256Verifier");
    const code = await ethers.provider.getCode(await verifier.getAddress());
    const pushed = expectedWords().map((word, index) => {
      const bytes = Math.ceil(word.toString(16).length / 2);
      const operand = word.toString(16).padStart(2 * bytes, "0");
      const place = (0x400 + 32 * index).toString(16).padStart(4, "0");
      return `${(0x5f + bytes).toString(16)}${operand}61${place}52`; // PUSHn word, PUSH2 place, MSTORE
    });
    expect(code).to.include(pushed.join(""));
  });
});

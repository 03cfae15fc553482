import { ethers } from "hardhat";

import type { P256Batch } from "../../typechain-types";
import {
  type CurvePoint,
  MAX_S,
  type Point,
  type Question,
  encodeQuestion,
  inverse,
  mod,
  nobleAnswers,
  timesG,
} from "./p256";

/** A question and what must be answered, known from how it was made. */
export interface Case {
  readonly title: string;
  readonly question: Question;
  readonly valid: boolean;
}

/** The most gas that one call of the verifier may use; 5,500 of it only since `osaka`, whose 0x05 is three times as dear. */
const MOST_GAS = 131_000n;
/** Cases in one call; OpenZeppelin's verifier, the slowest of the three, sees the first of them. */
const BATCH = 16;

/** Puts cases to `P256Verifier`, to noble and to OpenZeppelin. */
export class Examiner {
  private constructor(
    readonly verifier: string,
    private readonly batch: P256Batch,
  ) {}

  static async deployed(): Promise<Examiner> {
    const verifier = await ethers.deployContract("P256Verifier");
    return new Examiner(await verifier.getAddress(), await ethers.deployContract("P256Batch"));
  }

  /** Every wrong answer, by who gave it and to what; throws at a call of the verifier that reverts or costs too much. */
  async mistakes(cases: readonly Case[]): Promise<readonly string[]> {
    const wrong: string[] = [];
    for (let start = 0; start < cases.length; start += BATCH) {
      const some = cases.slice(start, start + BATCH);
      const sample = some.slice(0, 1);
      const [ours, mostGas] = await this.batch.verify(this.verifier, encoded(some), { gasLimit: 16_000_000 });
      if (mostGas > MOST_GAS) throw new Error(`a call used ${String(mostGas)} gas`);
      const theirs = await this.batch.verifyByOpenZeppelin(encoded(sample), { gasLimit: 16_000_000 });
      const nobles = some.map(({ question }) => nobleAnswers(question));
      wrong.push(...mistakenIn("P256Verifier", some, ours));
      wrong.push(...mistakenIn("OpenZeppelin", sample, theirs));
      wrong.push(...mistakenIn("noble", some, nobles));
    }
    return wrong;
  }
}

/**
 * The signature under the key k·G for which the verifier computes u1·G + u2·Q, and its twin that takes the same way but
 * names another `r`: the first is valid, the second is not. Where the way ends at infinity neither is. Undefined where the
 * `s` that it takes is high: then (-u1, -u2) has a low one.
 */
export function signatures(title: string, u1: bigint, u2: bigint, k: bigint): readonly [Case, Case] | undefined {
  const nonce = mod(u1 + u2 * k);
  return signaturesOf(title, u1, u2, timesG(k), nonce === 0n ? undefined : timesG(nonce));
}

/** As {@link signatures}, for any key and u1·G + u2·Q, undefined where that is infinity. */
export function signaturesOf(
  title: string,
  u1: bigint,
  u2: bigint,
  { x, y }: Point,
  end: Point | undefined,
): readonly [Case, Case] | undefined {
  const signature = (r: bigint): Question => {
    const s = mod(r * inverse(u2));
    return { hash: mod(u1 * s), r, s, x, y };
  };
  const honest = signature(mod(end?.x ?? x));
  if (honest.s === 0n || honest.s > MAX_S) return undefined;
  let r = honest.r;
  do r = mod(r + 1n);
  while (r === 0n || signature(r).s > MAX_S);
  return [
    { title, question: honest, valid: end !== undefined },
    { title: `${title}, another r`, question: signature(r), valid: false },
  ];
}

/** As {@link signatures}, with (-u1, -u2) where it takes that: always two cases. */
export function eitherSignatures(title: string, u1: bigint, u2: bigint, k: bigint): readonly [Case, Case] {
  const found = signatures(title, u1, u2, k) ?? signatures(title, mod(-u1), mod(-u2), k);
  if (found === undefined) throw new Error("s and -s cannot both be high");
  return found;
}

/** Affine coordinates of a point of noble's; undefined for infinity. */
export function affine(point: CurvePoint): Point | undefined {
  return point.equals(point.subtract(point)) ? undefined : point.toAffine();
}

function encoded(cases: readonly Case[]): string[] {
  return cases.map(({ question }) => encodeQuestion(question));
}

function mistakenIn(who: string, cases: readonly Case[], answers: readonly boolean[]): readonly string[] {
  return cases.filter(({ valid }, index) => answers[index] !== valid).map(({ title }) => `${who}: ${title}`);
}

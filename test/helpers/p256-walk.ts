import { N, inverse, mod } from "./p256";

/** A linear form g + q·k: a multiple of G plus a multiple of the key Q = k·G. */
interface Form {
  readonly g: bigint;
  readonly q: bigint;
}

/** One addition of the verifier: what it has so far and which table entry it adds. */
export interface Step {
  /** Whose table, and the bit of the digit: `Q 244`, `G 0`. */
  readonly name: string;
  readonly sum: Form;
  readonly entry: Form;
}

/** How an addition is exceptional: the sum so far is infinity, the entry itself, or its opposite. */
export type Coincidence = "infinity" | "same" | "opposite";

/**
 * The additions of `P256Verifier` for u1·G + u2·Q, in order: the digits as its own words define them, in scalars alone.
 * @see contracts/account/P256Verifier.sol
 */
export function steps(u1: bigint, u2: bigint): readonly Step[] {
  const [b1, b2] = [digits(u1), digits(u2)];
  let sum: Form = { g: 0n, q: 2n * (b2 >> 252n) - 15n };
  const walked: Step[] = [];
  const add = (name: string, entry: Form): void => {
    walked.push({ name, sum, entry });
    sum = { g: mod(sum.g + entry.g), q: mod(sum.q + entry.q) };
  };
  for (let bit = 248n; bit >= 0n; bit -= 4n) {
    sum = { g: mod(16n * sum.g), q: mod(16n * sum.q) };
    add(`Q ${String(bit)}`, { g: 0n, q: 2n * ((b2 >> bit) & 15n) - 15n });
    if (bit % 8n === 0n) add(`G ${String(bit)}`, { g: 2n * ((b1 >> bit) & 255n) - 255n, q: 0n });
  }
  if (sum.g !== mod(u1) || sum.q !== mod(u2)) throw new Error("the digits do not make the scalars");
  return walked;
}

/** The scalar whose digits are these bits. */
export function scalarOfDigits(bits: bigint): bigint {
  return mod(2n * bits - (2n ** 256n - 1n));
}

/** What is exceptional on the way with the key k·G, in order: `opposite at Q 244`. */
export function coincidences(u1: bigint, u2: bigint, k: bigint): readonly string[] {
  return steps(u1, u2).flatMap(({ name, sum, entry }) => {
    const [before, added] = [mod(sum.g + sum.q * k), mod(entry.g + entry.q * k)];
    if (before === 0n) return `infinity at ${name}`;
    if (before === added) return `same at ${name}`;
    return mod(before + added) === 0n ? `opposite at ${name}` : [];
  });
}

/** The k for which this step adds what it has or its opposite; undefined where there is none. */
export function keyThatMeets({ sum, entry }: Step, how: "same" | "opposite"): bigint | undefined {
  const sign = how === "same" ? 1n : -1n;
  const [g, q] = [mod(sign * entry.g - sum.g), mod(sum.q - sign * entry.q)];
  return g === 0n || q === 0n ? undefined : mod(g * inverse(q));
}

function digits(scalar: bigint): bigint {
  return mod((mod(scalar) + 2n ** 256n - 1n) * ((N + 1n) / 2n));
}

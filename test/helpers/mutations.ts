import fc from "fast-check";

/** One random change of a text; every number is taken modulo what it can be. */
export interface Mutation {
  readonly kind: (typeof KINDS)[number];
  readonly at: number;
  readonly other: number;
  readonly byte: number;
  readonly length: number;
}

const KINDS = [
  "flip a bit",
  "replace a byte",
  "replace a letter",
  "delete",
  "insert a byte",
  "insert a letter",
  "duplicate",
  "truncate",
  "exchange two bytes",
  "cut the start off",
  "repeat a part elsewhere",
] as const;

const LETTERS = `ABCDEFabcdefghzABC0123456789-_.,:"{}[]= \\`;

/** Mutations of texts of any length. */
export const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom(...KINDS),
  at: fc.nat(),
  other: fc.nat(),
  byte: fc.nat(255),
  length: fc.integer({ min: 1, max: 24 }),
});

/** Applies it; the result can be equal to what it was, which the caller looks at. */
export function mutate(bytes: Buffer, { kind, at, other, byte, length }: Mutation): Buffer {
  const size = Math.max(bytes.length, 1);
  const [i, j] = [at % size, other % size];
  const letter = LETTERS.charCodeAt(byte % LETTERS.length);
  const put = (from: number, until: number, ...middle: readonly number[]): Buffer =>
    Buffer.concat([bytes.subarray(0, from), Buffer.from(middle), bytes.subarray(until)]);
  switch (kind) {
    case "flip a bit":
      return put(i, i + 1, (bytes[i] ?? 0) ^ (1 << (byte % 8)));
    case "replace a byte":
      return put(i, i + 1, byte);
    case "replace a letter":
      return put(i, i + 1, letter);
    case "delete":
      return put(i, i + length);
    case "insert a byte":
      return put(i, i, byte);
    case "insert a letter":
      return put(i, i, letter);
    case "duplicate":
      return put(i, i, ...bytes.subarray(i, i + length));
    case "truncate":
      return bytes.subarray(0, i);
    case "exchange two bytes": {
      const changed = Buffer.from(bytes);
      [changed[i], changed[j]] = [bytes[j] ?? 0, bytes[i] ?? 0];
      return changed;
    }
    case "cut the start off":
      return bytes.subarray(i);
    case "repeat a part elsewhere":
      return put(j, j + length, ...bytes.subarray(i, i + length));
  }
}

/** A change of one JSON object by its members. */
export interface MemberMutation {
  readonly kind: "drop" | "twice" | "exchange values" | "exchange names" | "another value";
  readonly at: number;
  readonly other: number;
  readonly value: string;
}

const VALUES = [
  "null",
  "true",
  "0",
  "1",
  "300",
  "9007199254740991",
  `""`,
  `"store"`,
  `"fetch"`,
  `"memory"`,
  `"credentials"`,
  `"0x"`,
  `"0x${"00".repeat(32)}"`,
  `"0x${"ff".repeat(32)}"`,
  `"0x${"00".repeat(65)}"`,
  "[]",
  "{}",
];

/** Mutations by members. */
export const memberMutation: fc.Arbitrary<MemberMutation> = fc.record({
  kind: fc.constantFrom(
    "drop" as const,
    "twice" as const,
    "exchange values" as const,
    "exchange names" as const,
    "another value" as const,
  ),
  at: fc.nat(),
  other: fc.nat(),
  value: fc.constantFrom(...VALUES),
});

/** Applies it to the text of a JSON object. */
export function mutateMembers(text: string, { kind, at, other, value }: MemberMutation): string {
  const members = Object.entries(JSON.parse(text) as object).map(([name, old]) => ({
    name,
    value: JSON.stringify(old),
  }));
  const [one, two] = [members[at % members.length], members[other % members.length]];
  if (one === undefined || two === undefined) return text;
  if (kind === "drop") members.splice(at % members.length, 1);
  if (kind === "twice") members.push({ ...one });
  if (kind === "exchange values") [one.value, two.value] = [two.value, one.value];
  if (kind === "exchange names") [one.name, two.name] = [two.name, one.name];
  if (kind === "another value") one.value = value;
  return `{${members.map((member) => `${JSON.stringify(member.name)}:${member.value}`).join(",")}}`;
}

/**
 * True where JSON.parse, which is no part of the product, reads the same values under these names: such a change says
 * the same thing in other words, or in words that the product refuses to read. A member twice is not the same.
 */
export function saysTheSame(before: string, after: Buffer, names: readonly string[]): boolean {
  let parsed: Record<string, unknown>;
  try {
    parsed = JSON.parse(after.toString()) as Record<string, unknown>;
  } catch {
    return false;
  }
  const known = JSON.parse(before) as Record<string, unknown>;
  const isTwice = names.some((name) => after.toString().split(`"${name}"`).length > 2);
  return !isTwice && names.every((name) => JSON.stringify(known[name]) === JSON.stringify(parsed[name]));
}

/** One character in every spelling that a text may give it, as bytes. */
export type Token = readonly Buffer[];

/** What is looked for: tokens in a row. */
export type Pattern = readonly Token[];

/** Characters of base64 that two alphabets write differently. @see RFC 4648 §5 */
const OTHER_ALPHABET: Readonly<Record<string, string>> = { "+": "-", "/": "_" };
/** Shorter than this, the inside of a base64 text is no evidence of the secret. */
const MIN_BASE64_CHARACTERS = 8;

/**
 * Every form in which a secret of printable ASCII is recognised: as it stands, URL-encoded (RFC 3986, forms too) and
 * JSON-encoded (RFC 8259), any mixture of these, and base64 or base64url of any text that holds it. Not recognised:
 * other encodings, encryption, compression inside the body, encodings of encodings other than of base64.
 */
export function patternsOf(secret: string): readonly Pattern[] {
  const plain = Array.from(secret, spellings);
  const encoded = [0, 1, 2].map((lead) => Array.from(base64Inside(secret, lead))).filter((one) => one.length > 0);
  return [plain, ...encoded.map((text) => text.map(base64Spellings))];
}

function spellings(character: string): Token {
  const hex = character.charCodeAt(0).toString(16).padStart(2, "0");
  const texts = new Set([character]);
  for (const digits of [hex, hex.toUpperCase()]) texts.add(`%${digits}`).add(`\\u00${digits}`);
  if (character === " ") texts.add("+");
  if (['"', "\\", "/"].includes(character)) texts.add(`\\${character}`);
  return [...texts].map((text) => Buffer.from(text, "latin1"));
}

function base64Spellings(character: string): Token {
  const other = OTHER_ALPHABET[character];
  return other === undefined ? spellings(character) : [...spellings(character), ...spellings(other)];
}

/** The characters that depend on nothing but the secret when `lead` bytes (mod 3) come before it. */
function base64Inside(secret: string, lead: number): string {
  const bytes = Buffer.concat([Buffer.alloc(lead), Buffer.from(secret, "latin1")]);
  const inside = bytes.toString("base64").slice(Math.ceil((8 * lead) / 6), Math.floor((8 * bytes.length) / 6));
  return inside.length < MIN_BASE64_CHARACTERS ? "" : inside;
}

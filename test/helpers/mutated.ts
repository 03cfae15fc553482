/**
 * A good JSON object with one member taken out or given another form, each with its name. Every one must be refused.
 * @param except members whose form is not the parser's business
 */
export function mutated(
  good: Readonly<Record<string, unknown>>,
  except: readonly string[] = [],
): readonly (readonly [string, Readonly<Record<string, unknown>>])[] {
  return Object.entries(good)
    .filter(([member]) => !except.includes(member))
    .flatMap(([member, value]) => [
      [`no ${member}`, { ...good, [member]: undefined }] as const,
      [`${member} null`, { ...good, [member]: null }] as const,
      [`${member} in a list`, { ...good, [member]: [value] }] as const,
      [`${member} true`, { ...good, [member]: true }] as const,
      ...otherForms(value).map((form) => [`${member} ${JSON.stringify(form)}`, { ...good, [member]: form }] as const),
    ]);
}

function otherForms(value: unknown): readonly unknown[] {
  if (typeof value === "number") return [String(value), value + 0.5, -1, 2 ** 53];
  if (typeof value !== "string") return [{}, ""];
  if (!value.startsWith("0x")) return [1, {}];
  const letter = /[a-f]/.exec(value.slice(2))?.[0];
  const upper = letter === undefined ? [] : [`0x${value.slice(2).replace(letter, letter.toUpperCase())}`];
  return [1, "", "0x", value.slice(2), value.slice(0, -1), `${value}0`, `${value}00`, ` ${value}`, ...upper];
}

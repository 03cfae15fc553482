import { readFileSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";

/**
 * The bytes under which a secret can be found in something else: itself, hex in both cases, and base64 and base64url,
 * also from inside a longer text that was encoded with it, at any of the three alignments.
 */
export function secretForms(secret: Uint8Array): readonly Buffer[] {
  const bytes = Buffer.from(secret);
  const hex = bytes.toString("hex");
  const forms = [bytes, Buffer.from(hex), Buffer.from(hex.toUpperCase())];
  for (let before = 0; before < 3; before += 1) {
    // the first and last character of a run mix with their neighbours' bits
    const text = Buffer.concat([Buffer.alloc(before), bytes])
      .toString("base64")
      .replaceAll("=", "");
    const inner = text.slice(Math.ceil((before * 4) / 3), -1);
    forms.push(Buffer.from(inner), Buffer.from(inner.replaceAll("+", "-").replaceAll("/", "_")));
  }
  return forms;
}

/** What is looked for, and under which name it is reported. */
export type Secrets = Readonly<Record<string, Uint8Array>>;

/** Names of the secrets that some bytes hold in any form. */
export function secretsIn(haystack: Uint8Array, secrets: Secrets): readonly string[] {
  const bytes = Buffer.from(haystack.buffer, haystack.byteOffset, haystack.byteLength);
  return Object.entries(secrets)
    .filter(([, secret]) => secretForms(secret).some((form) => bytes.includes(form)))
    .map(([name]) => name);
}

/** Every file under a folder that holds one of the secrets, as `path: name`. */
export function secretsUnder(dir: string, secrets: Secrets, leaveOut: readonly string[] = []): readonly string[] {
  return readdirSync(dir).flatMap((entry) => {
    const path = join(dir, entry);
    if (leaveOut.includes(path)) return [];
    const stat = statSync(path);
    if (stat.isDirectory()) return secretsUnder(path, secrets, leaveOut);
    const named = secretsIn(Buffer.from(entry), secrets);
    const held = stat.isFile() ? secretsIn(readFileSync(path), secrets) : [];
    return [...named, ...held].map((name) => `${path}: ${name}`);
  });
}

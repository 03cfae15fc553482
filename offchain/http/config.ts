import { lstatSync, readFileSync } from "node:fs";

import { isAddressHex } from "../wire/bytes";
import { isOrigin } from "../wire/origin";

/** One environment variable: its name, meaning, and how its text becomes a value. */
export interface Variable<T> {
  readonly name: string;
  /** Meaning and unit, for `.env.example`. */
  readonly meaning: string;
  /** Text used when it is absent; without one it must be given. */
  readonly fallback?: string;
  /** Throws an Error whose message says what is wrong with the text. */
  readonly read: (text: string) => T;
}

type Values<S> = { readonly [K in keyof S]: S[K] extends Variable<infer T> ? T : never };

/** Every problem of a configuration, reported at once. */
export class ConfigurationError extends Error {
  override readonly name = "ConfigurationError";
}

/** Reads all variables; throws one `ConfigurationError` that lists every problem. */
export function readConfig<S extends Readonly<Record<string, Variable<unknown>>>>(
  schema: S,
  env: Readonly<Record<string, string | undefined>>,
): Values<S> {
  const values: Record<string, unknown> = {};
  const problems: string[] = [];
  for (const [key, variable] of Object.entries(schema)) {
    const text = env[variable.name] ?? variable.fallback;
    if (text === undefined) {
      problems.push(`${variable.name} is missing: ${variable.meaning}`);
      continue;
    }
    try {
      values[key] = variable.read(text);
    } catch (error) {
      problems.push(`${variable.name}: ${(error as Error).message}`);
    }
  }
  if (problems.length > 0) throw new ConfigurationError(`The configuration has problems:\n- ${problems.join("\n- ")}`);
  return values as Values<S>;
}

/** Any text that is not empty. */
export const text = (value: string): string => {
  if (value === "") throw new Error("must not be empty");
  return value;
};

/** A whole number. */
export const whole = (value: string): number => {
  if (!/^(0|[1-9][0-9]{0,14})$/.test(value)) throw new Error("must be a whole number");
  return Number(value);
};

/** `1` or `0`. */
export const flag = (value: string): boolean => {
  if (value !== "0" && value !== "1") throw new Error("must be 0 or 1");
  return value === "1";
};

/** A public base URL without trailing slash; https, or http on loopback. */
export const origin = (value: string): string => {
  if (!isOrigin(value)) throw new Error("must be an https origin (http on loopback only), no trailing slash");
  return value;
};

/** An address, in any case; lowercase from here on. */
export const address = (value: string): `0x${string}` => {
  const lower = value.toLowerCase();
  if (!isAddressHex(lower)) throw new Error("must be an address of 20 bytes");
  return lower;
};

/** A comma-separated list. */
export const list = (value: string): readonly string[] => {
  const items = value.split(",").map((one) => one.trim());
  if (items.some((one) => one === "")) throw new Error("must be a comma-separated list without empty items");
  return items;
};

/** One of some words. */
export const oneOf =
  <T extends string>(...words: readonly T[]) =>
  (value: string): T => {
    const found = words.find((word) => word === value);
    if (found === undefined) throw new Error(`must be one of ${words.join(", ")}`);
    return found;
  };

/** The bytes of a file that only its owner may read; symbolic links and loose modes are refused. */
export function readSecretFile(path: string): Buffer {
  const stat = lstatSync(path);
  if (stat.isSymbolicLink()) throw new Error(`${path} is a symbolic link: name the file itself`);
  if (!stat.isFile()) throw new Error(`${path} is not a file`);
  if ((stat.mode & 0o077) !== 0) throw new Error(`${path} can be read by others: chmod 600 it`);
  return readFileSync(path);
}

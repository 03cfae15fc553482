import { readFile } from "node:fs/promises";

import { type Consent, isGuardian, parseConsent } from "../../offchain/client/guardian-consent";
import type { Configuration } from "../../offchain/client/guardian-messages";
import { type Hex, isBytes32 } from "../../offchain/wire/bytes";
import { UsageError } from "./networks";
import { addressIn } from "./operator-program";
import { type Values, Refused, required, text, texts } from "./program";

/** The options of the recovery program, beside an operator's. */
export const RECOVERY_OPTIONS = {
  guardian: { type: "string", multiple: true },
  threshold: { type: "string" },
  delay: { type: "string" },
  off: { type: "boolean" },
  execute: { type: "boolean" },
  credential: { type: "string" },
  change: { type: "string" },
  for: { type: "string" },
  collect: { type: "string" },
  request: { type: "string" },
  consent: { type: "string", multiple: true },
  signature: { type: "string" },
  out: { type: "string" },
  "from-block": { type: "string" },
} as const;

const DEFAULT_DELAY = "48h";

/** The configuration that the options word. @throws UsageError */
export function configurationOf(values: Values): Configuration {
  const guardians = texts(values, "guardian").map((one) => one.toLowerCase());
  if (values["off"] === true) {
    if (guardians.length > 0) throw new UsageError("--off and --guardian exclude each other");
    return { guardians: [], threshold: 0, delay: 0 };
  }
  if (guardians.length === 0) throw new UsageError("--guardian is missing");
  if (!guardians.every(isGuardian)) throw new UsageError("--guardian is 0x and 20 bytes or more");
  const threshold = required(values, "threshold");
  if (!/^[1-9]\d?$/.test(threshold)) throw new UsageError("--threshold is a number of guardians");
  return { guardians, threshold: Number(threshold), delay: durationIn(values, "delay", DEFAULT_DELAY) };
}

/** The account that --account names. @throws UsageError */
export function accountIn(values: Values): Hex {
  const account = addressIn(values, "account");
  if (account === undefined) throw new UsageError("--account is missing: the address of the master account");
  return account;
}

/** Seconds of an option like 48h or 7d. @throws UsageError */
export function durationIn(values: Values, name: string, usual: string): number {
  const parts = /^(\d{1,4})([hd])$/.exec(text(values, name) ?? usual);
  if (parts === null) throw new UsageError(`--${name} is written as 48h or 7d`);
  return Number(parts[1]) * (parts[2] === "d" ? 86_400 : 3_600);
}

/** A hash of 32 bytes. @throws UsageError */
export function hashIn(values: Values, name: string): Hex {
  const value = required(values, name).toLowerCase();
  if (!isBytes32(value)) throw new UsageError(`--${name} is 0x and 64 hex digits`);
  return value;
}

/** The block from which events are asked for. @throws UsageError */
export function fromBlockIn(values: Values): number {
  const value = text(values, "from-block") ?? "0";
  if (!/^\d{1,12}$/.test(value)) throw new UsageError("--from-block is a block's number");
  return Number(value);
}

/** The consents in the files of --consent. @throws Refused naming the file that holds none */
export async function consentsIn(values: Values): Promise<readonly Consent[]> {
  const files = texts(values, "consent");
  if (files.length === 0) throw new UsageError("--consent is missing: one file for each guardian");
  return Promise.all(
    files.map(async (file) => {
      const consent = parseConsent(await textOf(file));
      if (!consent.ok) throw new Refused(consent.failure.code, `${file}: ${consent.failure.detail}`);
      return consent.value;
    }),
  );
}

/** The text of a file. @throws UsageError */
export async function textOf(file: string): Promise<string> {
  return readFile(file, "utf8").catch(() => {
    throw new UsageError(`${file} cannot be read`);
  });
}

import { readFile } from "node:fs/promises";

import { FunctionFragment } from "ethers";

import {
  COMPARISON,
  PLAIN_TRANSFER,
  type Session,
  type SessionPredicate,
  type SessionRule,
} from "../../offchain/client/sessions";
import { type Hex, isAddressHex, isBytes32 } from "../../offchain/wire/bytes";
import { untilOf } from "./grant-options";
import { UsageError } from "./networks";
import { type Values, required, text } from "./program";

/** The options that word a session, beside its agent. */
export const SESSION_OPTIONS = {
  key: { type: "string" },
  rules: { type: "string" },
  until: { type: "string" },
  window: { type: "string" },
  calls: { type: "string" },
  "gas-per-operation": { type: "string" },
  "gas-total": { type: "string" },
  paymaster: { type: "string" },
  "paymaster-total": { type: "string" },
} as const;

/** Their description. */
export const SESSION_USAGE = `  --key ADDRESS       the agent's key, as the signer answered when it was made
  --rules FILE        JSON: { "rules": [{ "target": "0x…", "function": "transfer(address,uint256)", "valuePerCall": "0",
                      "valueTotal": "0", "where": [{ "word": 0, "is": "equal", "value": "0x…32 bytes" }] }],
                      "tokens": [{ "token": "0x…", "total": "1000000" }] }; wei and the token's smallest unit; an empty
                      function is a plain transfer; "is" is equal, notEqual, atMost or atLeast
  --until WHEN        2026-12-31T12:00:00Z, Unix seconds or 12h, at most 7 days from now; by default 24h
  --window SECONDS    of the rate limit, 60 to 604800; by default 3600
  --calls N           in one window; by default 20
  --gas-per-operation GWEI   most that one operation's gas may cost; by default 5000000
  --gas-total GWEI           most that all may cost; by default 50000000
  --paymaster ADDRESS        the only one that may pay instead; by default none
  --paymaster-total GWEI     most that it may pay in all; by default 50000000`;

/** The key that an option names, lowercase. */
export function keyOf(value: string): Hex {
  return addressOf(value, "--key");
}

/**
 * The session that the options word.
 * @param now Unix seconds
 * @throws UsageError
 */
export async function sessionOf(values: Values, actorOmni: Hex, now: number): Promise<Session> {
  const file = required(values, "rules");
  const content = await readFile(file, "utf8").catch(() => {
    throw new UsageError(`${file} cannot be read`);
  });
  let worded: unknown;
  try {
    worded = JSON.parse(content);
  } catch {
    throw new UsageError(`${file} is not JSON`);
  }
  const { rules, tokens = [] } = membersOf(worded, ["rules", "tokens"], file);
  if (!Array.isArray(rules) || !Array.isArray(tokens)) throw new UsageError(`${file}: rules and tokens are lists`);
  return {
    actorOmni,
    key: keyOf(required(values, "key")),
    validAfter: now - 60,
    validUntil: endOf(text(values, "until") ?? "24h", now),
    windowSeconds: numberOf(values, "window", "3600", 24),
    callsPerWindow: numberOf(values, "calls", "20", 12),
    gasPerOperationGwei: numberOf(values, "gas-per-operation", "5000000", 32),
    gasTotalGwei: numberOf(values, "gas-total", "50000000", 40),
    ...paymasterOf(values),
    rules: rules.map((one) => ruleOf(one, file)),
    tokenLimits: tokens.map((one) => {
      const { token, total } = membersOf(one, ["token", "total"], file);
      return { token: addressOf(token, file), total: amountOf(total, file, 128) };
    }),
  };
}

function paymasterOf(values: Values): Pick<Session, "paymaster" | "paymasterTotalGwei"> {
  const paymaster = text(values, "paymaster");
  if (paymaster !== undefined) {
    const paymasterTotalGwei = numberOf(values, "paymaster-total", "50000000", 40);
    return { paymaster: addressOf(paymaster, "--paymaster"), paymasterTotalGwei };
  }
  if (text(values, "paymaster-total") !== undefined) throw new UsageError("--paymaster-total goes with --paymaster");
  return { paymaster: `0x${"00".repeat(20)}`, paymasterTotalGwei: 0 };
}

function ruleOf(value: unknown, file: string): SessionRule {
  const members = ["target", "function", "valuePerCall", "valueTotal", "where"];
  const { target, function: name, valuePerCall = "0", valueTotal = "0", where = [] } = membersOf(value, members, file);
  if (!Array.isArray(where)) throw new UsageError(`${file}: where is a list`);
  return {
    target: addressOf(target, file),
    selector: selectorOf(name, file),
    valuePerCall: amountOf(valuePerCall, file, 80),
    valueTotal: amountOf(valueTotal, file, 80),
    predicates: where.map((one) => predicateOf(one, file)),
  };
}

function predicateOf(one: unknown, file: string): SessionPredicate {
  const { word, is, value } = membersOf(one, ["word", "is", "value"], file);
  if (typeof word !== "number" || !Number.isSafeInteger(word) || word < 0) {
    throw new UsageError(`${file}: a word is counted from 0`);
  }
  if (typeof is !== "string" || !Object.hasOwn(COMPARISON, is)) {
    throw new UsageError(`${file}: "is" is one of ${Object.keys(COMPARISON).join(", ")}`);
  }
  if (!isBytes32(value)) throw new UsageError(`${file}: a value is 0x and 64 lowercase hex digits`);
  return { word, is: is as keyof typeof COMPARISON, value };
}

/** A misspelt member must not be a limit that nobody set. */
function membersOf(value: unknown, known: readonly string[], file: string): Readonly<Record<string, unknown>> {
  if (typeof value !== "object" || value === null) throw new UsageError(`${file}: an object is missing`);
  const unknown = Object.keys(value).find((member) => !known.includes(member));
  if (unknown !== undefined) throw new UsageError(`${file}: ${unknown} is none of ${known.join(", ")}`);
  return value as Readonly<Record<string, unknown>>;
}

function selectorOf(name: unknown, file: string): Hex {
  if (name === "") return PLAIN_TRANSFER;
  try {
    return FunctionFragment.from(`function ${String(name)}`).selector as Hex;
  } catch {
    throw new UsageError(`${file}: a function is written as transfer(address,uint256), a plain transfer as ""`);
  }
}

function addressOf(value: unknown, where: string): Hex {
  const lower = typeof value === "string" ? value.toLowerCase() : undefined;
  if (!isAddressHex(lower)) throw new UsageError(`${where}: an address is 0x and 40 hex digits`);
  return lower;
}

/** @param bits of the contract's own number */
function amountOf(value: unknown, file: string, bits: number): bigint {
  if (typeof value !== "string" || !/^(?:0|[1-9][0-9]{0,38})$/.test(value)) {
    throw new UsageError(`${file}: an amount is a text of decimal digits`);
  }
  if (BigInt(value) >> BigInt(bits) !== 0n) throw new UsageError(`${file}: ${value} is 2^${bits} or above`);
  return BigInt(value);
}

function numberOf(values: Values, name: string, fallback: string, bits: number): number {
  const word = text(values, name) ?? fallback;
  const isSmall = /^[1-9][0-9]{0,12}$/.test(word) && Number(word) < 2 ** bits;
  if (!isSmall) throw new UsageError(`--${name} is a number above zero and below ${2 ** bits}`);
  return Number(word);
}

const WEEK = 7 * 86_400;

/** Unlike a grant's end, a session's is not rounded up: it is at most a week away. */
function endOf(when: string, now: number): number {
  const hours = /^([1-9][0-9]{0,2})h$/.exec(when);
  const end = hours === null ? untilOf(when, now) : now + Number(hours[1]) * 3_600;
  if (end > now + WEEK) throw new UsageError("--until is at most 7 days from now");
  return end;
}

import { type ParseArgsConfig, parseArgs } from "node:util";

import type { Result } from "../../offchain/wire/result";
import { UsageError } from "./networks";

/** How a program speaks: sentences for people, or one JSON line for programs. */
export interface Voice {
  /** What the program is about to do, or did; silent with --json. */
  say(line: string): void;
  /** The outcome, once. */
  finish(outcome: Readonly<Record<string, unknown>>, lines: readonly string[]): void;
}

type Options = NonNullable<ParseArgsConfig["options"]>;

/** The values of a program's options. */
export type Values = Readonly<Record<string, string | boolean | undefined>>;

const SHARED: Options = { json: { type: "boolean" }, help: { type: "boolean", short: "h" } };

/** A program that a person runs: parses options, explains itself, and exits 0, 1 (refused) or 2 (misused). */
export async function runProgram(program: {
  readonly usage: string;
  readonly options: Options;
  readonly argv: readonly string[];
  readonly run: (values: Values, voice: Voice) => Promise<void>;
}): Promise<void> {
  const isJson = program.argv.includes("--json");
  try {
    const values = readOptions(program.argv, { ...SHARED, ...program.options });
    if (values["help"] === true) {
      console.log(program.usage);
      return;
    }
    await program.run(values, voice(isJson));
  } catch (error) {
    report(error, isJson, program.usage);
  }
}

function readOptions(argv: readonly string[], options: Options): Values {
  try {
    return parseArgs({ args: [...argv], options, allowPositionals: false }).values as Values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

function voice(isJson: boolean): Voice {
  return {
    say(line) {
      if (!isJson) console.log(line);
    },
    finish(outcome, lines) {
      if (isJson) console.log(JSON.stringify(outcome));
      else for (const line of lines) console.log(line);
    },
  };
}

/** A refusal of the chain, the passkey or the protocol, on its way to the one place that prints it. */
export class Refused extends Error {
  override readonly name = "Refused";

  constructor(
    readonly code: string,
    detail: string,
  ) {
    super(detail);
  }
}

/** The value of a result, or its refusal as an exception of the program. */
export function orRefuse<T>(result: Result<T>): T {
  if (!result.ok) throw new Refused(result.failure.code, result.failure.detail);
  return result.value;
}

function report(error: unknown, isJson: boolean, usage: string): void {
  const isMisuse = error instanceof UsageError;
  const code = error instanceof Refused ? error.code : isMisuse ? "usage" : "internal_error";
  const detail = error instanceof Error ? error.message : String(error);
  process.exitCode = isMisuse ? 2 : 1;
  if (isJson) {
    console.log(JSON.stringify({ ok: false, code, detail }));
    return;
  }
  console.error(`${detail} [${code}]`);
  if (isMisuse) console.error(`${usage.split("\n", 1).join("")}\n(--help says more)`);
  else if (!(error instanceof Refused) && error instanceof Error) console.error(error.stack);
}

/** The text of an option, or undefined. */
export function text(values: Values, name: string): string | undefined {
  const value = values[name];
  return typeof value === "string" ? value : undefined;
}

/** The texts of an option that may be given more than once. */
export function texts(values: Values, name: string): readonly string[] {
  const value: unknown = values[name];
  return Array.isArray(value) ? (value as string[]) : [];
}

/** The text of an option that must be given. */
export function required(values: Values, name: string): string {
  const value = text(values, name);
  if (value === undefined || value === "") throw new UsageError(`--${name} is missing`);
  return value;
}

import type { Answer } from "../helpers/http";
import type { World } from "./world";

/** One line of `npm run drills -- --json`. */
export interface DrillReport {
  readonly drill: string;
  /** Every attempt was refused, with the code that it must be refused with. */
  readonly refused: boolean;
  /** Who refused, each by itself. */
  readonly by: readonly string[];
  /** The code of the first refusal. */
  readonly code: string;
  /** The same request, made honestly, worked beside the attack. */
  readonly honest: boolean;
  /** How many attacks were tried. */
  readonly attempts: number;
}

/** One row of the system note's table: an attack against real processes, and its honest twin. */
export interface Drill {
  readonly id: string;
  /** What the attacker has and tries. */
  readonly title: string;
  run(world: World, log: DrillLog): Promise<void>;
}

/** Collects what a drill saw; a wrong outcome throws with what was expected and what came. */
export class DrillLog {
  readonly by = new Set<string>();
  private readonly codes: string[] = [];
  private attempts = 0;
  private honestCount = 0;

  constructor(readonly drill: string) {}

  /** The attack must have been refused by `by` with this status class and code (and reason). */
  refused(by: string, attack: string, answer: Answer, code: string | readonly string[], reason?: string): void {
    const wanted = typeof code === "string" ? [code] : code;
    this.attempts += 1;
    if (answer.status < 400 || answer.code === undefined || !wanted.includes(answer.code)) {
      throw new Error(
        `${this.drill}: ${by} answered "${attack}" with ${String(answer.status)} ${answer.code ?? ""}, not ${wanted.join("/")}`,
      );
    }
    if (reason !== undefined && answer.reason !== reason) {
      throw new Error(`${this.drill}: ${by} gave reason ${answer.reason ?? "none"} for "${attack}", not ${reason}`);
    }
    this.by.add(by);
    this.codes.push(answer.code);
  }

  /** The attack failed at someone who speaks no HTTP: a contract (its error's name) or the client (its code). */
  refusedBy(by: string, attack: string, got: string | undefined, code: string): void {
    this.attempts += 1;
    if (got !== code)
      throw new Error(`${this.drill}: ${by} answered "${attack}" with ${got ?? "success"}, not ${code}`);
    this.by.add(by);
    this.codes.push(code);
  }

  /** The honest twin must have worked. */
  honest(what: string, worked: boolean, saw = ""): void {
    if (!worked) throw new Error(`${this.drill}: the honest path failed: ${what} ${saw}`);
    this.honestCount += 1;
  }

  /** Neither the attack nor its honest twin may be missing from a report. */
  report(): DrillReport {
    const code = this.codes[0];
    if (code === undefined) throw new Error(`${this.drill}: nothing was attacked`);
    if (this.honestCount === 0) throw new Error(`${this.drill}: the honest path was not tried`);
    return { drill: this.drill, refused: true, by: [...this.by], code, honest: true, attempts: this.attempts };
  }
}

/** Runs one drill; throws where the attack was not refused or the honest path did not work. */
export async function runDrill(drill: Drill, world: World): Promise<DrillReport> {
  const log = new DrillLog(drill.id);
  await drill.run(world, log);
  return log.report();
}

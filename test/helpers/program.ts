import { spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";

const ROOT = resolve(__dirname, "../..");

/** What a program came to. */
export interface Outcome {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  /** The one line of `--json`. */
  json(): Readonly<Record<string, unknown>>;
}

/** Runs one of `scripts/` to its end, as `npm run <name> -- …` does, without the environment's keys. */
export async function runScript(
  name: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  watch: { readonly onStderr?: (text: string) => void; readonly signal?: AbortSignal } = {},
): Promise<Outcome> {
  const inherited = { ...process.env };
  for (const variable of ["DEPLOYER_KEY", "MAINNET_CONFIRM", "CHAIN_RPC_URL", "CUSTOM_RPC_URL"]) {
    Reflect.deleteProperty(inherited, variable);
  }
  const file = join(ROOT, "scripts", `${name}.ts`);
  const child = spawn(process.execPath, ["--import", "tsx", file, ...args], {
    cwd: ROOT,
    env: { ...inherited, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  watch.signal?.addEventListener("abort", () => child.kill());
  let stdout = "";
  let stderr = "";
  child.stdout.on("data", (chunk: Buffer) => (stdout += chunk.toString()));
  child.stderr.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
    watch.onStderr?.(stderr);
  });
  const [code] = (await once(child, "close")) as [number | null];
  return {
    code,
    stdout,
    stderr,
    json() {
      const lines = stdout.trim().split("\n");
      if (lines.length !== 1) throw new Error(`not one line of JSON: ${stdout}\n${stderr}`);
      return JSON.parse(stdout) as Record<string, unknown>;
    },
  };
}

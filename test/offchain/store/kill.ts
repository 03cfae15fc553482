import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

/** Runs `killed-writer.ts`, kills it (SIGKILL) some milliseconds after it began, returns what it had acknowledged. */
export async function writeAndKill(kind: string, dir: string, from: number, afterMs: number): Promise<string[]> {
  const child = spawn(
    process.execPath,
    ["-r", "tsx/cjs", join(__dirname, "killed-writer.ts"), kind, dir, String(from)],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const words: string[] = [];
  const gone = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) {
    if (line === "ready") setTimeout(() => child.kill("SIGKILL"), afterMs);
    else words.push(line);
  }
  await gone;
  if (child.signalCode !== "SIGKILL") throw new Error(`the writer ended by itself: ${String(child.exitCode)}`);
  return words;
}

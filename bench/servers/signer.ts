import { spawn } from "node:child_process";
import { once } from "node:events";
import { join, resolve } from "node:path";
import type { Duplex } from "node:stream";

/** Front and vault as two processes with a pipe between them, as `offchain/signer/main.ts` starts them. */
const ROOT = resolve(__dirname, "../..");
const program = (file: string): string[] => [...process.execArgv, join(ROOT, file)];

const vault = spawn(process.execPath, program("bench/servers/vault.ts"), {
  stdio: ["pipe", "inherit", "inherit", "pipe"],
});
const pipe = vault.stdio[3] as Duplex;
const front = spawn(process.execPath, program("offchain/signer/front/main.ts"), {
  stdio: ["pipe", "inherit", "inherit", pipe],
});
pipe.destroy();
process.on("SIGTERM", () => {
  front.kill("SIGTERM");
  void once(front, "exit").then(() => {
    vault.kill("SIGTERM");
    void once(vault, "exit").then(() => process.exit());
  });
});

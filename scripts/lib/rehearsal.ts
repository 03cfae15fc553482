import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";

/** A Hardhat node that lives as long as a program wants it. */
export interface RehearsalNode {
  readonly url: string;
  stop(): Promise<void>;
}

/** Starts a node on a free port, for `--network hardhat`. */
export async function startNode(): Promise<RehearsalNode> {
  const hardhat = require.resolve("hardhat/internal/cli/bootstrap");
  const child = spawn(process.execPath, [hardhat, "node", "--hostname", "127.0.0.1", "--port", "0"], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const gone = once(child, "exit");
  for await (const line of createInterface({ input: child.stdout })) {
    const url = /JSON-RPC server at (http:\/\/[^/\s]+)/.exec(line)?.[1];
    if (url === undefined) continue;
    child.stdout.resume();
    return {
      url,
      async stop() {
        child.kill("SIGTERM");
        await gone;
      },
    };
  }
  throw new Error("the Hardhat node did not start");
}

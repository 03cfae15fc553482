import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";

import { SPONSOR_KEY_FILE, type Stack } from "./stack";

/** Writes where a running stack is, mode 0600, for programs that join it (`--stack FILE`). */
export function writeStackFile(file: string, stack: Stack): void {
  const { rpcUrl, chainId, contracts, entryPoint, deployment, urls, developmentKey } = stack;
  const described = {
    rpcUrl,
    chainId,
    contracts,
    entryPoint,
    entryPointVersion: deployment.entryPointVersion,
    urls,
    developmentKey,
    sponsorKeyFile: join(stack.dir, SPONSOR_KEY_FILE),
    workerSealKeys: { credentials: stack.workerSealKey() },
    certs: join(stack.dir, "certs"),
  };
  mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
  writeFileSync(file, `${JSON.stringify(described, null, 2)}\n`, { mode: 0o600 });
}

/** Takes it away: what it names is about to end, and another program may soon have its ports. */
export function removeStackFile(file: string): void {
  rmSync(file, { force: true });
}

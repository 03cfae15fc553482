import { mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";

import { startStack } from "./lib/stack";

/** `npm start`: the local stack until Ctrl-C, described in `.agentkeys/stack.json` for any program that joins it. */
async function main(): Promise<void> {
  const state = resolve(".agentkeys");
  const stack = await startStack({
    dir: join(state, "stack"),
    say: (line) => {
      console.log(`  ${line}`);
    },
  });
  const { rpcUrl, chainId, contracts, entryPoint, urls, developmentKey } = stack;
  mkdirSync(state, { recursive: true, mode: 0o700 });
  const file = join(state, "stack.json");
  const { entryPointVersion } = stack.deployment;
  const described = {
    rpcUrl,
    chainId,
    contracts,
    entryPoint,
    entryPointVersion,
    urls,
    developmentKey,
    workerSealKeys: { credentials: stack.workerSealKey() },
    certs: join(stack.dir, "certs"),
  };
  writeFileSync(file, `${JSON.stringify(described, null, 2)}\n`, { mode: 0o600 });
  console.log(`\nThe stack runs; ${file} says where. Ctrl-C stops it.`);
  console.log(
    `  chain    ${rpcUrl}\n  broker   ${urls.broker}\n  worker   ${urls.worker.credentials}\n  signer   ${urls.signer}`,
  );
  const idle = setInterval(() => undefined, 60_000);
  let isStopping = false;
  const stop = (): void => {
    if (isStopping) return;
    isStopping = true;
    clearInterval(idle);
    console.log("\nStopping.");
    void stack.stop().then(() => process.exit());
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

import { join, resolve } from "node:path";

import { startStack } from "./lib/stack";
import { removeStackFile, writeStackFile } from "./lib/stack-file";

/** `npm start`: the local stack until Ctrl-C, described in `.agentkeys/stack.json` for any program that joins it. */
async function main(): Promise<void> {
  const state = resolve(".agentkeys");
  const file = join(state, "stack.json");
  // of a stack that was killed
  removeStackFile(file);
  const stack = await startStack({
    dir: join(state, "stack"),
    say: (line) => {
      console.log(`  ${line}`);
    },
  });
  writeStackFile(file, stack);
  const { rpcUrl, urls } = stack;
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
    removeStackFile(file);
    void stack.stop().then(() => process.exit());
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

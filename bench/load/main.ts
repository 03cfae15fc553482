import { readFileSync } from "node:fs";

import { keccakReady } from "../../offchain/wire/keccak";
import { fire } from "./fire";
import { type LoadPlan, SCENARIOS } from "./scenarios";

/** Prepares every request of the plan on standard input, sends them, and prints what came of it as one JSON line. */
async function main(): Promise<void> {
  const plan = JSON.parse(readFileSync(0, "utf8")) as LoadPlan;
  await keccakReady();
  const requests = SCENARIOS[plan.scenario](plan);
  console.log(JSON.stringify(await fire(plan.origin, requests, plan.connections, plan.expected, plan.tls)));
}

main().catch((error: unknown) => {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
});

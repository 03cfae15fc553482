import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { BROKER_VARIABLES } from "../offchain/broker/config";
import { CHAIN_VARIABLES } from "../offchain/http/chain-config";
import type { Variable } from "../offchain/http/config";
import { SIDECAR_VARIABLES } from "../offchain/sidecar/config";
import { FRONT_VARIABLES } from "../offchain/signer/front/config";
import { VAULT_VARIABLES } from "../offchain/signer/vault/config";
import { WORKER_VARIABLES } from "../offchain/worker/config";

const FILE = join(__dirname, "..", ".env.example");
type Variables = Readonly<Record<string, Variable<unknown>>>;

/** `.env.example` as the services' own tables of variables say it. */
export function envExample(): string {
  const shared = new Set(Object.values<Variable<unknown>>(CHAIN_VARIABLES).map((one) => one.name));
  const rooms: readonly [string, Variables][] = [
    ["Broker", BROKER_VARIABLES],
    ["Worker, one process per data class", WORKER_VARIABLES],
    ["Signer's front", FRONT_VARIABLES],
    ["Signer's vault", VAULT_VARIABLES],
    ["Sidecar", SIDECAR_VARIABLES],
  ];
  const parts = [section("Chain, for every service", CHAIN_VARIABLES)];
  for (const [title, variables] of rooms) {
    const own = Object.entries(variables).filter(([, one]) => !shared.has(one.name));
    parts.push(section(title, Object.fromEntries(own)));
  }
  return `# Made by npm run docs from the services' own tables; a variable without a value must be set.\n\n${parts.join("\n")}`;
}

function section(title: string, variables: Variables): string {
  const lines = Object.values(variables).map((one) => `# ${one.meaning}\n${one.name}=${one.fallback ?? ""}\n`);
  return `## ${title}\n\n${lines.join("")}`;
}

if (require.main === module) {
  if (!process.argv.includes("--check")) writeFileSync(FILE, envExample());
  else if (readFileSync(FILE, "utf8") !== envExample()) {
    console.error(".env.example is stale: npm run docs");
    process.exitCode = 1;
  }
}

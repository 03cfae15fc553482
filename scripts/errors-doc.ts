import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

import { PROBLEMS, PROBLEM_TYPE_BASE } from "../offchain/wire/problem";

const FILE = join(__dirname, "..", "docs", "errors.md");

/** `docs/errors.md` as the table of refusals says it. */
export function errorsDocument(): string {
  const rows = Object.entries(PROBLEMS).map(
    ([code, { status, title }]) => `| ${String(status)} | \`${code}\` | ${title} |`,
  );
  return `# Errors

Made by \`npm run docs\` from \`offchain/wire/problem.ts\`. Every refusal is \`application/problem+json\` (RFC 9457), its
\`type\` \`${PROBLEM_TYPE_BASE}<code>\`, its \`instance\` the value of \`x-request-id\`.

| status | code | title |
| --- | --- | --- |
${rows.join("\n")}
`;
}

if (require.main === module) {
  if (!process.argv.includes("--check")) writeFileSync(FILE, errorsDocument());
  else if (readFileSync(FILE, "utf8") !== errorsDocument()) {
    console.error("docs/errors.md is stale: npm run docs");
    process.exitCode = 1;
  }
}

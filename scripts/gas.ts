import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

interface Row {
  readonly name: string;
  readonly evm: string;
  readonly gas: number;
}

const ROOT = join(__dirname, "..");
const FILE = join(ROOT, "docs", "gas.md");
const EVMS = ["osaka", "prague", "cancun"] as const;

/** The most that each row may cost. */
const LIMITS: Readonly<Record<string, number>> = {
  "account.call osaka": 93_000,
  "account.call cancun": 259_000,
  "account.call.added osaka": 100_000,
  "account.call.added cancun": 265_000,
  "account.create osaka": 188_000,
  "account.create cancun": 356_000,
  "account.call.heima prague": 95_000,
  "registry.registerAgentDevice osaka": 140_000,
  "registry.registerAgentDevice.further osaka": 120_000,
  "scope.setGrants.1 osaka": 88_000,
  "scope.setGrants.1.later osaka": 71_000,
  "scope.setGrants.10 osaka": 88_000 + 9 * 53_000,
  "scope.checkAccess osaka": 28_000,
  "recovery.start.finish osaka": 250_000,
  "session.grant.1 osaka": 85_000,
  "session.grant.1.later osaka": 85_000,
  "session.call osaka": 105_000,
  "session.call.novalue osaka": 105_000,
};

function measure(): readonly Row[] {
  return EVMS.flatMap((evm) => {
    const env = { ...process.env, HARDHAT_HARDFORK: evm };
    const hardhat = join(ROOT, "node_modules", "hardhat", "internal", "cli", "bootstrap.js");
    const args = [hardhat, "run", "--no-compile", join("scripts", "lib", "gas-rows.ts")];
    const text = execFileSync(process.execPath, args, { cwd: ROOT, env, encoding: "utf8" });
    const lines = text.split("\n").filter((line) => line.startsWith("{"));
    return lines.map((line) => JSON.parse(line) as Row);
  });
}

function limitOf({ name, evm }: Row): number | undefined {
  return LIMITS[`${name} ${evm}`];
}

function gasDocument(rows: readonly Row[]): string {
  const number = (value: number): string => value.toLocaleString("en-US");
  const lines = rows.map((row) => {
    const limit = limitOf(row);
    return `| \`${row.name}\` | ${row.evm} | ${number(row.gas)} | ${limit === undefined ? "" : number(limit)} |`;
  });
  return `# Gas

Made by \`npm run gas\`; CI fails when it is stale. \`account.*\` is the whole \`handleOps\` transaction of one operation that
writes one slot, on EntryPoint v0.8 (\`.heima\`: v0.7), the account's deposit and nonce already there (\`.create\`: with the
account's deployment). \`session.call*\` is the same by a session key, each call carrying 7 wei that are counted
(\`.novalue\`: none); \`paymaster.*\` the same with the paymaster paying, its budget already used in this window
(\`.first\`: not yet). \`registry.*\`, \`scope.*\`, \`session.grant*\` and \`recovery.*\` are execution gas, without the
21,000 and the calldata; a recovery is by 2 of 3 guardians with keys, to one new passkey. The EVM \`osaka\` has the
P-256 precompile of EIP-7951, \`prague\` the one of RIP-7212, \`cancun\` none.

Passkeys and signatures are the same in every run, so every figure is exact.

| row | EVM | gas | limit |
| --- | --- | --: | --: |
${lines.join("\n")}
`;
}

function isFresh(rows: readonly Row[]): boolean {
  const written = readFileSync(FILE, "utf8");
  return rows.every(({ name, evm, gas }) => {
    const line = new RegExp(`\\| \`${name.replaceAll(".", "\\.")}\` +\\| ${evm} +\\| +([0-9,]+) \\|`).exec(
      written,
    )?.[1];
    return Number(line?.replaceAll(",", "")) === gas;
  });
}

const measured = measure();
if (process.argv.includes("--json")) for (const row of measured) console.log(JSON.stringify(row));
const above = measured.filter((row) => row.gas > (limitOf(row) ?? Infinity));
for (const row of above)
  console.error(`${row.name} (${row.evm}) costs ${String(row.gas)}: its limit is ${String(limitOf(row))}`);
if (!process.argv.includes("--check")) {
  if (!process.argv.includes("--json")) writeFileSync(FILE, gasDocument(measured));
} else if (!isFresh(measured)) {
  console.error("docs/gas.md is stale: npm run gas");
  process.exitCode = 1;
}

#!/usr/bin/env node
// The compiler that `forge` runs: the npm `solc`, behind the two options that forge uses of the native one.
import process from "node:process";
import { text } from "node:stream/consumers";

import solc from "solc";

if (process.argv.includes("--version")) {
  process.stdout.write(`solc, the solidity compiler\nVersion: ${solc.version()}\n`);
} else if (process.argv.includes("--standard-json")) {
  process.stdout.write(solc.compile(await text(process.stdin)));
} else {
  process.stderr.write("forge-solc: --version or --standard-json only\n");
  process.exitCode = 1;
}

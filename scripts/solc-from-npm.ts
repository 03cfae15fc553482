import type { SolcBuild } from "hardhat/types";

/** The compiler that npm installed, refused when it is not the version the config asks for. */
export function solcFromNpm(wanted: string): SolcBuild {
  const { version } = require("solc/package.json") as { version: string };
  if (version !== wanted) {
    throw new Error(`hardhat.config.ts asks for solc ${wanted}, node_modules has ${version}: run npm ci`);
  }
  return {
    compilerPath: require.resolve("solc/soljson.js"),
    isSolcJs: true,
    version,
    longVersion: version,
  };
}

import { readFile, readdir } from "node:fs/promises";
import { basename, join } from "node:path";

import type { Artifact, ArtifactResolver } from "@nomicfoundation/ignition-core";

/** The checkout's own `artifacts/`, as `hardhat compile` writes it, read without starting Hardhat. */
export function compiledArtifacts(root: string): ArtifactResolver {
  let paths: Promise<ReadonlyMap<string, string>> | undefined;

  async function pathOf(contractName: string): Promise<string> {
    paths ??= listArtifacts(join(root, "artifacts"));
    const path = (await paths).get(contractName);
    if (path === undefined) throw new Error(`No artifact of ${contractName}: run "npm run compile" first.`);
    return path;
  }

  return {
    async loadArtifact(contractName) {
      return JSON.parse(await readFile(await pathOf(contractName), "utf8")) as Artifact;
    },
    // only explorers' verification wants the build info, and `hardhat ignition verify` has its own resolver
    getBuildInfo: () => Promise.resolve(undefined),
  };
}

async function listArtifacts(folder: string): Promise<ReadonlyMap<string, string>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter(
    ({ name, parentPath }) =>
      name.endsWith(".json") && !name.endsWith(".dbg.json") && !parentPath.includes("build-info"),
  );
  return new Map(files.map(({ name, parentPath }) => [basename(name, ".json"), join(parentPath, name)]));
}

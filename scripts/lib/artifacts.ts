import { readFile, readdir } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";

import type { Artifact, ArtifactResolver, BuildInfo } from "@nomicfoundation/ignition-core";

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
    // kept in the journal, for `hardhat ignition verify`
    async getBuildInfo(contractName) {
      const path = await pathOf(contractName);
      const pointer = await readFile(join(dirname(path), `${contractName}.dbg.json`), "utf8");
      const { buildInfo } = JSON.parse(pointer) as { readonly buildInfo: string };
      return JSON.parse(await readFile(resolve(dirname(path), buildInfo), "utf8")) as BuildInfo;
    },
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

import type { Artifact } from "@nomicfoundation/ignition-core";
import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

import entryPointV07 from "account-abstraction-v7/artifacts/EntryPoint.json";
import entryPointV08 from "@account-abstraction/contracts/artifacts/EntryPoint.json";

/** The EntryPoint releases that master accounts run on. */
export type EntryPointVersion = "0.7" | "0.8";

/**
 * The published artifact of each EntryPoint release. The sources are GPL-3.0: they are deployed from the package as they
 * are, never compiled into ours.
 */
export const ENTRY_POINT_ARTIFACT: Readonly<Record<EntryPointVersion, Artifact>> = {
  "0.7": entryPointV07,
  "0.8": entryPointV08,
};

/** EntryPoint v0.8 for a chain that lacks it. */
export const EntryPointV08Module = buildModule("EntryPointV08", (m) => ({
  entryPoint: m.contract("EntryPoint", ENTRY_POINT_ARTIFACT["0.8"]),
}));

/** EntryPoint v0.7 for a chain that lacks it (Heima). */
export const EntryPointV07Module = buildModule("EntryPointV07", (m) => ({
  entryPoint: m.contract("EntryPoint", ENTRY_POINT_ARTIFACT["0.7"]),
}));

import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

/** The P-256 verifier for a chain without the precompile; no parameters, no owner. */
export default buildModule("P256Verifier", (m) => ({ verifier: m.contract("P256Verifier") }));

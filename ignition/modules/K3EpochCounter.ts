import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

/**
 * K3 epochs and their commitments. Parameters: `owner`, the account of governance; `firstCommitment`,
 * SHA-256("agentkeys-k3-commit" ‖ uint64 1 ‖ K3[1]) as 0x-hex.
 */
export default buildModule("K3EpochCounter", (m) => ({
  epochCounter: m.contract("K3EpochCounter", [
    m.getParameter<string>("owner"),
    m.getParameter<string>("firstCommitment"),
  ]),
}));

import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

/** Who may mint, for whom; no parameters, no owner. */
export default buildModule("SidecarRegistry", (m) => ({ sidecarRegistry: m.contract("SidecarRegistry") }));

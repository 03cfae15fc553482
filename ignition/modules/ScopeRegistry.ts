import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

import K3EpochCounter from "./K3EpochCounter";
import SidecarRegistry from "./SidecarRegistry";

/** For what, and until when; bound for ever to the SidecarRegistry and K3EpochCounter deployed with it. */
export default buildModule("ScopeRegistry", (m) => {
  const { sidecarRegistry } = m.useModule(SidecarRegistry);
  const { epochCounter } = m.useModule(K3EpochCounter);
  const scopeRegistry = m.contract("ScopeRegistry", [sidecarRegistry, epochCounter]);
  return { scopeRegistry, sidecarRegistry, epochCounter };
});

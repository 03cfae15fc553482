import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

import SidecarRegistry from "./SidecarRegistry";

/** Replaces an account's passkeys where its owner configured guardians; bound to the SidecarRegistry deployed with it. */
export default buildModule("AccountRecovery", (m) => {
  const { sidecarRegistry } = m.useModule(SidecarRegistry);
  return { accountRecovery: m.contract("AccountRecovery", [sidecarRegistry]) };
});

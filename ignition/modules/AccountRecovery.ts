import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

import SidecarRegistry from "./SidecarRegistry";

/**
 * Guardians of master accounts, bound for ever to the SidecarRegistry deployed with it, and the verifier that lets a
 * passkey be a guardian; no parameters, no owner.
 */
export default buildModule("AccountRecovery", (m) => {
  const { sidecarRegistry } = m.useModule(SidecarRegistry);
  return {
    accountRecovery: m.contract("AccountRecovery", [sidecarRegistry]),
    webAuthnGuardian: m.contract("WebAuthnGuardian"),
    sidecarRegistry,
  };
});

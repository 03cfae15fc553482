import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

import SidecarRegistry from "./SidecarRegistry";

/** What happened; bound for ever to the SidecarRegistry deployed with it. */
export default buildModule("CredentialAudit", (m) => {
  const { sidecarRegistry } = m.useModule(SidecarRegistry);
  return { credentialAudit: m.contract("CredentialAudit", [sidecarRegistry]), sidecarRegistry };
});

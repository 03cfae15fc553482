import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

import CredentialAudit from "./CredentialAudit";
import MasterAccount from "./MasterAccount";
import ScopeRegistry from "./ScopeRegistry";

/**
 * Everything of AgentKeys on one chain. Parameters: those of K3EpochCounter (`owner`, `firstCommitment`), of
 * SessionKeyValidator (`entryPoint`) and of MasterAccount (`entryPoint`, `verifier`); what the addresses are on a chain
 * is found out by scripts/deploy.ts.
 */
export default buildModule("AgentKeys", (m) => {
  const { sidecarRegistry, scopeRegistry, epochCounter } = m.useModule(ScopeRegistry);
  const { credentialAudit } = m.useModule(CredentialAudit);
  const account = m.useModule(MasterAccount);
  return { sidecarRegistry, scopeRegistry, epochCounter, credentialAudit, ...account };
});

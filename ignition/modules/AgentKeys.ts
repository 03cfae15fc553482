import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

import CredentialAudit from "./CredentialAudit";
import MasterAccount from "./MasterAccount";
import OperatorPaymaster from "./OperatorPaymaster";
import ScopeRegistry from "./ScopeRegistry";

/**
 * Everything of AgentKeys on one chain. Parameters: those of K3EpochCounter (`owner`, `firstCommitment`), of MasterAccount
 * (`entryPoint`, `verifier`) and of OperatorPaymaster (`entryPoint`, `owner`, `sponsor`); what EntryPoint and verifier are
 * on a chain is found out by scripts/deploy.ts.
 */
export default buildModule("AgentKeys", (m) => {
  const { sidecarRegistry, scopeRegistry, epochCounter } = m.useModule(ScopeRegistry);
  const { credentialAudit } = m.useModule(CredentialAudit);
  const { masterAccountFactory, accountRecovery, webAuthnGuardian } = m.useModule(MasterAccount);
  const { paymaster } = m.useModule(OperatorPaymaster);
  return {
    sidecarRegistry,
    scopeRegistry,
    epochCounter,
    credentialAudit,
    accountRecovery,
    webAuthnGuardian,
    masterAccountFactory,
    paymaster,
  };
});

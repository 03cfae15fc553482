import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

import AccountRecovery from "./AccountRecovery";
import CredentialAudit from "./CredentialAudit";
import OperatorPaymaster from "./OperatorPaymaster";
import ScopeRegistry from "./ScopeRegistry";

/**
 * What agents' operations are validated by. Parameter: `entryPoint`, an address (v0.7 or v0.8).
 *
 * The factory is not among the contracts that no key may call: it names the validator and comes after it. What it does,
 * deploying somebody's account, is open to everybody.
 */
export default buildModule("SessionKeyValidator", (m) => {
  const { sidecarRegistry, scopeRegistry, epochCounter } = m.useModule(ScopeRegistry);
  const { credentialAudit } = m.useModule(CredentialAudit);
  const { accountRecovery, webAuthnGuardian } = m.useModule(AccountRecovery);
  const { paymaster } = m.useModule(OperatorPaymaster);
  const own = [sidecarRegistry, scopeRegistry, epochCounter, credentialAudit, webAuthnGuardian, paymaster];
  const entryPoint = m.getParameter("entryPoint");
  return {
    sessionKeyValidator: m.contract("SessionKeyValidator", [entryPoint, accountRecovery, own]),
    accountRecovery,
    webAuthnGuardian,
  };
});

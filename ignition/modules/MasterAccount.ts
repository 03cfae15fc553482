import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

import SessionKeyValidator from "./SessionKeyValidator";

/**
 * The master account's factory, which deploys the implementation itself; its accounts' session validator and recovery
 * contract are those deployed with it.
 *
 * Parameters, both addresses: `entryPoint` (v0.7 or v0.8), `verifier` (what answers for P-256 signatures: 0x…0100 where
 * a probe found the precompile, else a contract with its interface).
 */
export default buildModule("MasterAccount", (m) => {
  const { sessionKeyValidator, accountRecovery, webAuthnGuardian } = m.useModule(SessionKeyValidator);
  const masterAccountFactory = m.contract("MasterAccountFactory", [
    m.getParameter("entryPoint"),
    m.getParameter("verifier"),
    sessionKeyValidator,
    accountRecovery,
  ]);
  return { masterAccountFactory, sessionKeyValidator, accountRecovery, webAuthnGuardian };
});

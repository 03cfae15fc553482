import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

import AccountRecovery from "./AccountRecovery";

const NOBODY = "0x0000000000000000000000000000000000000000";

/**
 * The master account's factory, which deploys the implementation itself, and the recovery contract of its accounts.
 *
 * Parameters, all addresses: `entryPoint` (v0.7 or v0.8), `verifier` (what answers for P-256 signatures: 0x…0100 where
 * a probe found the precompile, else a contract with its interface), `sessionValidator`.
 */
const MasterAccountModule = buildModule("MasterAccount", (m) => {
  const { accountRecovery, webAuthnGuardian } = m.useModule(AccountRecovery);
  const masterAccountFactory = m.contract("MasterAccountFactory", [
    m.getParameter("entryPoint"),
    m.getParameter("verifier"),
    m.getParameter("sessionValidator", NOBODY),
    accountRecovery,
  ]);
  return { masterAccountFactory, accountRecovery, webAuthnGuardian };
});

export default MasterAccountModule;

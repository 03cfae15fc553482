import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

/**
 * The master account's factory, which deploys the implementation itself.
 *
 * Parameters, both addresses: `entryPoint` (v0.7 or v0.8), `verifier` (what answers for P-256 signatures: 0x…0100 where
 * a probe found the precompile, else a contract with its interface).
 */
const NOBODY = "0x0000000000000000000000000000000000000000";

const MasterAccountModule = buildModule("MasterAccount", (m) => ({
  masterAccountFactory: m.contract("MasterAccountFactory", [
    m.getParameter("entryPoint"),
    m.getParameter("verifier"),
    m.getParameter("sessionValidator", NOBODY),
    m.getParameter("recovery", NOBODY),
  ]),
}));

export default MasterAccountModule;

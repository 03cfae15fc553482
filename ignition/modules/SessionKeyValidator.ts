import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

/**
 * The validator that agents' sessions live in; no owner. Deployed before the master accounts' factory, which fixes it in
 * the accounts.
 *
 * Parameters: `entryPoint` (v0.7 or v0.8), `recovery` (the accounts' recovery contract), `ownContracts` (everything else
 * of AgentKeys that no session key may call: registries, epoch counter, audit, paymaster, and the factory's address to be).
 */
export default buildModule("SessionKeyValidator", (m) => ({
  sessionKeyValidator: m.contract("SessionKeyValidator", [
    m.getParameter<string>("entryPoint"),
    m.getParameter<string>("recovery"),
    m.getParameter<string[]>("ownContracts"),
  ]),
}));

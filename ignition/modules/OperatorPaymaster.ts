import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";

const NOBODY = "0x0000000000000000000000000000000000000000";

/**
 * The paymaster, without deposit and stake. Parameters, all addresses: `entryPoint` (the accounts' own), `owner` (budgets,
 * sponsors, deposit and stake), `sponsor` (the first signer; by default none).
 */
export default buildModule("OperatorPaymaster", (m) => ({
  paymaster: m.contract("OperatorPaymaster", [
    m.getParameter<string>("entryPoint"),
    m.getParameter<string>("owner"),
    m.getParameter("sponsor", NOBODY),
  ]),
}));

import { expect } from "chai";

import { contractError, contractFailure, namesOfContractProblems } from "../../../offchain/chain/contract-errors";
import { ZERO32 } from "../../../offchain/wire/bytes";
import {
  IAccountRecovery__factory,
  IK3EpochCounter__factory,
  IOperatorPaymaster__factory,
  IScopeRegistry__factory,
  ISessionKeyValidator__factory,
  ISidecarRegistry__factory,
  K3EpochCounter__factory,
} from "../../../typechain-types";

const CONTRACTS = [
  ISidecarRegistry__factory.createInterface(),
  IScopeRegistry__factory.createInterface(),
  IK3EpochCounter__factory.createInterface(),
  IOperatorPaymaster__factory.createInterface(),
  ISessionKeyValidator__factory.createInterface(),
  IAccountRecovery__factory.createInterface(),
];

describe("contractFailure", () => {
  it("knows every error of the registries, of the session validator and of recovery", () => {
    const names = new Set<string>();
    for (const contract of CONTRACTS) contract.forEachError(({ name }) => names.add(name));
    expect(namesOfContractProblems()).to.include.members([...names]);
  });

  it("knows no error that no contract has", () => {
    const contracts = [...CONTRACTS, K3EpochCounter__factory.createInterface()];
    for (const name of namesOfContractProblems()) {
      expect(
        contracts.some((contract) => contract.getError(name) !== null),
        name,
      ).to.equal(true);
    }
  });

  it("goes by the decoded name", () => {
    const sidecarRegistry = ISidecarRegistry__factory.createInterface();
    const data = sidecarRegistry.encodeErrorResult("OperatorIsFrozen", [ZERO32]);
    expect(contractFailure(data)).to.include({ code: "operator_frozen" });
    expect(contractError(data)?.args["operatorOmni"]).to.equal(ZERO32);
  });

  it("calls anything else an internal error, by its selector", () => {
    expect(contractFailure("0x08c379a0")).to.deep.equal({
      code: "internal_error",
      detail: "The contract reverted with 0x08c379a0.",
    });
    expect(contractFailure("0x").code).to.equal("internal_error");
  });
});

import type { Interface } from "ethers";

import {
  IAccountRecovery__factory,
  ICredentialAudit__factory,
  IK3EpochCounter__factory,
  IMasterAccount__factory,
  IScopeRegistry__factory,
  ISessionKeyValidator__factory,
  ISidecarRegistry__factory,
} from "../../typechain-types";
import type { Hex } from "../wire/bytes";
import type { Deployment } from "./deployment";

/** A contract whose calls can be put into words. */
export interface KnownContract {
  readonly name: string;
  /** Lowercase. */
  readonly address: Hex;
  readonly abi: Interface;
}

/** Our contracts, and the account itself, as an operation may call them. */
export function knownContracts({ contracts }: Deployment, account: Hex): readonly KnownContract[] {
  return [
    { name: "SidecarRegistry", address: contracts.SidecarRegistry, abi: ISidecarRegistry__factory.createInterface() },
    { name: "ScopeRegistry", address: contracts.ScopeRegistry, abi: IScopeRegistry__factory.createInterface() },
    { name: "K3EpochCounter", address: contracts.K3EpochCounter, abi: IK3EpochCounter__factory.createInterface() },
    { name: "CredentialAudit", address: contracts.CredentialAudit, abi: ICredentialAudit__factory.createInterface() },
    {
      name: "SessionKeyValidator",
      address: contracts.SessionKeyValidator,
      abi: ISessionKeyValidator__factory.createInterface(),
    },
    { name: "AccountRecovery", address: contracts.AccountRecovery, abi: IAccountRecovery__factory.createInterface() },
    { name: "MasterAccount", address: account, abi: IMasterAccount__factory.createInterface() },
  ];
}

import { type ContractRunner, FetchRequest, JsonRpcProvider } from "ethers";

import {
  type IAccountRecovery,
  IAccountRecovery__factory,
  type ICredentialAudit,
  ICredentialAudit__factory,
  type IK3EpochCounter,
  IK3EpochCounter__factory,
  type IMasterAccount,
  type IMasterAccountFactory,
  IMasterAccountFactory__factory,
  IMasterAccount__factory,
  type IScopeRegistry,
  IScopeRegistry__factory,
  type IOperatorPaymaster,
  IOperatorPaymaster__factory,
  type ISessionKeyValidator,
  ISessionKeyValidator__factory,
  type ISidecarRegistry,
  ISidecarRegistry__factory,
} from "../../typechain-types";
import type { SessionStruct } from "../../typechain-types/contracts/interfaces/ISessionKeyValidator";
import type { Hex } from "../wire/bytes";
import type { Deployment } from "./deployment";

/** A session as the validator takes it. */
export type { SessionStruct };

/** The contracts as programs of the operator and of governance call them; services use `chainReader` instead. */
export interface Contracts {
  readonly sidecarRegistry: ISidecarRegistry;
  readonly scopeRegistry: IScopeRegistry;
  readonly k3EpochCounter: IK3EpochCounter;
  readonly credentialAudit: ICredentialAudit;
  readonly recovery: IAccountRecovery;
  readonly factory: IMasterAccountFactory;
  readonly paymaster: IOperatorPaymaster;
  readonly sessionValidator: ISessionKeyValidator;
}

/** An RPC for programs that also send transactions: nothing cached, nothing batched, the network asked for once. */
export function connectRpc(url: string, chainId?: number): JsonRpcProvider {
  const request = new FetchRequest(url);
  request.timeout = 20_000;
  const provider = new JsonRpcProvider(request, chainId, { staticNetwork: true, cacheTimeout: -1, batchMaxCount: 1 });
  provider.pollingInterval = chainId === 31337 ? 50 : 1_000;
  return provider;
}

/** The contracts of a deployment. */
export function connectContracts({ contracts }: Deployment, runner: ContractRunner): Contracts {
  return {
    sidecarRegistry: ISidecarRegistry__factory.connect(contracts.SidecarRegistry, runner),
    scopeRegistry: IScopeRegistry__factory.connect(contracts.ScopeRegistry, runner),
    k3EpochCounter: IK3EpochCounter__factory.connect(contracts.K3EpochCounter, runner),
    credentialAudit: ICredentialAudit__factory.connect(contracts.CredentialAudit, runner),
    recovery: IAccountRecovery__factory.connect(contracts.AccountRecovery, runner),
    factory: IMasterAccountFactory__factory.connect(contracts.MasterAccountFactory, runner),
    paymaster: IOperatorPaymaster__factory.connect(contracts.OperatorPaymaster, runner),
    sessionValidator: ISessionKeyValidator__factory.connect(contracts.SessionKeyValidator, runner),
  };
}

/** The account at an address. */
export function connectAccount(address: Hex, runner: ContractRunner): IMasterAccount {
  return IMasterAccount__factory.connect(address, runner);
}

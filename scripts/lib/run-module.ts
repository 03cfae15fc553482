import {
  type ArtifactResolver,
  type DeploymentParameters,
  type DeploymentResult,
  DeploymentResultType,
  type IgnitionModule,
  type IgnitionModuleResult,
  deploy,
} from "@nomicfoundation/ignition-core";

import type { SigningProvider } from "./signing-provider";

/** Addresses by the module's own result names. */
export type ModuleAddresses<Name extends string> = Readonly<Record<Name, string>>;

/**
 * Runs one Ignition module against a node, outside Hardhat's own tasks, so that programs, tests and the demo deploy by
 * the same modules as `hardhat ignition deploy`.
 * @param deploymentDir the journal; undefined keeps it in memory, for a node that lives as long as the program
 */
export async function runModule<Id extends string, Name extends string, R extends IgnitionModuleResult<Name>>(options: {
  readonly module: IgnitionModule<Id, Name, R>;
  readonly parameters: DeploymentParameters;
  readonly provider: SigningProvider;
  readonly artifacts: ArtifactResolver;
  readonly isDevelopment: boolean;
  readonly deploymentDir: string | undefined;
}): Promise<ModuleAddresses<Name>> {
  const { module, parameters, provider, artifacts, isDevelopment, deploymentDir } = options;
  const [sender] = provider.accounts;
  if (sender === undefined) throw new Error("There is no account to deploy from: give a funded key.");
  const result = await deploy({
    config: isDevelopment ? { blockPollingInterval: 20, requiredConfirmations: 1 } : {},
    artifactResolver: artifacts,
    provider,
    ignitionModule: module,
    deploymentParameters: parameters,
    accounts: [...provider.accounts],
    defaultSender: sender,
    ...(deploymentDir === undefined ? {} : { deploymentDir }),
  });
  if (result.type !== DeploymentResultType.SUCCESSFUL_DEPLOYMENT) throw new Error(wordsFor(module.id, result));
  const { contracts } = result;
  return Object.fromEntries(
    Object.entries<{ id: string }>(module.results).map(([name, future]) => {
      const address = contracts[future.id]?.address;
      if (address === undefined) throw new Error(`${module.id} did not deploy ${name}`);
      return [name, address.toLowerCase()];
    }),
  ) as Record<Name, string>;
}

function wordsFor(
  id: string,
  result: Exclude<DeploymentResult, { type: DeploymentResultType.SUCCESSFUL_DEPLOYMENT }>,
): string {
  if (result.type === DeploymentResultType.EXECUTION_ERROR) {
    const words = [
      ...result.failed.map(({ futureId, error }) => `${futureId}: ${error}`),
      ...result.timedOut.map(({ futureId }) => `${futureId}: timed out; run again to go on`),
    ];
    return `${id} was not deployed. ${words.join("; ")}`;
  }
  const words = Object.entries(result.errors).map(([futureId, errors]) => `${futureId}: ${errors.join(", ")}`);
  return `${id} was not deployed (${result.type}). ${words.join("; ")}`;
}

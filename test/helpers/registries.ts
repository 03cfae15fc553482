import { resolve } from "node:path";

import type { JsonRpcProvider, JsonRpcSigner } from "ethers";

import ScopeRegistryModule from "../../ignition/modules/ScopeRegistry";
import { toHex } from "../../offchain/wire/bytes";
import { compiledArtifacts } from "../../scripts/lib/artifacts";
import { runModule } from "../../scripts/lib/run-module";
import { signingProvider } from "../../scripts/lib/signing-provider";
import type { Hex } from "../../offchain/wire/bytes";
import {
  type K3EpochCounter,
  K3EpochCounter__factory,
  type ScopeRegistry,
  ScopeRegistry__factory,
  type SidecarRegistry,
  SidecarRegistry__factory,
} from "../../typechain-types";

/** The three contracts that decide, deployed by their Ignition modules, with an ordinary account as master. */
export interface Registries {
  readonly addresses: { readonly sidecarRegistry: Hex; readonly scopeRegistry: Hex; readonly k3EpochCounter: Hex };
  readonly sidecarRegistry: SidecarRegistry;
  readonly scopeRegistry: ScopeRegistry;
  readonly k3EpochCounter: K3EpochCounter;
  /** Deployer, owner of the epoch counter, and a master account as any account may be one. */
  readonly master: JsonRpcSigner;
}

/** Commitment of epoch 1 where a test needs no key behind it. */
export const SOME_COMMITMENT = toHex(Buffer.alloc(32, 0x33));

/** Deploys the registries to a development node. */
export async function deployRegistries(provider: JsonRpcProvider): Promise<Registries> {
  const master = await provider.getSigner(0);
  const deployed = await runModule({
    module: ScopeRegistryModule,
    parameters: { K3EpochCounter: { owner: master.address, firstCommitment: SOME_COMMITMENT } },
    provider: await signingProvider(provider, 31337, undefined),
    artifacts: compiledArtifacts(resolve(__dirname, "../..")),
    isDevelopment: true,
    deploymentDir: undefined,
  });
  const addresses = {
    sidecarRegistry: deployed["sidecarRegistry"] as Hex,
    scopeRegistry: deployed["scopeRegistry"] as Hex,
    k3EpochCounter: deployed["epochCounter"] as Hex,
  };
  return {
    addresses,
    sidecarRegistry: SidecarRegistry__factory.connect(addresses.sidecarRegistry, master),
    scopeRegistry: ScopeRegistry__factory.connect(addresses.scopeRegistry, master),
    k3EpochCounter: K3EpochCounter__factory.connect(addresses.k3EpochCounter, master),
    master,
  };
}

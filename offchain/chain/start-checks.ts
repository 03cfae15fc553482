import type { Interface } from "ethers";

import { IScopeRegistry__factory, ISidecarRegistry__factory } from "../../typechain-types";
import { type Hex, toHex } from "../wire/bytes";
import { domainSeparator } from "../wire/eip712";
import { type Result, refuse } from "../wire/result";
import { decodeStrictly } from "./decode-strictly";
import type { BlockRead } from "./read-at";

/** The three contracts that decisions are made by, lowercase. */
export interface RegistryAddresses {
  readonly sidecarRegistry: Hex;
  readonly scopeRegistry: Hex;
  readonly k3EpochCounter: Hex;
}

const SIDECAR = ISidecarRegistry__factory.createInterface();
const SCOPE = IScopeRegistry__factory.createInterface();

/**
 * Code at every address, contracts that name each other, and a registry whose signatures are for this chain and this
 * address. @see protocol 3.5
 * @returns `chain_unavailable` naming the first that failed; undefined when all is well
 */
export async function startChecks(options: {
  readonly chainId: number;
  readonly contracts: RegistryAddresses;
  readonly view: (read: BlockRead) => Promise<Result<Hex>>;
}): Promise<Result<never> | undefined> {
  const { chainId, contracts, view } = options;
  const { sidecarRegistry, scopeRegistry, k3EpochCounter } = contracts;
  const named = { SidecarRegistry: sidecarRegistry, ScopeRegistry: scopeRegistry, K3EpochCounter: k3EpochCounter };

  for (const [name, address] of Object.entries(named)) {
    const code = await view({ method: "eth_getCode", params: [address] });
    if (!code.ok) return code;
    if (code.value === "0x") return failed(`no code at the address of ${name}`);
  }

  const domain = toHex(domainSeparator({ chainId, registry: sidecarRegistry }));
  const views: readonly { of: string; contract: Interface; at: Hex; view: string; expected: Hex }[] = [
    { of: "ScopeRegistry", contract: SCOPE, at: scopeRegistry, view: "sidecarRegistry", expected: sidecarRegistry },
    { of: "ScopeRegistry", contract: SCOPE, at: scopeRegistry, view: "epochCounter", expected: k3EpochCounter },
    { of: "SidecarRegistry", contract: SIDECAR, at: sidecarRegistry, view: "domainSeparator", expected: domain },
  ];
  for (const { of, contract, at, view: name, expected } of views) {
    const params = [{ to: at, data: contract.encodeFunctionData(name) }];
    const answer = await view({ method: "eth_call", params });
    if (!answer.ok) return answer;
    const value = decodeStrictly(contract, name, answer.value)?.[0] as string | undefined;
    if (value?.toLowerCase() !== expected) return failed(`${of}.${name}() is not ${expected}`);
  }
  return undefined;
}

function failed(detail: string): Result<never> {
  return refuse("chain_unavailable", `The contracts are not those configured: ${detail}.`);
}

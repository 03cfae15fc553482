import { type ContractTransactionResponse, type TransactionResponse, getBytes, id } from "ethers";

import { CAP_MINT, testDevice } from "./device";
import { NO_END, type Registries, registerAgent, registerMaster, registries } from "./registry";

/** One row of the gas table. */
export interface GasRow {
  readonly name: string;
  /** Execution gas: without the 21,000 of every transaction and without its calldata. */
  readonly gas: number;
}

const BASE = 21_000;
const PER_ZERO = 4;
const PER_NON_ZERO = 16;
// EIP-7623: a token is a zero byte or a quarter of another, and a transaction pays at least this for each.
const FLOOR_PER_TOKEN = 10;

/** Measures the registries on the in-process network; `scope.checkAccess` is the dearest of all kinds of request. */
export async function registryGasRows(): Promise<readonly GasRow[]> {
  const r = await registries();
  const first = await executionGas(await registerAgent(r, "agent-a", testDevice("gas 1")));
  const further = await executionGas(await registerAgent(r, "agent-a", testDevice("gas 2")));
  const actor = await r.sidecars.computeActorOmni(r.operator, "agent-a");
  const one = await executionGas(await r.scopes.setGrants(actor, grants(0, 1)));
  const later = await executionGas(await r.scopes.setGrants(actor, grants(1, 1)));
  const ten = await executionGas(await r.scopes.setGrants(actor, grants(2, 10)));
  return [
    { name: "registry.registerAgentDevice", gas: first },
    { name: "registry.registerAgentDevice.further", gas: further },
    { name: "scope.setGrants.1", gas: one },
    { name: "scope.setGrants.1.later", gas: later },
    { name: "scope.setGrants.10", gas: ten },
    { name: "scope.checkAccess", gas: Math.max(...(await checkAccessGas(r, actor))) },
  ];
}

function grants(start: number, count: number) {
  return Array.from({ length: count }, (_, i) => ({
    dataClass: 1,
    serviceHash: id(`service-${start + i}`),
    ops: 15,
    validUntil: NO_END,
  }));
}

// A view sent as a transaction runs with every other account and slot cold, and its receipt is exact.
async function checkAccessGas(r: Registries, actor: string): Promise<readonly number[]> {
  const master = testDevice("gas master");
  await registerMaster(r, master, { roles: CAP_MINT });
  await registerAgent(r, "agent-b", testDevice("gas 3"));
  const other = await r.sidecars.computeActorOmni(r.operator, "agent-b");
  const requests = [
    { hash: testDevice("gas 1").hash, actor },
    { hash: testDevice("gas 3").hash, actor },
    { hash: master.hash, actor },
    { hash: master.hash, actor: other },
    { hash: master.hash, actor: r.operator },
    { hash: id("unknown"), actor },
  ];
  const gas: number[] = [];
  for (const request of requests) {
    const call = await r.scopes.checkAccess.populateTransaction(
      request.hash,
      r.operator,
      request.actor,
      1,
      id("service-0"),
    );
    gas.push(await executionGas(await r.alice.sendTransaction(call)));
  }
  return gas;
}

/** Gas of a mined transaction without its base price and calldata; refused where the calldata floor hides it. */
export async function executionGas(sent: TransactionResponse | ContractTransactionResponse): Promise<number> {
  const receipt = await sent.wait();
  if (receipt === null) throw new Error(`${sent.hash} was not mined`);
  const bytes = getBytes(sent.data);
  const zeros = bytes.filter((byte) => byte === 0).length;
  const nonZeros = bytes.length - zeros;
  const used = Number(receipt.gasUsed);
  if (used === BASE + FLOOR_PER_TOKEN * (zeros + 4 * nonZeros)) throw new Error("the EIP-7623 floor hides the gas");
  return used - BASE - PER_ZERO * zeros - PER_NON_ZERO * nonZeros;
}

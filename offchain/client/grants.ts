import { Interface } from "ethers";

import type { Deployment } from "../chain/deployment";
import type { Contracts } from "../chain/connect";
import type { Hex } from "../wire/bytes";
import { DATA_CLASS_ID, type DataClass, OP_BIT, type Op, serviceHash } from "../wire/names";
import type { AccountCall } from "./account-calls";

/** One grant as an operator words it. */
export interface GrantWish {
  readonly dataClass: DataClass;
  readonly service: string;
  readonly ops: readonly Op[];
  /** Unix seconds; `NO_END` for no end. */
  readonly validUntil: number;
}

const PAGE = 100;
const SCOPE = new Interface([
  "function setGrants(bytes32 actorOmni, (uint8 dataClass, bytes32 serviceHash, uint8 ops, uint64 validUntil)[] grants)",
]);

/** Those grants that do not stand yet with exactly these operations and this end. */
export async function missingGrants(
  scopeRegistry: Contracts["scopeRegistry"],
  operatorOmni: Hex,
  actorOmni: Hex,
  wishes: readonly GrantWish[],
): Promise<readonly GrantWish[]> {
  if (wishes.length === 0) return [];
  const standing = new Set<string>();
  for (let cursor = 0n, isMore = true; isMore;) {
    const page = await scopeRegistry.grantsOf(operatorOmni, actorOmni, cursor, PAGE);
    for (const { dataClass, serviceHash: hash, ops, validUntil } of page.grants) {
      standing.add([dataClass, hash, ops, validUntil].join());
    }
    cursor = page.nextCursor;
    isMore = page.grants.length === PAGE;
  }
  return wishes.filter(({ dataClass, service, ops, validUntil }) => {
    const words = [DATA_CLASS_ID[dataClass], serviceHash(service), bitmap(ops), validUntil];
    return !standing.has(words.join());
  });
}

/** The call that sets them. */
export function setGrantsCall({ contracts }: Deployment, actorOmni: Hex, wishes: readonly GrantWish[]): AccountCall {
  const grants = wishes.map(({ dataClass, service, ops, validUntil }) => ({
    dataClass: DATA_CLASS_ID[dataClass],
    serviceHash: serviceHash(service),
    ops: bitmap(ops),
    validUntil,
  }));
  const data = SCOPE.encodeFunctionData("setGrants", [actorOmni, grants]) as Hex;
  return { to: contracts.ScopeRegistry, value: 0n, data };
}

/** What the hashes in such a call stand for, computed from the names. */
export function glossaryOf(label: string, actorOmni: Hex, wishes: readonly GrantWish[]): ReadonlyMap<Hex, string> {
  return new Map([
    [actorOmni, `agent ${label}`],
    ...wishes.map(({ service }) => [serviceHash(service), service] as const),
  ]);
}

/** The contracts' bitmap of operations; rotate needs the bit of store. */
export function bitmap(ops: readonly Op[]): number {
  return ops.reduce((bits, op) => bits | OP_BIT[op], 0);
}

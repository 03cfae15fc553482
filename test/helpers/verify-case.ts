import { type KeyObject, generateKeyPairSync } from "node:crypto";

import type { AccessFacts, AccessQuery } from "../../offchain/chain/access-facts";
import type { FactsSource } from "../../offchain/verify/ask-chain";
import { ZERO32 } from "../../offchain/wire/bytes";
import { type Domain, domainSeparator } from "../../offchain/wire/eip712";
import { publicJwk } from "../../offchain/wire/jwks";
import { NO_END } from "../../offchain/wire/names";
import type { ProblemCode } from "../../offchain/wire/problem";
import { type Failure, ok } from "../../offchain/wire/result";

/** The time at which cases are judged, Unix seconds: nothing in them reads a clock. */
export const NOW = 1_800_000_000;

const DOMAIN: Domain = { chainId: 31337, registry: "0x5fbdb2315678afecb367f032d93f642f64180aa3" };

/** EIP-712 separator of the cases; ask after `keccakReady`. */
export function caseSeparator(): Buffer {
  return domainSeparator(DOMAIN);
}

/** A K1 that the test holds, and the origin that signs with it. */
export interface TestBroker {
  readonly key: KeyObject;
  readonly kid: string;
  readonly origin: string;
}

/** A fresh K1. */
export function testBroker(): TestBroker {
  const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  return { key: privateKey, kid: publicJwk(privateKey).kid, origin: "https://broker.example.org" };
}

/** Facts that every check agrees to, with whatever the test changes. */
export function goodFacts(change: Partial<AccessFacts> = {}): AccessFacts {
  return {
    version: 1,
    deviceRegistered: true,
    deviceNotRevoked: true,
    operatorNotFrozen: true,
    deviceMayMint: true,
    binding: "self",
    isOperatorSelf: false,
    grantOps: 15,
    grantValidUntil: NO_END,
    k3Epoch: 1,
    blockTime: NOW,
    chainId: DOMAIN.chainId,
    blockHash: ZERO32,
    blockNumber: 1,
    ...change,
  };
}

/** Chain facts in this process, and everything that was asked. */
export interface CountedChain extends FactsSource {
  readonly asked: readonly AccessQuery[];
}

/** A chain that always answers this. */
export function chainOf(answer: AccessFacts | Failure): CountedChain {
  const asked: AccessQuery[] = [];
  return {
    asked,
    access(query) {
      asked.push(query);
      return Promise.resolve("code" in answer ? { ok: false, failure: answer } : ok(answer));
    },
  };
}

/** One thing that the chain can say against a cap. */
export interface ChainFault {
  readonly name: string;
  readonly facts: Partial<AccessFacts>;
  readonly code: ProblemCode;
}

/** In the order of protocol 3.5; the changes do not overlap, so any of them may be combined. */
export const CHAIN_FAULTS: readonly ChainFault[] = [
  { name: "device never registered", facts: { deviceRegistered: false }, code: "device_not_active" },
  { name: "device revoked", facts: { deviceNotRevoked: false }, code: "device_revoked" },
  { name: "operator frozen", facts: { operatorNotFrozen: false }, code: "operator_frozen" },
  { name: "no role CAP_MINT", facts: { deviceMayMint: false }, code: "device_role_missing" },
  { name: "device of another actor", facts: { binding: "none" }, code: "device_binding_mismatch" },
  { name: "no grant", facts: { grantOps: 0 }, code: "service_not_in_scope" },
  { name: "another epoch", facts: { k3Epoch: 2 }, code: "k3_epoch_mismatch" },
];

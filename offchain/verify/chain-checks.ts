import type { AccessFacts } from "../chain/access-facts";
import type { CapRequest } from "../wire/cap-request";
import { OP_BIT } from "../wire/names";
import { failure } from "../wire/result";
import type { Check } from "./check";

/** What the chain says about a cap, and when it is asked. */
export interface ChainQuestion {
  readonly cap: CapRequest;
  readonly facts: AccessFacts;
  /** Unix seconds. */
  readonly now: number;
}

const deviceIsRegistered: Check<ChainQuestion> = ({ facts }) =>
  facts.deviceRegistered ? undefined : failure("device_not_active", "The device was never registered.");

const deviceIsNotRevoked: Check<ChainQuestion> = ({ facts }) =>
  facts.deviceNotRevoked ? undefined : failure("device_revoked", "The device, or all of its actor's, was revoked.");

const operatorIsNotFrozen: Check<ChainQuestion> = ({ facts }) =>
  facts.operatorNotFrozen ? undefined : failure("operator_frozen", "The device's operator is frozen.");

const deviceMayMint: Check<ChainQuestion> = ({ facts }) =>
  facts.deviceMayMint ? undefined : failure("device_role_missing", "The device lacks the role CAP_MINT.");

/** `self`: any operation; `parent`: a master device for its operator's live agent, never to read. */
const deviceServesThisActor: Check<ChainQuestion> = ({ facts, cap }) => {
  if (facts.binding === "self") return undefined;
  if (facts.binding === "parent" && cap.op !== "fetch" && cap.op !== "classify") return undefined;
  return failure("device_binding_mismatch", "The device does not act for this operator and actor in this operation.");
};

/** Not asked of the operator's own device on the operator's own data, nor of a parent. */
const grantCoversService: Check<ChainQuestion> = ({ facts, cap, now }) => {
  if (facts.isOperatorSelf || facts.binding === "parent") return undefined;
  const isLive = Math.max(now, facts.blockTime) < facts.grantValidUntil;
  if (isLive && (facts.grantOps & OP_BIT[cap.op]) !== 0) return undefined;
  return failure("service_not_in_scope", "No live grant covers this class, service and operation.");
};

const epochIsCurrent: Check<ChainQuestion> = ({ facts, cap }) =>
  cap.k3Epoch === facts.k3Epoch ? undefined : failure("k3_epoch_mismatch", "The cap names another key epoch.");

/**
 * Protocol 3.5, in its order. Deliberately not asked: `k11CredId` and `attestationHash` (information, never
 * authority), and the chain id of the facts (the reader refuses an answer of another chain).
 */
export const CHAIN_CHECKS: readonly Check<ChainQuestion>[] = [
  deviceIsRegistered,
  deviceIsNotRevoked,
  operatorIsNotFrozen,
  deviceMayMint,
  deviceServesThisActor,
  grantCoversService,
  epochIsCurrent,
];

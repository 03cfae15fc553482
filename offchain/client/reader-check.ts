import type { DeviceRecord } from "../chain/sidecar-views";
import { deviceKeyHash } from "../wire/names";
import { isSignatureHex } from "../wire/bytes";
import { capRequestDigest } from "../wire/cap-request";
import { contentHash } from "../wire/content-hash";
import { TIER } from "../wire/names";
import type { FetchAnswer } from "../wire/redeem";
import { type Failure, failure } from "../wire/result";
import { recoverAddress } from "../wire/secp256k1";
import { type ObjectName, storeRequestOf } from "../wire/stored-by";
import type { HighWaterMark } from "./high-water-marks";

/** What a fetched object is judged by: the answer, what was asked for, the chain's word, and what was seen before. */
export interface ReaderCase {
  readonly name: ObjectName;
  readonly answer: FetchAnswer;
  readonly plaintext: Buffer;
  /** EIP-712 domain separator. */
  readonly separator: Uint8Array;
  /** The storing device as the registry knows it. */
  readonly storer: DeviceRecord | undefined;
  readonly mark: HighWaterMark | undefined;
}

/**
 * How far two honest stores may be out of order, seconds: a cap lives 300, and clocks may differ by 65. `version` is
 * the worker's word; `issued_at` is the storing device's, so a higher version does not excuse an older store.
 */
export const STORE_ORDER_SECONDS = 365;

type ReaderCheck = (one: ReaderCase) => Failure | undefined;

const contentIsWhatWasSigned: ReaderCheck = ({ answer, plaintext }) =>
  contentHash(answer.content_salt, plaintext) === answer.stored_by.content_hash
    ? undefined
    : corrupt("The content is not what was signed at its store.");

const storerSignedForThisName: ReaderCheck = ({ name, answer, separator }) => {
  const by = answer.stored_by;
  if (!isSignatureHex(by.client_sig)) return corrupt("The store carries no signature.");
  const signer = recoverAddress(capRequestDigest(separator, storeRequestOf(name, by)), by.client_sig);
  return signer !== undefined && deviceKeyHash(signer) === by.device_key_hash
    ? undefined
    : corrupt("No device signed a store of this content under this name.");
};

const storerBelongedToTheActor: ReaderCheck = ({ name, storer }) => {
  if (storer === undefined) return corrupt("The storing device was never registered.");
  const isParent = storer.tier === TIER.MASTER && storer.operatorOmni === name.operatorOmni;
  const isOwn = storer.actorOmni === name.actorOmni && storer.operatorOmni === name.operatorOmni;
  return isParent || isOwn ? undefined : corrupt("The storing device belongs to another actor.");
};

const storerWasNotRevoked: ReaderCheck = ({ answer, storer }) =>
  storer !== undefined && storer.revokedAt !== 0 && storer.revokedAt < answer.stored_by.issued_at
    ? corrupt("The storing device was revoked before this store.")
    : undefined;

const isNotBelowTheMark: ReaderCheck = ({ answer, mark }) => {
  if (mark === undefined) return undefined;
  const { version, stored_by: by } = answer;
  const isOlder = version < mark.version || by.issued_at < mark.issuedAt - STORE_ORDER_SECONDS;
  const isOther = version === mark.version && by.nonce !== mark.nonce;
  return isOlder || isOther
    ? failure("object_corrupt", "This device has seen a newer version of this object.", "rolled_back")
    : undefined;
};

/**
 * Protocol 3.4, "The client checks". Deliberately not checked: whether the storing device's generation still lives; a
 * generation's end carries no date that a store could be held against.
 */
export const READER_CHECKS: readonly ReaderCheck[] = [
  contentIsWhatWasSigned,
  storerSignedForThisName,
  storerBelongedToTheActor,
  storerWasNotRevoked,
  isNotBelowTheMark,
];

/** The first reason not to believe an answer; undefined when there is none. */
export function readerRefusal(one: ReaderCase): Failure | undefined {
  for (const check of READER_CHECKS) {
    const found = check(one);
    if (found !== undefined) return found;
  }
  return undefined;
}

function corrupt(detail: string): Failure {
  return failure("object_corrupt", detail);
}

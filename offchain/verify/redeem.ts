import type { KeyObject } from "node:crypto";

import type { AccessFacts } from "../chain/access-facts";
import type { Hex } from "../wire/bytes";
import { type ParsedCap, capSignatureIsValid, parseCap } from "../wire/cap";
import { type CapRequest, capRequestDigest } from "../wire/cap-request";
import type { DataClass, Op } from "../wire/names";
import { type ProofHeader, credentialHash } from "../wire/request-proof";
import type { ReplayEntry } from "../wire/replay-entry";
import { type Result, failure, ok, refuse } from "../wire/result";
import type { CapCache, SeenCap } from "./cap-cache";
import { type Check, firstFailure } from "./check";
import { digestSignedByDevice } from "./client-sig";
import { type FactsSource, askChain } from "./ask-chain";
import { proofEntry, verifyProof } from "./proof";
import { CAP_AHEAD_SECONDS, CAP_KEPT_SECONDS, MAX_CAP_SECONDS } from "./times";

/** What a redemption is judged by: the device's words as they arrived, and what the receiver knows by itself. */
export interface RedemptionCase {
  /** The compact JWS behind `Authorization: AgentKeys`. */
  readonly capText: string;
  /** The value of `AgentKeys-Proof`. */
  readonly proofText: string;
  readonly method: string;
  /** Configured public base URL and listed path. */
  readonly target: string;
  /** SHA-256 of the exact body bytes. */
  readonly bodyHash: Hex;
  /** What this path of this worker is for. */
  readonly route: { readonly op: Op; readonly dataClass: DataClass | undefined };
  /** The audience of this worker. */
  readonly audience: string;
  /** The broker's origin. */
  readonly issuer: string;
  /** The broker's live key of that id. */
  readonly brokerKey: (kid: string) => KeyObject | undefined;
  /** EIP-712 domain separator of chain and registry. */
  readonly separator: Uint8Array;
  /** Unix seconds. */
  readonly now: number;
  readonly chain: FactsSource;
  readonly cache?: CapCache;
  /** False skips the cap's own `client_sig` (migrations on test chains); never at the vault. @see services note 4.2 */
  readonly capPopRequired?: boolean;
}

/** A redemption that everything but content, replay store and object agrees to. */
export interface Redemption {
  readonly cap: CapRequest;
  readonly clientSig: Hex;
  /** Digest of the `CapRequest`. */
  readonly capDigest: Buffer;
  readonly proof: ProofHeader;
  /** Digest of the `RequestProof`, which binds the sealed answer. */
  readonly proofDigest: Buffer;
  readonly facts: AccessFacts;
}

interface CapFacts extends RedemptionCase {
  readonly parsed: ParsedCap;
  readonly cap: CapRequest;
}

const audienceIsThisWorker: Check<CapFacts> = ({ parsed, audience }) => {
  if (parsed.claims.aud === audience) return undefined;
  return /^agentkeys:worker:(credentials|memory|config|classify)$/.test(parsed.claims.aud)
    ? failure("cap_data_class_mismatch", "The cap is for the worker of another class.")
    : failure("broker_sig_invalid", "The cap is for another audience.");
};

const capHasNotExpired: Check<CapFacts> = ({ cap, now }) =>
  now < cap.expiresAt ? undefined : failure("cap_expired", "The cap has expired.");

const lifetimeIsShort: Check<CapFacts> = ({ cap }) =>
  cap.expiresAt - cap.issuedAt <= MAX_CAP_SECONDS
    ? undefined
    : failure("cap_lifetime_exceeded", "A cap lives at most 300 seconds.");

const opIsTheRoutes: Check<CapFacts> = ({ cap, route }) =>
  cap.op === route.op ? undefined : failure("cap_op_mismatch", "The cap is for another operation.");

const classIsTheRoutes: Check<CapFacts> = ({ cap, route }) =>
  route.dataClass === undefined || cap.dataClass === route.dataClass
    ? undefined
    : failure("cap_data_class_mismatch", "The cap is for another data class.");

const capIsNotAhead: Check<CapFacts> = ({ cap, now }) =>
  cap.issuedAt <= now + CAP_AHEAD_SECONDS ? undefined : failure("cap_pop_invalid", "The cap is dated ahead.");

/**
 * Protocol 3.4, in its order: what a well-signed cap says of itself. Deliberately not checked: how old the cap is
 * (its expiry judges it), and anything that the broker claims beyond the device's words.
 */
const CAP_CHECKS: readonly Check<CapFacts>[] = [
  audienceIsThisWorker,
  capHasNotExpired,
  lifetimeIsShort,
  opIsTheRoutes,
  classIsTheRoutes,
  capIsNotAhead,
];

/**
 * The one list for redeeming a cap, up to and including the chain facts; the worker and the vault run it each by
 * itself. @see protocol 3.4, 3.5, 3.7
 */
export async function verifyRedemption(one: RedemptionCase): Promise<Result<Redemption>> {
  const seen = brokerSignedTheCap(one);
  if (!seen.ok) return seen;
  const { parsed } = seen.value;
  const cap = parsed.claims.request;
  const refused = firstFailure(CAP_CHECKS, { ...one, parsed, cap });
  if (refused !== undefined) return { ok: false, failure: refused };
  const signed = deviceSignedTheCap(one, seen.value);
  if (!signed.ok) return signed;
  const { proofText, method, target, bodyHash, separator, now } = one;
  const hash = credentialHash(one.capText);
  const device = cap.deviceKeyHash;
  const proved = verifyProof({ proofText, method, target, bodyHash, credentialHash: hash, device, separator, now });
  if (!proved.ok) return proved;
  const asked = await askChain(one.chain, cap, one.now);
  if (!asked.ok) return asked;
  const { proof, proofDigest } = proved.value;
  return ok({
    cap,
    clientSig: parsed.claims.clientSig as Hex,
    capDigest: signed.value,
    proof,
    proofDigest,
    facts: asked.value,
  });
}

/** The entries that must be fresh: the proof's, and for what burns its cap the cap's, in this order. @see protocol 3.2 */
export function replayEntries(receiver: ReplayEntry["receiver"], one: Redemption): readonly ReplayEntry[] {
  const device = one.cap.deviceKeyHash;
  const proof = proofEntry(receiver, one.proof);
  if (one.cap.op === "fetch" || one.cap.op === "classify") return [proof];
  const cap: ReplayEntry = {
    receiver,
    kind: "cap",
    device,
    nonce: one.cap.nonce,
    issuedAt: one.cap.issuedAt,
    keepUntil: one.cap.expiresAt + CAP_KEPT_SECONDS,
  };
  return [proof, cap];
}

type Known = Pick<SeenCap, "parsed" | "key"> & { readonly digest?: Buffer };

function brokerSignedTheCap(one: RedemptionCase): Result<Known> {
  const seen = one.cache?.get(one.capText);
  if (seen !== undefined && one.brokerKey(seen.parsed.kid)?.equals(seen.key) === true) {
    if (seen.parsed.claims.iss === one.issuer) return ok(seen);
  }
  const parsed = parseCap(one.capText);
  if (!parsed.ok) return parsed;
  const key = one.brokerKey(parsed.value.kid);
  if (key === undefined) return refuse("broker_sig_invalid", "The cap names a key that the broker does not publish.");
  if (!capSignatureIsValid(parsed.value, key)) {
    return refuse("broker_sig_invalid", "The broker did not sign this cap.");
  }
  if (parsed.value.claims.iss !== one.issuer) return refuse("broker_sig_invalid", "The cap has another issuer.");
  return ok({ parsed: parsed.value, key });
}

function deviceSignedTheCap(one: RedemptionCase, known: Known): Result<Buffer> {
  if (known.digest !== undefined) return ok(known.digest);
  const { request, clientSig } = known.parsed.claims;
  if (one.capPopRequired === false) return ok(capRequestDigest(one.separator, request));
  const digest = digestSignedByDevice(one.separator, request, clientSig);
  if (digest === undefined) {
    return refuse("cap_pop_invalid", "client_sig is not the device's signature over this cap.");
  }
  one.cache?.set(one.capText, { parsed: known.parsed, key: known.key, digest });
  return ok(digest);
}

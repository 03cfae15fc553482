import type { AccessFacts } from "../chain/access-facts";
import type { Hex } from "../wire/bytes";
import type { CapRequest } from "../wire/cap-request";
import { type MintRoute, parseMint } from "../wire/mint";
import type { ReplayEntry } from "../wire/replay-entry";
import { type Result, failure, ok } from "../wire/result";
import { type Check, firstFailure } from "./check";
import { digestSignedByDevice } from "./client-sig";
import { type FactsSource, askChain } from "./ask-chain";
import { CAP_KEPT_SECONDS, MAX_CAP_SECONDS, isFresh } from "./times";

/** What a mint is judged by. */
export interface MintCase {
  readonly route: MintRoute;
  readonly body: Uint8Array;
  /** EIP-712 domain separator of chain and registry. */
  readonly separator: Uint8Array;
  /** Unix seconds. */
  readonly now: number;
  readonly chain: FactsSource;
}

/** A cap that may be countersigned once its nonce is burned. */
export interface ProvedMint {
  readonly cap: CapRequest;
  readonly clientSig: Hex;
  readonly facts: AccessFacts;
  readonly burn: ReplayEntry;
}

interface MintFacts extends MintCase {
  readonly cap: CapRequest;
  readonly clientSig: unknown;
}

/** Every failure of this step is `cap_pop_invalid`: an unproved caller learns nothing else. @see protocol 3.11 */
const capIsFresh: Check<MintFacts> = ({ cap, now }) =>
  isFresh(cap.issuedAt, now) && cap.expiresAt > now
    ? undefined
    : failure("cap_pop_invalid", "The cap request was not made just now.");

const deviceSignedTheCap: Check<MintFacts> = ({ separator, cap, clientSig }) =>
  digestSignedByDevice(separator, cap, clientSig) === undefined
    ? failure("cap_pop_invalid", "client_sig is not the device's signature over this cap request.")
    : undefined;

const lifetimeIsShort: Check<MintFacts> = ({ cap }) =>
  cap.expiresAt - cap.issuedAt <= MAX_CAP_SECONDS
    ? undefined
    : failure("cap_lifetime_exceeded", "A cap lives at most 300 seconds.");

/**
 * What the message alone can prove, cheap before costly. Deliberately not checked: the plaintext behind
 * `content_hash`, which the broker never sees.
 */
const MINT_CHECKS: readonly Check<MintFacts>[] = [capIsFresh, deviceSignedTheCap, lifetimeIsShort];

/** The broker's list up to the burning of the nonce. @see protocol 3.3 */
export async function verifyMint(one: MintCase): Promise<Result<ProvedMint>> {
  const parsed = parseMint(one.route, one.body);
  if (!parsed.ok) return parsed;
  const { cap, clientSig } = parsed.value;
  const refused = firstFailure(MINT_CHECKS, { ...one, cap, clientSig });
  if (refused !== undefined) return { ok: false, failure: refused };
  const asked = await askChain(one.chain, cap, one.now);
  if (!asked.ok) return asked;
  const burn: ReplayEntry = {
    receiver: "broker",
    kind: "cap",
    device: cap.deviceKeyHash,
    nonce: cap.nonce,
    issuedAt: cap.issuedAt,
    keepUntil: cap.expiresAt + CAP_KEPT_SECONDS,
  };
  return ok({ cap, clientSig: clientSig as Hex, facts: asked.value, burn });
}

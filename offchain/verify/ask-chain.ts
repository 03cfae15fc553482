import type { AccessFacts, AccessQuery } from "../chain/access-facts";
import type { CapRequest } from "../wire/cap-request";
import type { Result } from "../wire/result";
import { CHAIN_CHECKS } from "./chain-checks";
import { firstFailure } from "./check";

/** Where the facts come from: each service has its own. */
export interface FactsSource {
  access(query: AccessQuery): Promise<Result<AccessFacts>>;
}

/** All chain facts of a cap at one block, and what they say. @see protocol 3.5 */
export async function askChain(chain: FactsSource, cap: CapRequest, now: number): Promise<Result<AccessFacts>> {
  const asked = await chain.access({
    deviceKeyHash: cap.deviceKeyHash,
    operatorOmni: cap.operatorOmni,
    actorOmni: cap.actorOmni,
    dataClass: cap.dataClass,
    service: cap.service,
  });
  if (!asked.ok) return asked;
  const refused = firstFailure(CHAIN_CHECKS, { cap, facts: asked.value, now });
  return refused === undefined ? asked : { ok: false, failure: refused };
}

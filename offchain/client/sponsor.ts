import { type JsonRpcProvider, formatEther } from "ethers";

import { connectContracts } from "../chain/connect";
import type { Deployment } from "../chain/deployment";
import { type PackedUserOperation, entryPointAt } from "../chain/entry-point";
import type { Hex } from "../wire/bytes";
import { type Result, ok, refuse } from "../wire/result";
import { type SponsorshipTerms, encodePaymasterAndData, sponsorshipDigest } from "../wire/sponsorship";
import { greatestCostOf } from "../wire/user-operation";
import type { DeviceKey } from "./device-key-file";

/** A key that signs for the paymaster: addresses and digests only, silent about its secret. */
export type Sponsor = Pick<DeviceKey, "address" | "sign">;

// measured: 41,000 with a window's first charge on either EntryPoint, and 6,000
const VERIFICATION_GAS = 100_000n;
const POST_OP_GAS = 25_000n;
/** Seconds that a signature lives at most, and at least: a shorter rest of a window is too short to reach a block. */
const LIFETIME = 600;
const SHORTEST = 15;

/**
 * Has an operation paid for: looks at sponsor, budget and deposit, and signs. The budget is the sender's, who may not be
 * deployed yet; only the operation's own greatest cost is asked of it.
 * @returns the operation with its `paymasterAndData`; `caller_not_allowed` in plain words when it would not be paid for
 */
export async function sponsorOperation(request: {
  readonly provider: JsonRpcProvider;
  readonly deployment: Deployment;
  readonly sponsor: Sponsor;
  readonly operation: PackedUserOperation;
}): Promise<Result<PackedUserOperation>> {
  const { provider, deployment, sponsor, operation } = request;
  const { paymaster } = connectContracts(deployment, provider);
  const address = deployment.contracts.OperatorPaymaster;
  const { sender } = operation;
  if (!(await paymaster.isSponsor(sponsor.address))) {
    return refuse("caller_not_allowed", `The key ${sponsor.address} is no sponsor of the paymaster ${address}.`);
  }
  const now = (await provider.getBlock("latest"))?.timestamp ?? 0;
  const { windowSeconds, validUntil: end, perWindow } = await paymaster.budgetOf(sender);
  if (perWindow === 0n || Number(end) <= now) {
    return refuse("caller_not_allowed", `The paymaster has no budget for ${sender}: its owner sets one.`);
  }
  const terms = { verificationGasLimit: VERIFICATION_GAS, postOpGasLimit: POST_OP_GAS };
  const validUntil = endOf(now, Number(windowSeconds), Number(end));
  const sponsored = signedBy(sponsor, operation, { deployment, terms: { ...terms, validAfter: 0, validUntil } });
  const cost = greatestCostOf(sponsored);
  const left = await paymaster.leftIn(sender, validUntil);
  if (cost > left) {
    return refuse(
      "caller_not_allowed",
      `The budget of ${sender} for this window has ${left} wei left; the operation may cost ${cost}.`,
    );
  }
  const deposit = (await entryPointAt(deployment.entryPoint, provider).getFunction("balanceOf")(address)) as bigint;
  if (cost > deposit) {
    return refuse(
      "caller_not_allowed",
      `The paymaster's deposit is ${formatEther(deposit)} and the operation may cost ${formatEther(cost)}: top it up.`,
    );
  }
  return ok(sponsored);
}

/** In the present window; in the next one where the rest of this is too short to be used. */
function endOf(now: number, windowSeconds: number, budgetEnd: number): number {
  const windowEnd = (Math.floor((now + SHORTEST) / windowSeconds) + 1) * windowSeconds - 1;
  return Math.min(now + LIFETIME, windowEnd, budgetEnd);
}

function signedBy(
  sponsor: Sponsor,
  operation: PackedUserOperation,
  by: { readonly deployment: Deployment; readonly terms: SponsorshipTerms },
): PackedUserOperation {
  const { chainId, contracts } = by.deployment;
  const paymaster: Hex = contracts.OperatorPaymaster;
  const signature = sponsor.sign(sponsorshipDigest(operation, by.terms, { chainId, paymaster }));
  return { ...operation, paymasterAndData: encodePaymasterAndData(paymaster, by.terms, signature) };
}

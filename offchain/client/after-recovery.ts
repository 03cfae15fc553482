import { connectContracts } from "../chain/connect";
import { type Hex, ZERO32 } from "../wire/bytes";
import { type Result, ok } from "../wire/result";
import type { AccountCall } from "./account-calls";
import type { RecoveryChain } from "./recovery-status";
import { refusalFor } from "./send-operation";

/** What an operator has that whoever held the account before may have put there. */
export interface Leftovers {
  /** Key hashes of the operator's own devices that are active. */
  readonly masterDevices: readonly Hex[];
  /** Who may still append to the operator's audit log, beside the master. Lowercase. */
  readonly auditors: readonly Hex[];
  readonly isFrozen: boolean;
  /** Agents with a live device, for the owner to look through: they are not ended. */
  readonly agents: readonly { readonly label: string; readonly actorOmni: Hex }[];
}

// of one question for events, which many RPCs bound
const BLOCKS_AT_ONCE = 10_000;
const DEVICES_AT_ONCE = 100;

/**
 * Lists what a recovery leaves standing, asked of the chain; events only say whom to ask about.
 * @param fromBlock the deployment's block, or any before it
 * @returns nothing at all for an account without an operator
 */
export async function leftoversOf(chain: RecoveryChain, account: Hex, fromBlock = 0): Promise<Result<Leftovers>> {
  const { sidecarRegistry, credentialAudit } = connectContracts(chain.deployment, chain.provider);
  try {
    const omni = (await sidecarRegistry.omniOf(account)) as Hex;
    if (omni === ZERO32) return ok({ masterDevices: [], auditors: [], isFrozen: false, agents: [] });

    const masterDevices: Hex[] = [];
    for (let cursor = 0n, more = true; more;) {
      const page = await sidecarRegistry.devicesOf(omni, cursor, DEVICES_AT_ONCE);
      for (const hash of page.deviceKeyHashes) {
        const device = await sidecarRegistry.getDevice(hash);
        // a MASTER-tier device acts for the operator itself
        if (device.actorOmni === omni && (await sidecarRegistry.isActive(hash))) masterDevices.push(hash as Hex);
      }
      more = page.deviceKeyHashes.length === DEVICES_AT_ONCE;
      cursor = page.nextCursor;
    }

    const latest = await chain.provider.getBlockNumber();
    const named = new Set<Hex>();
    const labels = new Map<Hex, string>();
    for (let from = fromBlock; from <= latest; from += BLOCKS_AT_ONCE) {
      const to = Math.min(from + BLOCKS_AT_ONCE - 1, latest);
      const [auditors, actors] = await Promise.all([
        credentialAudit.queryFilter(credentialAudit.filters.AuditorSet(omni), from, to),
        sidecarRegistry.queryFilter(sidecarRegistry.filters.ActorRegistered(omni), from, to),
      ]);
      for (const { args } of auditors) named.add(args.auditor.toLowerCase() as Hex);
      // the master may append, named or not
      named.delete(account);
      for (const { args } of actors) labels.set(args.actorOmni as Hex, args.label);
    }
    const auditors = await chosen([...named], (one) => credentialAudit.mayAppend(omni, one));
    const agents = await chosen([...labels], ([actorOmni]) => sidecarRegistry.isLive(actorOmni));
    return ok({
      masterDevices,
      auditors,
      isFrozen: await sidecarRegistry.isFrozen(omni),
      agents: agents.map(([actorOmni, label]) => ({ label, actorOmni })),
    });
  } catch (error) {
    return refusalFor(error);
  }
}

/** The calls that end them in one operation: devices first, so that nothing can freeze again, and the freeze last. */
export function callsToEnd(
  { deployment, provider }: RecoveryChain,
  { masterDevices, auditors, isFrozen }: Leftovers,
): readonly AccountCall[] {
  const { sidecarRegistry, credentialAudit } = connectContracts(deployment, provider);
  const { SidecarRegistry, CredentialAudit } = deployment.contracts;
  const call = (to: Hex, data: string): AccountCall => ({ to, value: 0n, data: data as Hex });
  return [
    ...masterDevices.map((hash) =>
      call(SidecarRegistry, sidecarRegistry.interface.encodeFunctionData("revokeDevice", [hash])),
    ),
    ...auditors.map((one) =>
      call(CredentialAudit, credentialAudit.interface.encodeFunctionData("setAuditor", [one, false])),
    ),
    ...(isFrozen ? [call(SidecarRegistry, sidecarRegistry.interface.encodeFunctionData("unfreeze"))] : []),
  ];
}

async function chosen<T>(all: readonly T[], isOne: (one: T) => Promise<boolean>): Promise<readonly T[]> {
  const answers = await Promise.all(all.map(isOne));
  return all.filter((_, i) => answers[i] === true);
}

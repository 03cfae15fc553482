import type { AccessFacts } from "../../../chain/access-facts";
import { atOneHead } from "../../../chain/one-head";
import type { Passkey } from "../../../chain/passkeys";
import type { ChainReader } from "../../../chain/reader";
import type { DeviceRecord } from "../../../chain/sidecar-views";
import { type Check, firstFailure } from "../../../verify/check";
import type { Hex } from "../../../wire/bytes";
import { OP_BIT, TIER } from "../../../wire/names";
import { type Failure, type Result, failure, ok, refuse } from "../../../wire/result";

/** What the chain says of a device and of whom it serves, all of it at one block. */
export interface Standing {
  readonly device: DeviceRecord;
  readonly facts: AccessFacts;
  /** The operator's master account; undefined where there is none. */
  readonly master: Hex | undefined;
  /** The master account's passkeys; none unless they were asked for. */
  readonly passkeys: readonly Passkey[];
}

/** The reads that a standing is made of. */
export type StandingSource = Pick<ChainReader, "access" | "getDevice" | "masterOf" | "passkeysOf" | "head">;

/** The grant that allows a 32-byte payload to be signed: FETCH on this service of class config. @see protocol 3.8 */
export const PAYLOAD_GRANT = { dataClass: "config", service: "kms.payload" } as const;

/** All of it at one head. @see protocol 3.5 */
export function standingOf(
  chain: StandingSource,
  deviceKeyHash: Hex,
  wantsPasskeys: boolean,
): Promise<Result<Standing>> {
  const read = (): Promise<Result<Standing>> => readStanding(chain, deviceKeyHash, wantsPasskeys);
  return atOneHead(chain, read, ({ facts }) => facts.blockHash);
}

async function readStanding(
  chain: StandingSource,
  deviceKeyHash: Hex,
  wantsPasskeys: boolean,
): Promise<Result<Standing>> {
  const device = await chain.getDevice(deviceKeyHash);
  if (!device.ok) return device;
  if (device.value === undefined) return refuse("device_not_active", "The device was never registered.");
  const { operatorOmni, actorOmni } = device.value;
  const [facts, master] = await Promise.all([
    chain.access({ deviceKeyHash, operatorOmni, actorOmni, ...PAYLOAD_GRANT }),
    chain.masterOf(operatorOmni),
  ]);
  if (!facts.ok) return facts;
  if (!master.ok) return master;
  const isAsked = wantsPasskeys && master.value !== undefined;
  const passkeys = isAsked ? await chain.passkeysOf(master.value) : ok([]);
  if (!passkeys.ok) return passkeys;
  return ok({ device: device.value, facts: facts.value, master: master.value, passkeys: passkeys.value });
}

const deviceIsRegistered: Check<Standing> = ({ facts }) =>
  facts.deviceRegistered ? undefined : failure("device_not_active", "The device was never registered.");

const deviceIsNotRevoked: Check<Standing> = ({ facts }) =>
  facts.deviceNotRevoked ? undefined : failure("device_revoked", "The device, or all of its actor's, was revoked.");

const operatorIsNotFrozen: Check<Standing> = ({ facts }) =>
  facts.operatorNotFrozen ? undefined : failure("operator_frozen", "The device's operator is frozen.");

const deviceServesItsActor: Check<Standing> = ({ facts }) =>
  facts.binding === "self" ? undefined : failure("device_binding_mismatch", "The device serves no live actor.");

const deviceIsAnAgents: Check<Standing> = ({ device }) =>
  device.tier === TIER.AGENT
    ? undefined
    : failure("device_binding_mismatch", "A credential is issued to the device of an agent only.");

/**
 * What every call asks, in the order of protocol 3.5. Deliberately not asked: CAP_MINT (a role for caps), and the key
 * epoch (no object is read).
 */
const ACTIVE_CHECKS: readonly Check<Standing>[] = [
  deviceIsRegistered,
  deviceIsNotRevoked,
  operatorIsNotFrozen,
  deviceServesItsActor,
];

/** An active device of any tier: it may begin a ceremony, and end a key. */
export function activeDevice(standing: Standing): Failure | undefined {
  return firstFailure(ACTIVE_CHECKS, standing);
}

/** An active device of an agent: it may hold a credential. */
export function activeAgentDevice(standing: Standing): Failure | undefined {
  return firstFailure([...ACTIVE_CHECKS, deviceIsAnAgents], standing);
}

/** The account must be the one that speaks for the device's operator now: after a transfer its keys are unusable. */
export function accountIsTheMaster({ master }: Standing, account: Hex): Failure | undefined {
  return master === account
    ? undefined
    : failure("device_binding_mismatch", "The account is not the master of the device's operator.");
}

/** A live grant for payloads. `now` in Unix seconds. @see protocol 3.5 */
export function payloadIsGranted({ facts }: Standing, now: number): Failure | undefined {
  const isLive = Math.max(now, facts.blockTime) < facts.grantValidUntil;
  if (isLive && (facts.grantOps & OP_BIT.fetch) !== 0) return undefined;
  return failure("service_not_in_scope", "No live grant allows the agent to have a payload signed.");
}

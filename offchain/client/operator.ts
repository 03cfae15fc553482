import { connectContracts, connectRpc } from "../chain/connect";
import type { Deployment } from "../chain/deployment";
import { type Hex, ZERO32 } from "../wire/bytes";
import { deviceBindingDigest } from "../wire/device-binding";
import { domainSeparator } from "../wire/eip712";
import { keccakReady } from "../wire/keccak";
import { ROLE, actorOmni, isLabel, operatorOmni } from "../wire/names";
import { type Result, ok, refuse } from "../wire/result";
import type { AccountCall } from "./account-calls";
import type { Authenticator } from "./authenticator";
import type { DeviceKey } from "./device-key-file";
import { type GrantWish, glossaryOf, missingGrants, setGrantsCall } from "./grants";
import { type MasterAccount, type OperatorContext, masterAccountOf, performCalls } from "./operator-account";
import { type Relay, type SentOperation, refusalFor } from "./send-operation";
import type { Sponsor } from "./sponsor";
import { type Session, sessionCalls } from "./sessions";

/** What one of the operator's acts came to: nothing is sent where the chain already says so. */
export type Act<T> = T & {
  /** False when it was so already. */
  readonly changed: boolean;
  /** The user operation, where one was sent. */
  readonly operation?: SentOperation;
};

/** The operator's acts, each one user operation and each safe to repeat. */
export interface Operator {
  /** The operator's account and omni, whether they exist or not. */
  identity(): Promise<Result<OperatorIdentity>>;
  /** Makes the account and registers the operator, in one operation. */
  registerMaster(): Promise<Result<Act<OperatorIdentity>>>;
  /** Registers a machine of the operator's own: CAP_MINT, and RECOVERY when asked for. */
  registerMasterDevice(
    device: DeviceKey,
    options?: { readonly recovery?: boolean },
  ): Promise<Result<Act<RegisteredDevice>>>;
  /** Registers an agent's device, together with its first grants in the same tap. */
  registerAgent(wish: {
    readonly label: string;
    readonly device: DeviceKey;
    readonly grants?: readonly GrantWish[];
  }): Promise<Result<Act<RegisteredDevice>>>;
  /** Sets grants of an agent; those that stand already are left alone. */
  grantScope(label: string, grants: readonly GrantWish[]): Promise<Result<Act<{ readonly actorOmni: Hex }>>>;
  /** Ends one device, also while frozen, also the only one. */
  revokeDevice(deviceKeyHash: Hex): Promise<Result<Act<{ readonly deviceKeyHash: Hex }>>>;
  /** Ends every device, every grant and every session of an agent. */
  revokeActor(actorOmni: Hex): Promise<Result<Act<{ readonly actorOmni: Hex }>>>;
  /**
   * Lets an agent's key sign for the account; the key's earlier session ends, and what it used up begins anew.
   * @param label the agent's, for its owner's eyes
   */
  grantSession(session: Session, label?: string): Promise<Result<Act<{ readonly key: Hex }>>>;
  /** Ends the session of one key. */
  revokeSession(key: Hex): Promise<Result<Act<{ readonly key: Hex }>>>;
  /** Ends every session of an agent, or of the account: with those, signed grants not yet used. */
  revokeSessions(actorOmni: Hex | "all"): Promise<Result<Act<{ readonly of: Hex | "all" }>>>;
  /** Makes the account do these calls, in one operation. */
  perform(calls: readonly AccountCall[]): Promise<Result<Act<{ readonly account: Hex }>>>;
  /** Lets go of the chain. */
  close(): void;
}

/** Who the operator is. */
export interface OperatorIdentity {
  /** The master account, lowercase. */
  readonly account: Hex;
  readonly operatorOmni: Hex;
  readonly isRegistered: boolean;
}

/** A device that the registry knows. */
export interface RegisteredDevice {
  readonly deviceKeyHash: Hex;
  readonly deviceKey: Hex;
  readonly actorOmni: Hex;
  readonly operatorOmni: Hex;
}

// seconds; a binding is submitted at once, and at most a day is allowed
const BINDING_LIFETIME = 3_600;

/** An operator over a passkey, a chain and a relay. The chain behind the URL must be the deployment's. */
export async function openOperator(options: {
  readonly rpcUrl: string;
  readonly deployment: Deployment;
  readonly authenticator: Authenticator;
  readonly relay: Relay;
  /** Has the operations paid for by the paymaster. */
  readonly sponsor?: Sponsor;
  /** Where the passkey does not serve the account that it made. */
  readonly account?: Hex;
}): Promise<Result<Operator>> {
  const { rpcUrl, deployment, authenticator, relay, sponsor, account } = options;
  await keccakReady();
  const provider = connectRpc(rpcUrl, deployment.chainId);
  const wrong = (detail: string): Result<never> => {
    provider.destroy();
    return refuse("chain_unavailable", detail);
  };
  const id: unknown = await provider.send("eth_chainId", []).catch(() => undefined);
  if (typeof id !== "string") return wrong("The chain cannot be asked: no answer from its RPC.");
  if (Number(id) !== deployment.chainId) {
    return wrong(`The RPC serves chain ${Number(id)}, the contracts are on chain ${deployment.chainId}.`);
  }
  const context: OperatorContext = {
    provider,
    deployment,
    authenticator,
    relay,
    ...(sponsor === undefined ? {} : { sponsor }),
    ...(account === undefined ? {} : { account }),
  };
  return ok(operatorOver(context));
}

function operatorOver(context: OperatorContext): Operator {
  const { provider, deployment } = context;
  const { sidecarRegistry, scopeRegistry, sessionValidator } = connectContracts(deployment, provider);
  const sessions = sessionCalls(sessionValidator);
  const { SidecarRegistry } = deployment.contracts;
  const separator = domainSeparator({ chainId: deployment.chainId, registry: SidecarRegistry });

  interface Self extends OperatorIdentity {
    readonly master: MasterAccount;
  }

  async function self(): Promise<Self> {
    const master = await masterAccountOf(context);
    const omni = (await sidecarRegistry.omniOf(master.address)) as Hex;
    // an account that took over another's operator keeps that one's omni
    const operator = omni === ZERO32 ? operatorOmni(master.address) : omni;
    return { master, account: master.address, operatorOmni: operator, isRegistered: omni !== ZERO32 };
  }

  async function registered(): Promise<Result<Self>> {
    const me = await self();
    return me.isRegistered
      ? ok(me)
      : refuse("caller_not_allowed", "This passkey has no operator on this chain yet: run register-master first.");
  }

  /** RPC trouble in any act is a refusal. */
  async function act<T>(run: () => Promise<Result<T>>): Promise<Result<T>> {
    try {
      return await run();
    } catch (error) {
      return refusalFor(error);
    }
  }

  async function perform<T extends object>(
    me: Self,
    calls: readonly AccountCall[],
    value: T,
    glossary?: ReadonlyMap<Hex, string>,
  ): Promise<Result<Act<T>>> {
    if (calls.length === 0) return ok({ ...value, changed: false });
    const operation = await performCalls(context, me.master, calls, glossary);
    return operation.ok ? ok({ ...value, changed: true, operation: operation.value }) : operation;
  }

  function call(data: string): AccountCall {
    return { to: SidecarRegistry, value: 0n, data: data as Hex };
  }

  /** The device's consent, made here because its key is at hand. */
  async function bind(
    me: Self,
    device: DeviceKey,
    actor: Hex,
    roles: number,
  ): Promise<{ readonly deadline: number; readonly popSig: Hex }> {
    const block = await provider.getBlock("latest");
    const deadline = (block?.timestamp ?? 0) + BINDING_LIFETIME;
    const binding = { operatorOmni: me.operatorOmni, actorOmni: actor, deviceKey: device.address, roles };
    const digest = deviceBindingDigest(separator, { ...binding, attestationHash: ZERO32, deadline });
    return { deadline, popSig: device.sign(digest) };
  }

  /** True when this device already serves this actor; a refusal when the registry will never take it again. */
  async function stands(device: DeviceKey, actor: Hex, roles: number): Promise<Result<boolean>> {
    const known = await sidecarRegistry.getDevice(device.deviceKeyHash);
    if (known.tier === 0n) return ok(false);
    const isSame = known.actorOmni === actor && Number(known.roles) === roles;
    if (isSame && (await sidecarRegistry.isActive(device.deviceKeyHash))) return ok(true);
    const why = isSame ? "was revoked" : "serves another actor or has other roles";
    return refuse("caller_not_allowed", `This device key ${why}, and a key is registered once: use a new key.`);
  }

  return {
    identity: () =>
      act(async () => {
        const { account, operatorOmni: omni, isRegistered } = await self();
        return ok({ account, operatorOmni: omni, isRegistered });
      }),

    registerMaster: () =>
      act(async () => {
        const me = await self();
        const calls = me.isRegistered ? [] : [call(sidecarRegistry.interface.encodeFunctionData("registerOperator"))];
        return perform(me, calls, { account: me.account, operatorOmni: me.operatorOmni, isRegistered: true });
      }),

    registerMasterDevice: (device, options = {}) =>
      act(async () => {
        const me = await registered();
        if (!me.ok) return me;
        const { operatorOmni: omni } = me.value;
        const roles = ROLE.CAP_MINT | (options.recovery === true ? ROLE.RECOVERY : 0);
        const stood = await stands(device, omni, roles);
        if (!stood.ok) return stood;
        const value = deviceValue(device, omni, omni);
        if (stood.value) return perform(me.value, [], value);
        const { deadline, popSig } = await bind(me.value, device, omni, roles);
        const data = sidecarRegistry.interface.encodeFunctionData("registerMasterDevice", [
          device.address,
          roles,
          ZERO32,
          ZERO32,
          deadline,
          popSig,
        ]);
        return perform(me.value, [call(data)], value);
      }),

    registerAgent: ({ label, device, grants = [] }) =>
      act(async () => {
        if (!isLabel(label)) return refuse("request_malformed", "A label is 1 to 32 of a-z, 0-9 and -.");
        const me = await registered();
        if (!me.ok) return me;
        const { operatorOmni: omni } = me.value;
        const actor = actorOmni(omni, label);
        const stood = await stands(device, actor, ROLE.CAP_MINT);
        if (!stood.ok) return stood;
        const calls: AccountCall[] = [];
        if (!stood.value) {
          const { deadline, popSig } = await bind(me.value, device, actor, ROLE.CAP_MINT);
          const args = [label, device.address, ZERO32, deadline, popSig] as const;
          calls.push(call(sidecarRegistry.interface.encodeFunctionData("registerAgentDevice", [...args])));
        }
        const missing = await missingGrants(scopeRegistry, omni, actor, grants);
        if (missing.length > 0) calls.push(setGrantsCall(deployment, actor, missing));
        return perform(me.value, calls, deviceValue(device, actor, omni), glossaryOf(label, actor, grants));
      }),

    grantScope: (label, grants) =>
      act(async () => {
        if (!isLabel(label)) return refuse("request_malformed", "A label is 1 to 32 of a-z, 0-9 and -.");
        const me = await registered();
        if (!me.ok) return me;
        const { operatorOmni: omni } = me.value;
        const actor = actorOmni(omni, label);
        const missing = await missingGrants(scopeRegistry, omni, actor, grants);
        const calls = missing.length === 0 ? [] : [setGrantsCall(deployment, actor, missing)];
        return perform(me.value, calls, { actorOmni: actor }, glossaryOf(label, actor, grants));
      }),

    revokeDevice: (deviceKeyHash) =>
      act(async () => {
        const me = await registered();
        if (!me.ok) return me;
        const known = await sidecarRegistry.getDevice(deviceKeyHash);
        if (known.tier === 0n) return refuse("device_not_active", "This device was never registered.");
        const isActive = await sidecarRegistry.isActive(deviceKeyHash);
        const data = sidecarRegistry.interface.encodeFunctionData("revokeDevice", [deviceKeyHash]);
        return perform(me.value, isActive ? [call(data)] : [], { deviceKeyHash });
      }),

    revokeActor: (actor) =>
      act(async () => {
        const me = await registered();
        if (!me.ok) return me;
        if ((await sidecarRegistry.operatorOf(actor)) === ZERO32) {
          return refuse("device_binding_mismatch", "There never was an agent with this omni.");
        }
        const isLive = await sidecarRegistry.isLive(actor);
        const data = sidecarRegistry.interface.encodeFunctionData("revokeActor", [actor]);
        // whose the sessions are cannot be read back: where any is live, the agent's end once more rather than not at all
        const hasSessions = (await sessionValidator.sessionsOf(me.value.account)).length > 0;
        const calls = [...(isLive ? [call(data)] : []), ...(hasSessions ? [sessions.revokeActor(actor)] : [])];
        return perform(me.value, calls, { actorOmni: actor });
      }),

    grantSession: (session, label) =>
      act(async () => {
        const glossary = label === undefined ? undefined : glossaryOf(label, session.actorOmni, []);
        return perform(await self(), [sessions.grant(session)], { key: session.key }, glossary);
      }),

    revokeSession: (key) =>
      act(async () => {
        const me = await self();
        const { isLive } = await sessionValidator.sessionOf(me.account, key);
        return perform(me, isLive ? [sessions.revoke(key)] : [], { key });
      }),

    revokeSessions: (of) =>
      act(async () => {
        const call = of === "all" ? sessions.revokeAll() : sessions.revokeActor(of);
        return perform(await self(), [call], { of });
      }),

    perform: (calls) =>
      act(async () => {
        const me = await self();
        return perform(me, calls, { account: me.account });
      }),

    close() {
      provider.destroy();
    },
  };
}

function deviceValue(device: DeviceKey, actor: Hex, omni: Hex): RegisteredDevice {
  return { deviceKeyHash: device.deviceKeyHash, deviceKey: device.address, actorOmni: actor, operatorOmni: omni };
}

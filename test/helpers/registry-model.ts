import { CAP_MINT, RECOVERY } from "./device";
import { DAY, HOUR } from "./registry";

/** An agent by the account whose operator it is computed from, and its label; without one the operator's own actor. */
export interface ActorRef {
  readonly operator: number;
  readonly label?: string;
}

/** A signature as it travels: what the key signed and whether the 65 bytes are well formed. */
export interface Proof {
  readonly signer: number;
  /** Canonical text of every signed member, domain included. */
  readonly text: string;
  readonly wellFormed: boolean;
  /** Unix seconds. */
  readonly deadline: number;
}

/** One grant of a model command. */
export interface ModelGrant {
  readonly scope: string;
  readonly ops: number;
  readonly validUntil: number;
}

/** What somebody tries; accounts, operators and devices by number, an operator by the account it is computed from. */
export type Command =
  | { readonly kind: "registerOperator"; readonly caller: number }
  | { readonly kind: "unfreeze"; readonly caller: number }
  | { readonly kind: "cancelTransfer"; readonly caller: number }
  | { readonly kind: "advanceEpoch"; readonly caller: number }
  | { readonly kind: "transferOperator"; readonly caller: number; readonly newMaster: number }
  | { readonly kind: "acceptOperator"; readonly caller: number; readonly operator: number }
  | {
      readonly kind: "register";
      readonly caller: number;
      readonly device: number;
      readonly label?: string;
      readonly roles: number;
      readonly proof: Proof;
    }
  | {
      readonly kind: "rotate";
      readonly caller: number;
      readonly old: number;
      readonly device: number;
      readonly proof: Proof;
    }
  | { readonly kind: "revokeDevice"; readonly caller: number; readonly device: number }
  | { readonly kind: "revokeActor" | "revokeAll"; readonly caller: number; readonly actor: ActorRef }
  | {
      readonly kind: "freeze";
      readonly caller: number;
      readonly operator: number;
      readonly device: number;
      readonly proof: Proof;
    }
  | {
      readonly kind: "setGrants";
      readonly caller: number;
      readonly actor: ActorRef;
      readonly grants: readonly ModelGrant[];
    }
  | {
      readonly kind: "revokeGrants";
      readonly caller: number;
      readonly actor: ActorRef;
      readonly scopes: readonly string[];
    };

interface OperatorState {
  master: number;
  frozen: boolean;
  nonce: number;
  pending?: { newMaster: number; acceptableAt: number };
}

interface ActorState {
  live: boolean;
  readonly grants: Map<string, { ops: number; validUntil: number }>;
}

interface DeviceState {
  readonly actor: ActorRef;
  readonly roles: number;
  ended: boolean;
  revoked: boolean;
}

/** What `checkAccess` should answer, time and chain aside. */
export interface ModelFacts {
  readonly registered: boolean;
  readonly notRevoked: boolean;
  readonly operatorNotFrozen: boolean;
  readonly mayMint: boolean;
  readonly binding: number;
  readonly isOperatorSelf: boolean;
  readonly grantOps: number;
  readonly grantValidUntil: number;
  readonly epoch: number;
}

/** Text that a device must have signed to be bound. */
export function bindingText(device: number, actor: ActorRef, roles: number, deadline: number, chain = "home"): string {
  return `bind ${device} to ${actor.operator}/${actor.label ?? ""} as ${roles} until ${deadline} on ${chain}`;
}

/** Text that a device must have signed to freeze an operator. */
export function freezeText(device: number, operator: number, nonce: number, deadline: number, chain = "home"): string {
  return `freeze ${operator} by ${device} with ${nonce} until ${deadline} on ${chain}`;
}

/**
 * The registries' rules as plain sets: no generations and no eras, so that it shares nothing with the contracts but the
 * design. `step` changes the model and returns undefined, or leaves it and returns the name of the custom error.
 */
export class RegistryModel {
  readonly operators = new Map<number, OperatorState>();
  readonly devices = new Map<number, DeviceState>();
  readonly actors = new Map<string, ActorState>();
  private readonly used = new Set<number>();
  private epoch = 1;
  private epochAllowedAt = 0;

  constructor(
    private readonly governance: number,
    registered: readonly number[],
  ) {
    for (const account of registered) this.registerOperator(account);
  }

  /** The operator that an account is master of, by the account it is computed from. */
  operatorOf(account: number): number | undefined {
    for (const [id, { master }] of this.operators) if (master === account) return id;
    return undefined;
  }

  isActive(device: number): boolean {
    const state = this.devices.get(device);
    return state !== undefined && !state.ended && !state.revoked;
  }

  step(command: Command, now: number): string | undefined {
    if (command.kind === "registerOperator") return this.registerOperator(command.caller);
    if (command.kind === "acceptOperator") return this.acceptOperator(command, now);
    if (command.kind === "freeze") return this.freeze(command, now);
    if (command.kind === "advanceEpoch") return this.advanceEpoch(command.caller, now);
    const id = this.operatorOf(command.caller);
    const operator = id === undefined ? undefined : this.operators.get(id);
    if (id === undefined || operator === undefined) return "NotMaster";
    switch (command.kind) {
      case "unfreeze":
        if (!operator.frozen) return "OperatorNotFrozen";
        operator.frozen = false;
        operator.nonce += 1;
        return undefined;
      case "transferOperator":
        if (this.used.has(command.newMaster)) return "AccountAlreadyUsed";
        operator.pending = { newMaster: command.newMaster, acceptableAt: now + 2 * DAY };
        return undefined;
      case "cancelTransfer":
        if (operator.pending === undefined) return "NoTransferAnnounced";
        delete operator.pending;
        return undefined;
      case "register": {
        if (command.roles === 0 || command.roles > 7) return "InvalidRoles";
        const actor = command.label === undefined ? { operator: id } : { operator: id, label: command.label };
        return this.bind(command.device, actor, command.roles, command.proof, operator, now);
      }
      case "rotate": {
        const old = this.devices.get(command.old);
        const refused = this.requireOwn(old, id) ?? (this.isActive(command.old) ? undefined : "DeviceNotActive");
        if (old === undefined || refused !== undefined) return refused;
        const failed = this.bind(command.device, old.actor, old.roles, command.proof, operator, now);
        if (failed === undefined) old.revoked = true;
        return failed;
      }
      case "revokeDevice": {
        const device = this.devices.get(command.device);
        const refused = this.requireOwn(device, id) ?? (device?.revoked === true ? "DeviceNotActive" : undefined);
        if (device === undefined || refused !== undefined) return refused;
        device.revoked = true;
        return undefined;
      }
      default:
        return this.changeActor(command, id, operator, now);
    }
  }

  facts(device: number, operator: number, actor: ActorRef, scope: string): ModelFacts {
    const state = this.devices.get(device);
    const own = state === undefined ? undefined : this.operators.get(state.actor.operator);
    const agent = this.actors.get(key(actor));
    const sameOperator = state?.actor.operator === operator;
    let binding = 0;
    if (state !== undefined && sameOperator) {
      if (key(state.actor) === key(actor)) binding = 1;
      else if (state.actor.label === undefined && this.isActive(device) && actor.operator === operator) {
        binding = agent?.live === true ? 2 : 0;
      }
    }
    const grant = binding === 0 ? undefined : agent?.grants.get(scope);
    return {
      registered: state !== undefined,
      notRevoked: this.isActive(device),
      operatorNotFrozen: own?.frozen === false,
      mayMint: ((state?.roles ?? 0) & CAP_MINT) !== 0,
      binding,
      isOperatorSelf: binding === 1 && state?.actor.label === undefined,
      grantOps: grant?.ops ?? 0,
      grantValidUntil: grant?.validUntil ?? 0,
      epoch: this.epoch,
    };
  }

  private registerOperator(account: number): string | undefined {
    if (this.used.has(account)) return "AccountAlreadyUsed";
    this.used.add(account);
    this.operators.set(account, { master: account, frozen: false, nonce: 0 });
    return undefined;
  }

  private acceptOperator({ caller, operator }: { caller: number; operator: number }, now: number): string | undefined {
    const state = this.operators.get(operator);
    if (state?.pending === undefined) return "NoTransferAnnounced";
    if (state.pending.newMaster !== caller) return "NotNewMaster";
    if (now < state.pending.acceptableAt) return "TransferTooEarly";
    if (this.used.has(caller)) return "AccountAlreadyUsed";
    this.used.add(caller);
    state.master = caller;
    delete state.pending;
    for (const device of this.devices.values()) {
      if (device.actor.operator === operator && device.actor.label === undefined) device.ended = true;
    }
    return undefined;
  }

  private freeze(command: Extract<Command, { readonly kind: "freeze" }>, now: number): string | undefined {
    const { operator: id, device: number, proof } = command;
    const operator = this.operators.get(id);
    if (operator === undefined) return "OperatorUnknown";
    if (operator.frozen) return "OperatorIsFrozen";
    if (proof.deadline < now) return "DeadlinePassed";
    if (proof.deadline > now + HOUR) return "DeadlineTooFar";
    const device = this.devices.get(number);
    const refused = this.requireOwn(device, id);
    if (device === undefined || refused !== undefined) return refused;
    if (device.actor.label !== undefined) return "DeviceNotMasterTier";
    if (!this.isActive(number)) return "DeviceNotActive";
    if ((device.roles & RECOVERY) === 0) return "DeviceRoleMissing";
    if (!proof.wellFormed) return "ECDSAInvalidSignature";
    if (proof.signer !== number || proof.text !== freezeText(number, id, operator.nonce, proof.deadline)) {
      return "SignerMismatch";
    }
    operator.frozen = true;
    operator.nonce += 1;
    return undefined;
  }

  private advanceEpoch(caller: number, now: number): string | undefined {
    if (caller !== this.governance) return "OwnableUnauthorizedAccount";
    if (now < this.epochAllowedAt) return "AdvancedTooSoon";
    this.epochAllowedAt = now + HOUR;
    this.epoch += 1;
    return undefined;
  }

  private requireOwn(device: DeviceState | undefined, operator: number): string | undefined {
    if (device === undefined) return "DeviceNotRegistered";
    return device.actor.operator === operator ? undefined : "DeviceNotOfOperator";
  }

  private bind(
    device: number,
    actor: ActorRef,
    roles: number,
    proof: Proof,
    operator: OperatorState,
    now: number,
  ): string | undefined {
    if (operator.frozen) return "OperatorIsFrozen";
    if (proof.deadline < now) return "DeadlinePassed";
    if (proof.deadline > now + DAY) return "DeadlineTooFar";
    if (!proof.wellFormed) return "ECDSAInvalidSignature";
    if (proof.signer !== device || proof.text !== bindingText(device, actor, roles, proof.deadline)) {
      return "SignerMismatch";
    }
    if (this.devices.has(device)) return "DeviceAlreadyRegistered";
    this.devices.set(device, { actor, roles, ended: false, revoked: false });
    if (actor.label !== undefined) {
      const agent = this.actors.get(key(actor));
      if (agent === undefined) this.actors.set(key(actor), { live: true, grants: new Map() });
      else agent.live = true;
    }
    return undefined;
  }

  private changeActor(
    command: Extract<Command, { readonly actor: ActorRef }>,
    id: number,
    operator: OperatorState,
    now: number,
  ): string | undefined {
    const agent = this.actors.get(key(command.actor));
    if (agent === undefined || command.actor.operator !== id) return "ActorNotOfOperator";
    switch (command.kind) {
      case "revokeActor":
        if (!agent.live) return "ActorNotLive";
        agent.live = false;
        agent.grants.clear();
        for (const device of this.devices.values()) if (key(device.actor) === key(command.actor)) device.ended = true;
        return undefined;
      case "revokeAll":
        agent.grants.clear();
        return undefined;
      case "setGrants":
        if (operator.frozen) return "OperatorIsFrozen";
        if (!agent.live) return "ActorNotLive";
        for (const { ops, validUntil } of command.grants) {
          if (ops === 0 || ops > 15) return "InvalidOps";
          if (validUntil <= now) return "InvalidValidUntil";
        }
        for (const { scope, ops, validUntil } of command.grants) agent.grants.set(scope, { ops, validUntil });
        return undefined;
      case "revokeGrants":
        if (new Set(command.scopes).size < command.scopes.length) return "GrantUnknown";
        if (command.scopes.some((scope) => !agent.grants.has(scope))) return "GrantUnknown";
        for (const scope of command.scopes) agent.grants.delete(scope);
        return undefined;
    }
  }
}

/** One text per actor. */
export function key({ operator, label }: ActorRef): string {
  return `${operator}/${label ?? ""}`;
}

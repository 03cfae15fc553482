import { time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import type { HardhatEthersSigner } from "@nomicfoundation/hardhat-ethers/signers";
import { type ContractTransactionResponse, type TypedDataDomain, ZeroHash, concat, id } from "ethers";
import { ethers } from "hardhat";

import { RECOVERY, type TestDevice, deviceDomain, signBinding, signFreeze, testDevice } from "./device";
import { DAY, HOUR, type Registries } from "./registry";
import { type ActorRef, type Command, type Proof, RegistryModel, bindingText, freezeText } from "./registry-model";

/** What may be wrong with a signature; `captured` sends one that was made earlier, for whatever it was made. */
export const TWISTS = ["signer", "operator", "actor", "roles", "chain", "form", "past", "late", "captured"] as const;

/** A wish of a random caller; the world turns it into a command with a signature. */
export interface Intent {
  readonly kind: Command["kind"];
  readonly caller: number;
  readonly other: number;
  readonly device: number;
  readonly second: number;
  /** Whether the caller names what exists and is its own where it could name anything. */
  readonly own: boolean;
  readonly label: string | undefined;
  readonly roles: number;
  readonly twist: (typeof TWISTS)[number] | undefined;
  readonly pick: number;
  readonly grants: readonly { readonly scope: string; readonly ops: number; readonly seconds: number }[];
  /** Seconds that pass before. */
  readonly wait: number;
}

type Signed = Proof & { readonly sig: string };

const GAS = { gasLimit: 5_000_000 };

/** The contracts beside their model, and what keys signed and operators asked, written down apart from both. */
export class RegistryWorld {
  readonly model: RegistryModel;
  readonly devices: readonly TestDevice[];
  /** `device|actor|roles` of every binding that a key signed for this chain and contract. */
  readonly consents = new Set<string>();
  /** Actors that the master of their operator registered a device for. */
  readonly asked = new Set<string>();
  /** Devices that were seen to end. */
  readonly dead = new Set<number>();
  private readonly captured: Signed[] = [];
  private readonly omnis = new Map<string, string>();

  private constructor(
    readonly r: Registries,
    readonly accounts: readonly HardhatEthersSigner[],
    devices: number,
    private readonly foreign: TypedDataDomain,
  ) {
    this.devices = Array.from({ length: devices }, (_, i) => testDevice(`random ${i}`));
    this.model = new RegistryModel(0, [1, 2]);
  }

  /** Accounts are those of the fixture: 0 governs the epochs, 1 and 2 have operators, the others none yet. */
  static async of(r: Registries, devices: number, labels: readonly string[]): Promise<RegistryWorld> {
    const accounts = [r.governance, r.alice, r.bob, r.carol, r.stranger];
    const world = new RegistryWorld(r, accounts, devices, await deviceDomain(r.sidecars, 1));
    for (const [operator, account] of accounts.entries()) {
      const omni = await r.sidecars.computeOperatorOmni(account);
      world.omnis.set(nameOf({ operator }), omni);
      for (const label of labels) {
        world.omnis.set(nameOf({ operator, label }), await r.sidecars.computeActorOmni(omni, label));
      }
    }
    return world;
  }

  /** Omni of an actor. */
  omni(actor: ActorRef): string {
    return this.omnis.get(nameOf(actor)) ?? ZeroHash;
  }

  device(index: number): TestDevice {
    const device = this.devices[index];
    if (device === undefined) throw new RangeError(`device ${index}`);
    return device;
  }

  /** Sends a wish; both answers are the name of a custom error, or undefined. */
  async play(intent: Intent): Promise<{ command: Command; expected: string | undefined; actual: string | undefined }> {
    const now = (await time.latest()) + 1 + intent.wait;
    const command = await this.commandOf(intent, now);
    const master = this.model.operatorOf(command.caller);
    if (command.kind === "register" && master !== undefined) this.asked.add(nameOf({ ...command, operator: master }));
    const expected = this.model.step(command, now);
    await time.setNextBlockTimestamp(now);
    const actual = await this.refusalOf(() => this.send(command));
    return { command, expected, actual };
  }

  private async commandOf(intent: Intent, now: number): Promise<Command> {
    const { kind, caller, other, second } = intent;
    const mine = this.model.operatorOf(caller);
    const operator = intent.own && mine !== undefined ? mine : other;
    const named = { operator, ...(intent.label === undefined ? {} : { label: intent.label }) };
    const actor = (intent.own ? this.ownAgent(operator, intent.pick) : undefined) ?? named;
    const found =
      intent.own && kind !== "register" ? this.ownDevice(operator, kind === "freeze", intent.pick) : undefined;
    const device = found ?? intent.device;
    switch (kind) {
      case "unfreeze": {
        const frozen = [...this.model.operators.values()].find((state) => state.frozen);
        return { kind, caller: intent.own ? (frozen?.master ?? caller) : caller };
      }
      case "transferOperator":
        return { kind, caller, newMaster: other };
      case "acceptOperator": {
        // Left to chance, the announced account would hardly ever be the one that asks.
        const pending = [...this.model.operators].find(([, state]) => state.pending !== undefined);
        if (!intent.own || pending === undefined) return { kind, caller, operator: other };
        return { kind, caller: pending[1].pending?.newMaster ?? caller, operator: pending[0] };
      }
      case "register": {
        const roles = intent.label === undefined ? intent.roles : 1;
        const target = { ...named, operator: mine ?? other };
        const proof = await this.prove(intent, device, target, roles, now);
        return { kind, caller, device, roles, proof, ...(intent.label === undefined ? {} : { label: intent.label }) };
      }
      case "rotate": {
        const old = this.model.devices.get(device);
        const proof = await this.prove(intent, second, old?.actor ?? actor, old?.roles ?? 1, now);
        return { kind, caller, old: device, device: second, proof };
      }
      case "revokeDevice":
        return { kind, caller, device };
      case "freeze": {
        const of = this.model.devices.get(device)?.actor.operator ?? operator;
        const target = intent.own ? of : other;
        return { kind, caller, operator: target, device, proof: await this.order(intent, target, device, now) };
      }
      case "revokeActor":
      case "revokeAll":
        return { kind, caller, actor };
      case "setGrants": {
        const grants = intent.grants.map(({ scope, ops, seconds }) => ({ scope, ops, validUntil: now + seconds }));
        return { kind, caller, actor, grants };
      }
      case "revokeGrants": {
        const granted = this.granted(intent.pick);
        if (intent.own && granted !== undefined) return { kind, ...granted };
        return { kind, caller, actor, scopes: intent.grants.map(({ scope }) => scope) };
      }
      default:
        return { kind, caller };
    }
  }

  private ownAgent(operator: number, pick: number): ActorRef | undefined {
    const agents = [...this.model.devices.values()].map(({ actor }) => actor);
    const own = agents.filter((agent) => agent.operator === operator && agent.label !== undefined);
    return own[pick % Math.max(1, own.length)];
  }

  /** An active device of an operator, or any that may freeze its own. */
  private ownDevice(operator: number, recovery: boolean, pick: number): number | undefined {
    const own = [...this.model.devices].filter(
      ([index, { actor, roles }]) =>
        (recovery || actor.operator === operator) &&
        this.model.isActive(index) &&
        (!recovery || (actor.label === undefined && (roles & RECOVERY) !== 0)),
    );
    return own[pick % Math.max(1, own.length)]?.[0];
  }

  /** Some grants that exist, and who may revoke them. */
  private granted(pick: number): { caller: number; actor: ActorRef; scopes: readonly string[] } | undefined {
    const granted = [...this.model.actors].filter(([, { grants }]) => grants.size > 0);
    const [name, state] = granted[pick % Math.max(1, granted.length)] ?? [];
    const [operator = "", label = ""] = (name ?? "").split("/");
    const master = this.model.operators.get(Number(operator))?.master;
    if (state === undefined || master === undefined) return undefined;
    return {
      caller: master,
      actor: { operator: Number(operator), label },
      scopes: [...state.grants.keys()].slice(0, 2),
    };
  }

  private async prove(intent: Intent, device: number, actor: ActorRef, roles: number, now: number): Promise<Signed> {
    const { twist } = intent;
    const earlier = this.captured[intent.pick % Math.max(1, this.captured.length)];
    if (twist === "captured" && earlier !== undefined) return earlier;
    const signer = twist === "signer" ? (device + 1) % this.devices.length : device;
    const bound: ActorRef =
      twist === "operator"
        ? { ...actor, operator: (actor.operator + 1) % this.accounts.length }
        : twist === "actor"
          ? { operator: actor.operator, label: actor.label === "a" ? "b" : "a" }
          : actor;
    const signedRoles = twist === "roles" ? roles ^ 2 : roles;
    const deadline = twist === "past" ? now - 1 : twist === "late" ? now + DAY + 1 : now + (intent.pick % (DAY + 1));
    const sig = await signBinding(this.device(signer), twist === "chain" ? this.foreign : this.r.domain, {
      operatorOmni: this.omni({ operator: bound.operator }),
      actorOmni: this.omni(bound),
      deviceKey: this.device(device).key,
      roles: signedRoles,
      attestationHash: ZeroHash,
      deadline,
    });
    if (twist !== "chain" && signer === device) this.consents.add(consentOf(device, bound, signedRoles));
    const text = bindingText(device, bound, signedRoles, deadline, twist === "chain" ? "other" : "home");
    return this.remember({ signer, text, deadline, sig, wellFormed: true }, twist);
  }

  private async order(intent: Intent, operator: number, device: number, now: number): Promise<Signed> {
    const { twist } = intent;
    const earlier = this.captured[intent.pick % Math.max(1, this.captured.length)];
    if (twist === "captured" && earlier !== undefined) return earlier;
    const signer = twist === "signer" ? (device + 1) % this.devices.length : device;
    const named = twist === "operator" ? (operator + 1) % this.accounts.length : operator;
    const freezeNonce = (this.model.operators.get(operator)?.nonce ?? 0) + (twist === "roles" ? 1 : 0);
    const deadline = twist === "past" ? now - 1 : twist === "late" ? now + HOUR + 1 : now + (intent.pick % (HOUR + 1));
    const sig = await signFreeze(this.device(signer), twist === "chain" ? this.foreign : this.r.domain, {
      operatorOmni: this.omni({ operator: named }),
      deviceKeyHash: this.device(device).hash,
      freezeNonce,
      deadline,
    });
    const text = freezeText(device, named, freezeNonce, deadline, twist === "chain" ? "other" : "home");
    return this.remember({ signer, text, deadline, sig, wellFormed: true }, twist);
  }

  private remember(signed: Signed, twist: Intent["twist"]): Signed {
    this.captured.push(signed);
    if (twist !== "form") return signed;
    return { ...signed, wellFormed: false, sig: concat([signed.sig.slice(0, -2), "0x1d"]) };
  }

  private send(command: Command): Promise<ContractTransactionResponse> {
    const caller = this.accounts[command.caller];
    if (caller === undefined) throw new RangeError(`account ${command.caller}`);
    const sidecars = this.r.sidecars.connect(caller);
    const scopes = this.r.scopes.connect(caller);
    switch (command.kind) {
      case "registerOperator":
      case "unfreeze":
      case "cancelTransfer":
        return sidecars[command.kind](GAS);
      case "advanceEpoch":
        return this.r.epochs.connect(caller).advanceEpoch(ethers.hexlify(ethers.randomBytes(32)), GAS);
      case "transferOperator":
        return sidecars.transferOperator(this.accounts[command.newMaster] ?? caller, GAS);
      case "acceptOperator":
        return sidecars.acceptOperator(this.omni(command), GAS);
      case "register": {
        const { proof, label, roles } = command;
        const { key } = this.device(command.device);
        return label === undefined
          ? sidecars.registerMasterDevice(key, roles, ZeroHash, ZeroHash, proof.deadline, sigOf(proof), GAS)
          : sidecars.registerAgentDevice(label, key, ZeroHash, proof.deadline, sigOf(proof), GAS);
      }
      case "rotate": {
        const { key } = this.device(command.device);
        const { proof } = command;
        return sidecars.rotateDevice(this.device(command.old).hash, key, proof.deadline, sigOf(proof), GAS);
      }
      case "revokeDevice":
        return sidecars.revokeDevice(this.device(command.device).hash, GAS);
      case "revokeActor":
        return sidecars.revokeActor(this.omni(command.actor), GAS);
      case "freeze": {
        const { proof } = command;
        const omni = this.omni({ operator: command.operator });
        return sidecars.freeze(omni, this.device(command.device).hash, proof.deadline, sigOf(proof), GAS);
      }
      case "setGrants": {
        const grants = command.grants.map(({ scope, ops, validUntil }) => ({ ...scopeOf(scope), ops, validUntil }));
        return scopes.setGrants(this.omni(command.actor), grants, GAS);
      }
      case "revokeGrants":
        return scopes.revokeGrants(this.omni(command.actor), command.scopes.map(scopeKeyOf), GAS);
      case "revokeAll":
        return scopes.revokeAll(this.omni(command.actor), GAS);
    }
  }

  private async refusalOf(send: () => Promise<ContractTransactionResponse>): Promise<string | undefined> {
    try {
      await send();
      return undefined;
    } catch (error) {
      const data = (error as { data?: unknown }).data;
      if (typeof data !== "string") throw error;
      for (const contract of [this.r.sidecars, this.r.scopes, this.r.epochs]) {
        const parsed = contract.interface.parseError(data);
        if (parsed !== null) return parsed.name;
      }
      throw error;
    }
  }
}

/** `class service` as a grant's members. */
export function scopeOf(scope: string): { readonly dataClass: number; readonly serviceHash: string } {
  const [dataClass = "", service = ""] = scope.split(" ");
  return { dataClass: Number(dataClass), serviceHash: id(service) };
}

/** One text per binding that a key may have signed. */
export function consentOf(device: number, actor: ActorRef, roles: number): string {
  return `${device}|${nameOf(actor)}|${roles}`;
}

/** One text per actor. */
export function nameOf({ operator, label }: { readonly operator: number; readonly label?: string }): string {
  return `${operator}/${label ?? ""}`;
}

function scopeKeyOf(scope: string): string {
  const { dataClass, serviceHash } = scopeOf(scope);
  return ethers.keccak256(ethers.AbiCoder.defaultAbiCoder().encode(["uint8", "bytes32"], [dataClass, serviceHash]));
}

function sigOf(proof: Proof): string {
  return (proof as Signed).sig;
}

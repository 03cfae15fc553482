import { buildModule } from "@nomicfoundation/hardhat-ignition/modules";
import { time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import type { HardhatEthersSigner } from "@nomicfoundation/hardhat-ethers/signers";
import { type TypedDataDomain, ZeroHash, id } from "ethers";
import hre, { ethers } from "hardhat";

import CredentialAuditModule from "../../ignition/modules/CredentialAudit";
import ScopeRegistryModule from "../../ignition/modules/ScopeRegistry";
import {
  type CredentialAudit,
  CredentialAudit__factory,
  type K3EpochCounter,
  K3EpochCounter__factory,
  type ScopeRegistry,
  ScopeRegistry__factory,
  type SidecarRegistry,
  SidecarRegistry__factory,
} from "../../typechain-types";
import { type BindingFields, CAP_MINT, type TestDevice, deviceDomain, signBinding, signFreeze } from "./device";

export const HOUR = 3_600;
export const DAY = 86_400;

/** `validUntil` of a grant without an end. */
export const NO_END = 2n ** 40n - 1n;

/** Commitment of epoch 1 in tests. */
export const FIRST_COMMITMENT = id("first commitment");

/** Registries on the in-process network, two operators, and accounts that are nobody. */
export interface Registries {
  readonly sidecars: SidecarRegistry;
  readonly scopes: ScopeRegistry;
  readonly epochs: K3EpochCounter;
  readonly audit: CredentialAudit;
  readonly domain: TypedDataDomain;
  readonly governance: HardhatEthersSigner;
  readonly alice: HardhatEthersSigner;
  readonly bob: HardhatEthersSigner;
  readonly carol: HardhatEthersSigner;
  readonly stranger: HardhatEthersSigner;
  /** Omni of `alice`, registered. */
  readonly operator: string;
  /** Omni of `bob`, registered. */
  readonly rival: string;
}

const RegistriesModule = buildModule("Registries", (m) => ({
  ...m.useModule(ScopeRegistryModule),
  ...m.useModule(CredentialAuditModule),
}));

/** Deploys by the Ignition modules and registers `alice` and `bob`; for `loadFixture`. */
export async function registries(): Promise<Registries> {
  const [governance, alice, bob, carol, stranger] = await ethers.getSigners();
  if (!governance || !alice || !bob || !carol || !stranger) throw new Error("five accounts are needed");
  const parameters = { K3EpochCounter: { owner: governance.address, firstCommitment: FIRST_COMMITMENT } };
  const deployed = await hre.ignition.deploy(RegistriesModule, { parameters });
  const { scopeRegistry, sidecarRegistry, epochCounter, credentialAudit } = deployed;
  const sidecars = SidecarRegistry__factory.connect(await sidecarRegistry.getAddress(), alice);
  await sidecars.registerOperator();
  await sidecars.connect(bob).registerOperator();
  return {
    sidecars,
    scopes: ScopeRegistry__factory.connect(await scopeRegistry.getAddress(), alice),
    epochs: K3EpochCounter__factory.connect(await epochCounter.getAddress(), governance),
    audit: CredentialAudit__factory.connect(await credentialAudit.getAddress(), alice),
    domain: await deviceDomain(sidecars),
    governance,
    alice,
    bob,
    carol,
    stranger,
    operator: await sidecars.computeOperatorOmni(alice),
    rival: await sidecars.computeOperatorOmni(bob),
  };
}

/** Seconds from the latest block's time. */
export async function soon(seconds = HOUR): Promise<number> {
  return (await time.latest()) + seconds;
}

/** What a registration needs besides the key; the rest has the usual values. */
export type Registration = Partial<BindingFields> & {
  readonly k11CredId?: string;
  readonly popSig?: string;
  /** Who sends it, `alice` unless told. */
  readonly from?: HardhatEthersSigner;
};

/** Sends `registerAgentDevice` with a proof by the device itself; whatever is told replaces what is signed and sent. */
export async function registerAgent(r: Registries, label: string, device: TestDevice, told: Registration = {}) {
  const from = told.from ?? r.alice;
  const operatorOmni = told.operatorOmni ?? (await r.sidecars.computeOperatorOmni(from));
  const fields = {
    operatorOmni,
    actorOmni: told.actorOmni ?? (await r.sidecars.computeActorOmni(operatorOmni, label)),
    deviceKey: told.deviceKey ?? device.key,
    roles: told.roles ?? CAP_MINT,
    attestationHash: told.attestationHash ?? ZeroHash,
    deadline: told.deadline ?? (await soon()),
  };
  const popSig = told.popSig ?? (await signBinding(device, r.domain, fields));
  return r.sidecars
    .connect(from)
    .registerAgentDevice(label, device.key, fields.attestationHash, fields.deadline, popSig);
}

/** Sends `registerMasterDevice` with a proof by the device itself. */
export async function registerMaster(r: Registries, device: TestDevice, told: Registration = {}) {
  const from = told.from ?? r.alice;
  const operatorOmni = told.operatorOmni ?? (await r.sidecars.omniOf(from));
  const fields = {
    operatorOmni,
    actorOmni: told.actorOmni ?? operatorOmni,
    deviceKey: told.deviceKey ?? device.key,
    roles: told.roles ?? CAP_MINT,
    attestationHash: told.attestationHash ?? ZeroHash,
    deadline: told.deadline ?? (await soon()),
  };
  const popSig = told.popSig ?? (await signBinding(device, r.domain, fields));
  return r.sidecars
    .connect(from)
    .registerMasterDevice(
      device.key,
      fields.roles,
      told.k11CredId ?? ZeroHash,
      fields.attestationHash,
      fields.deadline,
      popSig,
    );
}

/** Sends `freeze` with an order by the device itself. */
export async function freeze(
  r: Registries,
  device: TestDevice,
  told: Partial<BindingFields> & { nonce?: bigint } = {},
) {
  const operatorOmni = told.operatorOmni ?? r.operator;
  const deadline = told.deadline ?? (await soon(HOUR / 2));
  const freezeNonce = told.nonce ?? (await r.sidecars.freezeNonce(operatorOmni));
  const sig = await signFreeze(device, r.domain, { operatorOmni, deviceKeyHash: device.hash, freezeNonce, deadline });
  return r.sidecars.connect(r.stranger).freeze(operatorOmni, device.hash, deadline, sig);
}

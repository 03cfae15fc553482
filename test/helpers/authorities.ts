import { freezeDigest } from "../../offchain/wire/freeze";
import { ZERO32 } from "../../offchain/wire/bytes";
import type { CapRequest } from "../../offchain/wire/cap-request";
import { type DataClass, OP_BIT, ROLE, type Op, serviceHash } from "../../offchain/wire/names";
import type { ProblemCode } from "../../offchain/wire/problem";
import { signDigest } from "../../offchain/wire/secp256k1";
import { ScopeRegistry__factory, SidecarRegistry__factory } from "../../typechain-types";
import type { Party, World } from "../drills/world";
import { type TestDevice, testDevice } from "./words";

/** Someone with a key who asks for something that the chain does not let this device have. */
export interface Authority {
  readonly name: string;
  readonly code: ProblemCode;
  readonly device: TestDevice;
  /** What its cap says beside the honest one's words; its `deviceKeyHash` always. */
  readonly says: Partial<CapRequest>;
  /** Only of these operations, where it is not all. */
  readonly ops?: readonly Op[];
  /** Only of these classes, where it is not all. */
  readonly classes?: readonly DataClass[];
}

const made = new WeakMap<World, Promise<readonly Authority[]>>();

/** Every way in which the chain says no, one code after another in the order of protocol 3.5; made once per world. */
export function authorities(world: World): Promise<readonly Authority[]> {
  const before = made.get(world) ?? make(world);
  made.set(world, before);
  return before;
}

async function make(world: World): Promise<readonly Authority[]> {
  const { agentDevice, masterDevice, omni, actor } = world.party;
  const [revoked, frozen, other] = [await world.newParty(), await world.newParty(), await world.newParty()];
  await (await registryOf(world, revoked).revokeDevice(revoked.agentDevice.hash)).wait();
  await freeze(world, frozen);
  const recoverer = await masterWithout(world, other);
  const [fetchOnly, storeOnly, ended] = await limitedGrants(world);
  await world.nextBlock();

  const of = (party: Party): Partial<CapRequest> => ({ operatorOmni: party.omni, actorOmni: party.actor });
  const list: readonly (Omit<Authority, "says"> & { readonly says?: Partial<CapRequest> })[] = [
    { name: "never registered", code: "device_not_active", device: testDevice() },
    { name: "revoked", code: "device_revoked", device: revoked.agentDevice, says: of(revoked) },
    { name: "of a frozen operator", code: "operator_frozen", device: frozen.agentDevice, says: of(frozen) },
    {
      name: "without CAP_MINT",
      code: "device_role_missing",
      device: recoverer,
      says: { operatorOmni: other.omni, actorOmni: other.omni },
    },
    { name: "of another operator", code: "device_binding_mismatch", device: other.agentDevice },
    { name: "for another's actor", code: "device_binding_mismatch", device: agentDevice, says: of(other) },
    { name: "for its operator", code: "device_binding_mismatch", device: agentDevice, says: { actorOmni: omni } },
    {
      name: "with another operator named",
      code: "device_binding_mismatch",
      device: agentDevice,
      says: { operatorOmni: other.omni },
    },
    {
      name: "the parent, to read",
      code: "device_binding_mismatch",
      device: masterDevice,
      says: { actorOmni: actor },
      ops: ["fetch", "classify"],
    },
    { name: "without a grant", code: "service_not_in_scope", device: agentDevice, says: { service: "never-granted" } },
    {
      name: "granted fetch",
      code: "service_not_in_scope",
      device: agentDevice,
      says: { service: fetchOnly },
      ops: ["store", "teardown", "rotate", "classify"],
    },
    {
      name: "granted store",
      code: "service_not_in_scope",
      device: agentDevice,
      says: { service: storeOnly },
      ops: ["fetch", "teardown", "classify"],
    },
    {
      name: "granted for credentials",
      code: "service_not_in_scope",
      device: agentDevice,
      says: { service: fetchOnly },
      classes: ["memory", "config"],
    },
    { name: "granted until it ended", code: "service_not_in_scope", device: agentDevice, says: { service: ended } },
    ...[0, world.epoch + 1, Number.MAX_SAFE_INTEGER].map((k3Epoch) => ({
      name: `of epoch ${String(k3Epoch)}`,
      code: "k3_epoch_mismatch" as const,
      device: agentDevice,
      says: { k3Epoch },
    })),
  ];
  return list.map((one) => ({ ...one, says: { ...one.says, deviceKeyHash: one.device.hash } }));
}

function registryOf(world: World, party: Party): ReturnType<typeof SidecarRegistry__factory.connect> {
  return SidecarRegistry__factory.connect(world.stack.contracts.SidecarRegistry, party.wallet);
}

async function freeze(world: World, party: Party): Promise<void> {
  const registry = registryOf(world, party);
  const { hash: deviceKeyHash, secret } = party.masterDevice;
  const deadline = await world.deadline(1_800);
  const freezeNonce = Number(await registry.freezeNonce(party.omni));
  const words = { operatorOmni: party.omni, deviceKeyHash, freezeNonce, deadline };
  const sig = signDigest(freezeDigest(world.separator, words), secret);
  await (await registry.freeze(party.omni, deviceKeyHash, deadline, sig)).wait();
}

/** A master device that may recover, and nothing else. */
async function masterWithout(world: World, party: Party): Promise<TestDevice> {
  const device = testDevice();
  const deadline = await world.deadline();
  const sig = world.binding(device, party.omni, party.omni, ROLE.RECOVERY, deadline);
  const sent = await registryOf(world, party).registerMasterDevice(
    device.address,
    ROLE.RECOVERY,
    ZERO32,
    ZERO32,
    deadline,
    sig,
  );
  await sent.wait();
  return device;
}

/** Services that the party's agent may only read, may only write, and might use until a moment ago. */
async function limitedGrants(world: World): Promise<readonly [string, string, string]> {
  const names = ["granted-fetch", "granted-store", "granted-before"] as const;
  const scopes = ScopeRegistry__factory.connect(world.stack.contracts.ScopeRegistry, world.party.wallet);
  const soon = await world.deadline(3);
  const grant = (service: string, ops: number, validUntil: bigint) => ({
    dataClass: 1,
    serviceHash: serviceHash(service),
    ops,
    validUntil,
  });
  const forever = 2n ** 40n - 1n;
  const grants = [
    grant(names[0], OP_BIT.fetch, forever),
    grant(names[1], OP_BIT.store, forever),
    grant(names[2], 15, BigInt(soon)),
  ];
  await (await scopes.setGrants(world.party.actor, grants)).wait();
  while (Date.now() / 1_000 <= soon) await new Promise((done) => setTimeout(done, 200));
  return names;
}

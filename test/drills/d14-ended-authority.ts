import { randomBytes } from "node:crypto";

import { toHex } from "../../offchain/wire/bytes";
import { freezeDigest } from "../../offchain/wire/freeze";
import { type Op, serviceHash } from "../../offchain/wire/names";
import type { ProblemCode } from "../../offchain/wire/problem";
import { signDigest } from "../../offchain/wire/secp256k1";
import { K3EpochCounter__factory, ScopeRegistry__factory, SidecarRegistry__factory } from "../../typechain-types";
import { countersign, mintBody, signCap, testDevice } from "../helpers/words";
import type { Drill, DrillLog } from "./drill";
import type { Party, World } from "./world";

const ZERO = `0x${"00".repeat(32)}` as const;

/** D14: authority that has ended is refused in the next block by broker, worker and vault, each by itself. */
export const d14: Drill = {
  id: "D14",
  title: "revoked device, actor or scope, frozen operator, rotated epoch, transferred operator",
  async run(world, log) {
    const endings: readonly [string, ProblemCode, (world: World, party: Party) => Promise<void>][] = [
      ["revoked device", "device_revoked", revokeDevice],
      ["revoked actor", "device_revoked", revokeActor],
      ["revoked scope", "service_not_in_scope", revokeScope],
      ["all scopes revoked", "service_not_in_scope", revokeAllScopes],
      ["frozen operator", "operator_frozen", freeze],
    ];
    for (const [name, code, end] of endings) {
      const party = await world.newParty();
      await world.as(party, async () => {
        await world.store("sk-live");
        await world.fetchHonestly(log, "sk-live");
        await end(world, party);
        await world.nextBlock();
        await refusedEverywhere(world, log, name, code);
        if (name === "revoked actor") await comesBack(world, log, party);
      });
    }
    await transferred(world, log);
    await rotatedEpoch(world, log);
  },
};

async function refusedEverywhere(
  world: World,
  log: DrillLog,
  name: string,
  code: ProblemCode,
  by = world.agentDevice,
): Promise<void> {
  const broker = await world.stolenBroker();
  for (const op of ["fetch", "store"] as const satisfies readonly Op[]) {
    const contentHash = op === "store" ? toHex(randomBytes(32)) : ZERO;
    const request = { ...world.cap({ op, contentHash }), deviceKeyHash: by.hash };
    log.refused("broker", `${name}: ${op}`, await world.mintRaw(op, mintBody(world.separator, by, request)), code);
    const cap = countersign(broker, request, signCap(world.separator, by, request));
    log.refused("worker", `${name}: ${op}`, await world.redeem(by, op, cap), code);
    log.refused("signer", `${name}: ${op}`, await world.askVault(by, op, cap), code);
  }
}

async function revokeDevice(world: World, party: Party): Promise<void> {
  await (await world.registry.revokeDevice(party.agentDevice.hash)).wait();
}

async function revokeActor(world: World, party: Party): Promise<void> {
  await (await world.registry.revokeActor(party.actor)).wait();
}

async function revokeScope(world: World, party: Party): Promise<void> {
  const scopes = ScopeRegistry__factory.connect(world.stack.contracts.ScopeRegistry, party.wallet);
  await (await scopes.revokeGrants(party.actor, [await scopes.scopeKeyOf(1, serviceHash(world.service))])).wait();
}

async function revokeAllScopes(world: World, party: Party): Promise<void> {
  const scopes = ScopeRegistry__factory.connect(world.stack.contracts.ScopeRegistry, party.wallet);
  await (await scopes.revokeAll(party.actor)).wait();
}

/** Anyone submits what a master device signed. */
async function freeze(world: World, party: Party): Promise<void> {
  const stranger = SidecarRegistry__factory.connect(world.stack.contracts.SidecarRegistry, await world.newWallet());
  const freezeNonce = Number(await stranger.freezeNonce(party.omni));
  const deadline = await world.deadline(1_800);
  const words = { operatorOmni: party.omni, deviceKeyHash: party.masterDevice.hash, freezeNonce, deadline };
  const sig = signDigest(freezeDigest(world.separator, words), party.masterDevice.secret);
  await (await stranger.freeze(party.omni, party.masterDevice.hash, deadline, sig)).wait();
}

/** The actor registered again under the same label starts with nothing: neither device nor grant revives. */
async function comesBack(world: World, log: DrillLog, party: Party): Promise<void> {
  const device = testDevice();
  const deadline = await world.deadline();
  const sig = world.binding(device, party.omni, party.actor, 1, deadline);
  await (await world.registry.registerAgentDevice("agent-a", device.address, ZERO, deadline, sig)).wait();
  await world.nextBlock();
  await refusedEverywhere(world, log, "old device after its actor came back", "device_revoked");
  await refusedEverywhere(world, log, "new device without a new grant", "service_not_in_scope", device);
}

/** After a transfer the old account and its master devices are nobody; the agents go on. */
async function transferred(world: World, log: DrillLog): Promise<void> {
  const party = await world.newParty();
  await world.as(party, async () => {
    await world.store("sk-before-transfer");
    const heir = await world.newWallet();
    await (await world.registry.transferOperator(heir.address)).wait();
    await world.passTime(48 * 3_600 + 1);
    const accepting = SidecarRegistry__factory.connect(world.stack.contracts.SidecarRegistry, heir);
    await (await accepting.acceptOperator(party.omni)).wait();
    await world.nextBlock();
    await refusedEverywhere(world, log, "master device of before the transfer", "device_revoked", party.masterDevice);
    await world.fetchHonestly(log, "sk-before-transfer");
  });
}

/** A cap of the old epoch is dead; the vault that has no key for the new one says so instead of inventing one. */
async function rotatedEpoch(world: World, log: DrillLog): Promise<void> {
  await world.passTime(3_601);
  const commitment = await world.stack.prepareEpoch();
  const counter = K3EpochCounter__factory.connect(world.stack.contracts.K3EpochCounter, world.developer);
  await (await counter.advanceEpoch(commitment)).wait();
  await world.nextBlock();
  await refusedEverywhere(world, log, "rotated epoch", "k3_epoch_mismatch");
  world.epoch += 1;
  const { secret } = await world.fetch();
  log.honest("an object of the old epoch is read", secret !== undefined);
  const stored = await world.storeHonestly(log);
  await world.fetchHonestly(log, stored);
}

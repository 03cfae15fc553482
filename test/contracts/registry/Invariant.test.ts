import { loadFixture } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import { expect } from "chai";
import fc from "fast-check";

import { DAY, HOUR, registries } from "../../helpers/registry";
import { type Command, key } from "../../helpers/registry-model";
import { type Intent, RegistryWorld, TWISTS, consentOf, nameOf, scopeOf } from "../../helpers/registry-world";

const LABELS = ["a", "b"] as const;
const SCOPES = ["1 openrouter", "1 github", "2 openrouter", "3 memory:travel"] as const;
const DEVICES = 8;
const ACCOUNTS = 5;

/** Device, operator asked for, label asked for (none: the operator's own actor), operator of the actor asked for. */
type Question = readonly [number, number, string | undefined, number];

// A fixed seed: the same sequences every time, so that a failure is everybody's failure.
// The limit stops the search for a shorter counterexample, which replays sequence after sequence.
const RUNS = { numRuns: 36, seed: 20_260_101, interruptAfterTimeLimit: 240_000, markInterruptAsFailure: true } as const;

const KINDS: readonly { readonly weight: number; readonly arbitrary: fc.Arbitrary<Command["kind"]> }[] = [
  { weight: 10, arbitrary: fc.constant("register") },
  { weight: 8, arbitrary: fc.constantFrom("setGrants", "setGrants", "revokeGrants") },
  { weight: 9, arbitrary: fc.constantFrom("rotate", "revokeActor", "freeze") },
  { weight: 4, arbitrary: fc.constantFrom("revokeDevice", "unfreeze") },
  { weight: 4, arbitrary: fc.constantFrom("transferOperator", "acceptOperator", "acceptOperator") },
  {
    weight: 4,
    arbitrary: fc.constantFrom("registerOperator", "cancelTransfer", "revokeAll", "advanceEpoch"),
  },
];

const INTENT: fc.Arbitrary<Intent> = fc.record({
  kind: fc.oneof(...KINDS),
  // Mostly those who have an operator from the start.
  caller: fc.oneof({ weight: 3, arbitrary: fc.constantFrom(1, 2) }, { weight: 2, arbitrary: fc.nat(ACCOUNTS - 1) }),
  other: fc.nat(ACCOUNTS - 1),
  device: fc.nat(DEVICES - 1),
  second: fc.nat(DEVICES - 1),
  own: fc.oneof({ weight: 4, arbitrary: fc.constant(true) }, { weight: 1, arbitrary: fc.constant(false) }),
  label: fc.constantFrom(undefined, "a", "a", "b"),
  roles: fc.oneof(
    { weight: 9, arbitrary: fc.integer({ min: 1, max: 7 }) },
    { weight: 1, arbitrary: fc.constantFrom(0, 8) },
  ),
  twist: fc.oneof(
    { weight: 3, arbitrary: fc.constant(undefined) },
    { weight: 1, arbitrary: fc.constantFrom(...TWISTS) },
  ),
  pick: fc.nat(DAY),
  grants: fc.array(
    fc.record({
      scope: fc.constantFrom(...SCOPES),
      ops: fc.oneof(
        { weight: 12, arbitrary: fc.integer({ min: 1, max: 15 }) },
        { weight: 1, arbitrary: fc.constantFrom(0, 16) },
      ),
      seconds: fc.oneof(
        { weight: 12, arbitrary: fc.integer({ min: 1, max: 9 * DAY }) },
        { weight: 1, arbitrary: fc.constant(0) },
      ),
    }),
    { minLength: 1, maxLength: 3 },
  ),
  wait: fc.oneof({ weight: 6, arbitrary: fc.nat(60) }, { weight: 2, arbitrary: fc.constantFrom(HOUR, DAY, 2 * DAY) }),
});

const REACHED: readonly string[] = [
  "registerOperator done",
  "register done",
  "rotate done",
  "revokeDevice done",
  "revokeActor done",
  "freeze done",
  "unfreeze done",
  "transferOperator done",
  "acceptOperator done",
  "cancelTransfer done",
  "setGrants done",
  "revokeGrants done",
  "revokeAll done",
  "advanceEpoch done",
  "register SignerMismatch",
  "register ECDSAInvalidSignature",
  "register DeviceAlreadyRegistered",
  "register OperatorIsFrozen",
  "register NotMaster",
  "rotate SignerMismatch",
  "rotate DeviceNotOfOperator",
  "freeze SignerMismatch",
  "freeze DeviceNotOfOperator",
  "acceptOperator NotNewMaster",
  "acceptOperator TransferTooEarly",
  "setGrants ActorNotOfOperator",
  "setGrants ActorNotLive",
];

describe("invariants of the registries, under random callers and sequences", () => {
  async function world(): Promise<RegistryWorld> {
    return RegistryWorld.of(await loadFixture(registries), DEVICES, LABELS);
  }

  // Nobody is bound who did not sign, or for an operator that did not ask; what ended stays ended.
  async function devicesAreConsentedAndStayDead(w: RegistryWorld, touched: readonly number[]): Promise<void> {
    for (const [index, { hash }] of w.devices.entries()) {
      const active = await w.r.sidecars.isActive(hash);
      const state = w.model.devices.get(index);
      expect(active).to.equal(w.model.isActive(index));
      if (state !== undefined && !active) w.dead.add(index);
      expect(active && w.dead.has(index), "a device that ended is active again").to.equal(false);
      if (!touched.includes(index)) continue;
      const device = await w.r.sidecars.getDevice(hash);
      expect(device.tier === 0n).to.equal(state === undefined);
      if (state === undefined) continue;
      const { actor, roles } = state;
      expect(device.operatorOmni).to.equal(w.omni({ operator: actor.operator }));
      expect(device.actorOmni).to.equal(w.omni(actor));
      expect(device.roles).to.equal(roles);
      expect(w.consents.has(consentOf(index, actor, roles)), "the key itself signed this binding").to.equal(true);
      expect(w.asked.has(nameOf(actor)), "the operator asked for this actor").to.equal(true);
    }
  }

  async function actorsBelongToWhoAsked(w: RegistryWorld): Promise<void> {
    for (const operator of w.accounts.keys()) {
      for (const label of LABELS) {
        const actor = { operator, label };
        const owner = await w.r.sidecars.operatorOf(w.omni(actor));
        const known = w.model.actors.get(key(actor));
        expect(owner).to.equal(known === undefined ? w.omni({ operator: -1 }) : w.omni({ operator }));
        if (known !== undefined) expect(w.asked.has(nameOf(actor))).to.equal(true);
        expect(await w.r.sidecars.isLive(w.omni(actor))).to.equal(known?.live ?? false);
        const { grants } = await w.r.scopes.grantsOf(w.omni({ operator }), w.omni(actor), 0, 100);
        const listed = grants.map((g) => `${g.dataClass} ${g.serviceHash} ${g.ops} ${g.validUntil}`).sort();
        const wanted = [...(known?.grants ?? [])].map(([scope, { ops, validUntil }]) => {
          const { dataClass, serviceHash } = scopeOf(scope);
          return `${dataClass} ${serviceHash} ${ops} ${validUntil}`;
        });
        expect(listed, "grants that nobody wrote since the last end").to.deep.equal(wanted.sort());
      }
    }
  }

  async function operatorsAgree(w: RegistryWorld): Promise<void> {
    for (const [operator, account] of w.accounts.entries()) {
      const omni = w.omni({ operator });
      const state = w.model.operators.get(operator);
      const master = state === undefined ? undefined : w.accounts[state.master];
      expect(await w.r.sidecars.masterOf(omni)).to.equal(master?.address ?? `0x${"00".repeat(20)}`);
      expect(await w.r.sidecars.isFrozen(omni)).to.equal(state?.frozen ?? false);
      expect(await w.r.sidecars.freezeNonce(omni)).to.equal(state?.nonce ?? 0);
      const current = w.model.operatorOf(operator);
      expect(await w.r.sidecars.omniOf(account)).to.equal(w.omni({ operator: current ?? -1 }));
    }
  }

  // One word of difference in one of these questions is a wrong decision at a worker.
  async function accessAgrees(
    w: RegistryWorld,
    scopes: readonly string[],
    questions: Iterable<Question>,
  ): Promise<void> {
    for (const [device, operator, label, asked] of questions) {
      for (const scope of scopes) {
        const actor = { operator: asked, ...(label === undefined ? {} : { label }) };
        const { dataClass, serviceHash } = scopeOf(scope);
        const omni = w.omni({ operator });
        const answer = await w.r.scopes.checkAccess(w.device(device).hash, omni, w.omni(actor), dataClass, serviceHash);
        const facts = {
          registered: answer.deviceRegistered,
          notRevoked: answer.deviceNotRevoked,
          operatorNotFrozen: answer.operatorNotFrozen,
          mayMint: answer.deviceMayMint,
          binding: Number(answer.binding),
          isOperatorSelf: answer.isOperatorSelf,
          grantOps: Number(answer.grantOps),
          grantValidUntil: Number(answer.grantValidUntil),
          epoch: Number(answer.k3Epoch),
        };
        expect(facts).to.deep.equal(w.model.facts(device, operator, actor, scope));
      }
    }
  }

  function* everyQuestion(): Generator<Question> {
    for (let device = 0; device < DEVICES; ++device) {
      for (let operator = 0; operator < ACCOUNTS; ++operator) {
        for (const label of [undefined, ...LABELS]) {
          yield [device, operator, label, operator];
        }
      }
    }
  }

  it("every answer, binding, grant and access fact is the model's", async () => {
    const seen = new Map<string, number>();
    await fc.assert(
      fc.asyncProperty(fc.array(INTENT, { minLength: 25, maxLength: 50, size: "max" }), async (intents) => {
        const w = await world();
        for (const intent of intents) {
          const { command, expected, actual } = await w.play(intent);
          expect(actual, JSON.stringify(command)).to.equal(expected);
          const outcome = `${command.kind} ${actual ?? "done"}`;
          seen.set(outcome, (seen.get(outcome) ?? 0) + 1);
          await devicesAreConsentedAndStayDead(w, [intent.device, intent.second]);
          await accessAgrees(w, SCOPES, [[intent.device, intent.other, intent.label, intent.second % ACCOUNTS]]);
        }
        await devicesAreConsentedAndStayDead(w, [...w.devices.keys()]);
        await operatorsAgree(w);
        await actorsBelongToWhoAsked(w);
        await accessAgrees(w, SCOPES.slice(0, 1), everyQuestion());
      }),
      RUNS,
    );
    // The sequences are of use only if they get somewhere: every change happens, and so do the refusals that matter.
    expect(REACHED.filter((outcome) => !seen.has(outcome))).to.deep.equal([]);
  }).timeout(300_000);
});

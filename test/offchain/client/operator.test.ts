import { randomBytes } from "node:crypto";

import { expect } from "chai";

import { connectAccount, connectContracts } from "../../../offchain/chain/connect";
import type { Deployment, EntryPointVersion } from "../../../offchain/chain/deployment";
import { type Authenticator, contractPasskey } from "../../../offchain/client/authenticator";
import { deviceKey } from "../../../offchain/client/device-key-file";
import { rotateEpoch } from "../../../offchain/client/governance";
import type { GrantWish } from "../../../offchain/client/grants";
import { type Operator, openOperator } from "../../../offchain/client/operator";
import { newSoftwarePasskey, softwareAuthenticator } from "../../../offchain/client/software-authenticator";
import { type Hex, toHex } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { NO_END, actorOmni, operatorOmni } from "../../../offchain/wire/names";
import type { Result } from "../../../offchain/wire/result";
import { deployAgentKeys } from "../../../scripts/lib/deploy-agentkeys";
import { DEVELOPMENT_KEY, type HardhatNode, startHardhatNode } from "../../helpers/hardhat-node";
import { startRpcProxy } from "../../helpers/rpc-proxy";
import { SOME_COMMITMENT } from "../../helpers/registries";

const WORLDS: readonly { hardfork: "osaka" | "prague" | "cancun"; version: EntryPointVersion }[] = [
  { hardfork: "osaka", version: "0.8" },
  { hardfork: "prague", version: "0.7" },
  { hardfork: "cancun", version: "0.8" },
];

const OPENROUTER: GrantWish = {
  dataClass: "credentials",
  service: "openrouter",
  ops: ["store", "fetch"],
  validUntil: NO_END,
};

function value<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.failure.code}: ${result.failure.detail}`);
  return result.value;
}

/** A passkey that remembers what its owner was shown. */
function watched(inner: Authenticator): Authenticator & { readonly seen: string[][] } {
  const seen: string[][] = [];
  return {
    ...inner,
    seen,
    getAssertion(challenge, shown) {
      seen.push([...shown]);
      return inner.getAssertion(challenge, shown);
    },
  };
}

for (const { hardfork, version } of WORLDS) {
  describe(`operator, EntryPoint ${version}, ${hardfork}`, () => {
    let node: HardhatNode;
    let deployment: Deployment;
    let authenticator: ReturnType<typeof watched>;
    let operator: Operator;

    before(async () => {
      await keccakReady();
      node = await startHardhatNode(hardfork);
      deployment = await deployAgentKeys({
        rpcUrl: node.url,
        deployerKey: DEVELOPMENT_KEY,
        k3Commitment: SOME_COMMITMENT,
        entryPointVersion: version,
      });
      authenticator = watched(softwareAuthenticator(newSoftwarePasskey()));
      operator = value(
        await openOperator({
          rpcUrl: node.url,
          deployment,
          authenticator,
          relay: { kind: "direct", key: DEVELOPMENT_KEY },
        }),
      );
    });

    after(async () => {
      operator.close();
      await node.stop();
    });

    it("chooses the verifier that the chain needs", () => {
      expect(deployment.contracts.P256Verifier === undefined).to.equal(hardfork !== "cancun");
      expect(deployment.entryPointVersion).to.equal(version);
    });

    it("refuses acts of an operator that is not there yet", async () => {
      const refused = await operator.grantScope("agent-a", [OPENROUTER]);
      expect(refused.ok ? undefined : refused.failure.code).to.equal("caller_not_allowed");
      expect(authenticator.seen).to.deep.equal([]);
    });

    it("makes the account and the operator in one operation, once", async () => {
      const first = value(await operator.registerMaster());
      expect(first.changed).to.equal(true);
      expect(first.operatorOmni).to.equal(operatorOmni(first.account));
      expect(authenticator.seen).to.deep.equal([["SidecarRegistry.registerOperator()"]]);
      const account = connectAccount(first.account, node.provider);
      expect(await account.isPasskey(contractPasskey(authenticator.credential).credIdHash)).to.equal(true);
      const { sidecarRegistry } = connectContracts(deployment, node.provider);
      expect((await sidecarRegistry.masterOf(first.operatorOmni)).toLowerCase()).to.equal(first.account);
      const second = value(await operator.registerMaster());
      const { operation, ...identity } = first;
      expect(operation?.gasUsed).to.be.above(21_000);
      expect(second).to.deep.equal({ ...identity, changed: false });
      expect(authenticator.seen).to.have.length(1);
    });

    it("registers the operator's own device and revokes it although it is the only one", async () => {
      const device = deviceKey(randomBytes(32));
      const { changed } = value(await operator.registerMasterDevice(device, { recovery: true }));
      expect(changed).to.equal(true);
      expect(value(await operator.registerMasterDevice(device, { recovery: true })).changed).to.equal(false);
      const otherRoles = await operator.registerMasterDevice(device);
      expect(otherRoles.ok ? "" : otherRoles.failure.detail).to.match(/registered once/);
      expect(value(await operator.revokeDevice(device.deviceKeyHash)).changed).to.equal(true);
      expect(value(await operator.revokeDevice(device.deviceKeyHash)).changed).to.equal(false);
      const again = await operator.registerMasterDevice(device, { recovery: true });
      expect(again.ok ? "" : again.failure.detail).to.match(/was revoked/);
    });

    it("registers an agent with its first grant in one tap, and shows both", async () => {
      const device = deviceKey(randomBytes(32));
      const taps = authenticator.seen.length;
      const first = value(await operator.registerAgent({ label: "agent-a", device, grants: [OPENROUTER] }));
      expect(first.changed).to.equal(true);
      expect(first.actorOmni).to.equal(actorOmni(first.operatorOmni, "agent-a"));
      expect(authenticator.seen).to.have.length(taps + 1);
      const [register, grant] = authenticator.seen.at(-1) ?? [];
      expect(register).to.match(/^SidecarRegistry\.registerAgentDevice\(label: agent-a, key: 0x/);
      expect(grant).to.match(
        /^ScopeRegistry\.setGrants\(actorOmni: agent agent-a \(0x.*serviceHash: openrouter \(0x.*ops: 3/,
      );
      const again = await operator.registerAgent({ label: "agent-a", device, grants: [OPENROUTER] });
      expect(value(again).changed).to.equal(false);
      const elsewhere = await operator.registerAgent({ label: "agent-b", device });
      expect(elsewhere.ok ? "" : elsewhere.failure.detail).to.match(/serves another actor/);
    });

    it("grants what does not stand yet", async () => {
      const memory: GrantWish = { dataClass: "memory", service: "memory:travel", ops: ["fetch"], validUntil: NO_END };
      expect(value(await operator.grantScope("agent-a", [OPENROUTER, memory])).changed).to.equal(true);
      expect(authenticator.seen.at(-1)?.join()).to.include("memory:travel").and.not.include("openrouter");
      expect(value(await operator.grantScope("agent-a", [OPENROUTER, memory])).changed).to.equal(false);
    });

    it("names a contract's refusal before the owner is asked", async () => {
      const taps = authenticator.seen.length;
      const unknown = await operator.grantScope("nobody", [OPENROUTER]);
      expect(unknown.ok ? undefined : unknown.failure.code).to.equal("device_binding_mismatch");
      const past = await operator.grantScope("agent-a", [{ ...OPENROUTER, service: "other", validUntil: 1 }]);
      expect(past.ok ? undefined : past.failure.code).to.equal("request_malformed");
      const label = await operator.grantScope("Agent", [OPENROUTER]);
      expect(label.ok ? undefined : label.failure.code).to.equal("request_malformed");
      expect(authenticator.seen).to.have.length(taps);
    });

    it("ends an agent with everything of it, and the agent can come back with nothing", async () => {
      const { operatorOmni: omni } = value(await operator.identity());
      const actor = actorOmni(omni, "agent-a");
      expect(value(await operator.revokeActor(actor)).changed).to.equal(true);
      expect(value(await operator.revokeActor(actor)).changed).to.equal(false);
      const device = deviceKey(randomBytes(32));
      expect(value(await operator.registerAgent({ label: "agent-a", device })).changed).to.equal(true);
      expect(value(await operator.grantScope("agent-a", [OPENROUTER])).changed).to.equal(true);
    });

    it("does not sign when the EntryPoint computes another hash", async () => {
      const proxy = await startRpcProxy(node.url);
      try {
        const wary = value(
          await openOperator({
            rpcUrl: proxy.url,
            deployment,
            authenticator,
            relay: { kind: "direct", key: DEVELOPMENT_KEY },
          }),
        );
        const taps = authenticator.seen.length;
        // getUserOpHash(PackedUserOperation), the same selector in both versions
        proxy.faults.lie = { selector: "0x22cdde4c", rewrite: () => toHex(Buffer.alloc(32, 7)) };
        const refused = await wary.grantScope("agent-a", [{ ...OPENROUTER, service: "lied-about" }]);
        expect(refused.ok ? "" : refused.failure.detail).to.match(/computes another hash/);
        expect(authenticator.seen).to.have.length(taps);
        wary.close();
      } finally {
        await proxy.stop();
      }
    });

    it("rotates the epoch by governance only, and not twice to the same commitment", async () => {
      const commitment: Hex = `0x${"55".repeat(32)}`;
      const options = { rpcUrl: node.url, deployment, commitment };
      const stranger = await rotateEpoch({ ...options, key: toHex(randomBytes(32)) });
      expect(stranger.ok ? undefined : stranger.failure.code).to.equal("caller_not_allowed");
      expect(value(await rotateEpoch({ ...options, key: DEVELOPMENT_KEY }))).to.include({ epoch: 2, changed: true });
      expect(value(await rotateEpoch({ ...options, key: DEVELOPMENT_KEY }))).to.include({ epoch: 2, changed: false });
      const early = await rotateEpoch({ ...options, commitment: SOME_COMMITMENT, key: DEVELOPMENT_KEY });
      expect(early.ok ? "" : early.failure.detail).to.match(/once an hour/);
    });

    it("refuses the wrong chain, and no chain", async () => {
      const options = { deployment: { ...deployment, chainId: 1 }, authenticator, relay: { kind: "direct" } as const };
      const wrong = await openOperator({ ...options, rpcUrl: node.url });
      expect(wrong.ok ? "" : wrong.failure.detail).to.match(/serves chain 31337/);
      const none = await openOperator({ ...options, rpcUrl: "http://127.0.0.1:1" });
      expect(none.ok ? undefined : none.failure.code).to.equal("chain_unavailable");
    });
  });
}

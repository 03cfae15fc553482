import { randomBytes } from "node:crypto";

import { expect } from "chai";
import { Wallet, parseEther } from "ethers";

import { connectContracts } from "../../../offchain/chain/connect";
import type { Deployment, EntryPointVersion } from "../../../offchain/chain/deployment";
import { entryPointAt } from "../../../offchain/chain/entry-point";
import { type DeviceKey, deviceKey } from "../../../offchain/client/device-key-file";
import { type Operator, openOperator } from "../../../offchain/client/operator";
import { PAYMASTER_ACTS, actOnPaymaster, fundPaymaster, paymasterStatus } from "../../../offchain/client/paymaster";
import type { Relay } from "../../../offchain/client/send-operation";
import { newSoftwarePasskey, softwareAuthenticator } from "../../../offchain/client/software-authenticator";
import type { Hex } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { NO_END } from "../../../offchain/wire/names";
import type { Result } from "../../../offchain/wire/result";
import { deployAgentKeys } from "../../../scripts/lib/deploy-agentkeys";
import { type Bundler, startBundler } from "../../helpers/bundler";
import { DEVELOPMENT_KEY, type HardhatNode, startHardhatNode } from "../../helpers/hardhat-node";
import { SOME_COMMITMENT } from "../../helpers/registries";

const VERSIONS: readonly EntryPointVersion[] = ["0.7", "0.8"];
const DAY = 86_400;

function value<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.failure.code}: ${result.failure.detail}`);
  return result.value;
}

function refusal(result: Result<unknown>): string {
  return result.ok ? "it succeeded" : `${result.failure.code}: ${result.failure.detail}`;
}

for (const version of VERSIONS) {
  describe(`a sponsored operator, EntryPoint ${version}`, () => {
    let node: HardhatNode;
    let deployment: Deployment;
    let bundler: Bundler;
    let sponsor: DeviceKey;
    let where: { readonly rpcUrl: string; readonly deployment: Deployment; readonly key: Hex };
    const opened: Operator[] = [];

    before(async () => {
      await keccakReady();
      node = await startHardhatNode();
      sponsor = deviceKey(randomBytes(32));
      deployment = await deployAgentKeys({
        rpcUrl: node.url,
        deployerKey: DEVELOPMENT_KEY,
        k3Commitment: SOME_COMMITMENT,
        entryPointVersion: version,
        sponsor: sponsor.address,
      });
      where = { rpcUrl: node.url, deployment, key: DEVELOPMENT_KEY };
      await fundPaymaster(where);
      bundler = await startBundler(node.provider, deployment);
    });

    after(async () => {
      for (const operator of opened) operator.close();
      await bundler.stop();
      await node.stop();
    });

    /** A new operator, who has nothing, and the account that will be theirs. */
    async function open(by = sponsor, relay: Relay = { kind: "direct", key: DEVELOPMENT_KEY }) {
      const authenticator = softwareAuthenticator(newSoftwarePasskey());
      const operator = value(await openOperator({ rpcUrl: node.url, deployment, authenticator, relay, sponsor: by }));
      opened.push(operator);
      return { operator, account: value(await operator.identity()).account };
    }

    const budget = async (account: Hex, wei: bigint): Promise<void> => {
      value(await actOnPaymaster(where, PAYMASTER_ACTS.budget(account, wei, DAY, NO_END)));
    };
    const depositOf = async (address: string) =>
      (await entryPointAt(deployment.entryPoint, node.provider).getFunction("balanceOf")(address)) as bigint;

    for (const kind of ["direct", "bundler"] as const) {
      it(`makes the account and acts without any money of its own (${kind})`, async () => {
        const relay: Relay = kind === "bundler" ? { kind, url: bundler.url } : { kind, key: DEVELOPMENT_KEY };
        const { operator, account } = await open(sponsor, relay);
        await budget(account, parseEther("1"));
        const before = await depositOf(deployment.contracts.OperatorPaymaster);
        expect(value(await operator.registerMaster()).changed).to.equal(true);
        const device = deviceKey(randomBytes(32));
        expect(value(await operator.registerAgent({ label: "agent-a", device })).changed).to.equal(true);
        expect(await node.provider.getBalance(account)).to.equal(0n);
        expect(await depositOf(account)).to.equal(0n);
        const paid = before - (await depositOf(deployment.contracts.OperatorPaymaster));
        const left = value(await paymasterStatus(where, account)).budget?.left ?? 0n;
        expect(paid > 0n && parseEther("1") - left >= paid).to.equal(true);
      });
    }

    it("says before anything is signed that the budget is missing, or has too little left", async () => {
      const { operator, account } = await open();
      expect(refusal(await operator.registerMaster())).to.match(/^caller_not_allowed: .*no budget for 0x/);
      await budget(account, 7n);
      expect(refusal(await operator.registerMaster())).to.match(
        new RegExp(
          `^caller_not_allowed: The budget of ${account} for this window has 7 wei left; .* may cost [0-9]+\\.$`,
        ),
      );
      await budget(account, parseEther("1"));
      expect(value(await operator.registerMaster()).changed).to.equal(true);
    });

    it("says that the key is no sponsor's, and stops at once when it was removed", async () => {
      const { operator, account } = await open(deviceKey(randomBytes(32)));
      await budget(account, parseEther("1"));
      expect(refusal(await operator.registerMaster())).to.match(/^caller_not_allowed: .*no sponsor/);
      const other = deviceKey(randomBytes(32));
      value(await actOnPaymaster(where, PAYMASTER_ACTS.addSponsor(other.address)));
      const { operator: theirs, account: second } = await open(other);
      await budget(second, parseEther("1"));
      value(await theirs.registerMaster());
      value(await actOnPaymaster(where, PAYMASTER_ACTS.removeSponsor(other.address)));
      expect(refusal(await theirs.registerMasterDevice(deviceKey(randomBytes(32))))).to.match(/no sponsor/);
    });

    it("says that the deposit is too low", async () => {
      const { operator, account } = await open();
      await budget(account, parseEther("1"));
      const deposit = await depositOf(deployment.contracts.OperatorPaymaster);
      const to: Hex = `0x${"ab".repeat(20)}`;
      value(await actOnPaymaster(where, PAYMASTER_ACTS.withdraw(to, deposit - 5n)));
      expect(refusal(await operator.registerMaster())).to.match(/^caller_not_allowed: .*deposit/);
      value(await actOnPaymaster(where, PAYMASTER_ACTS.deposit(deposit)));
      expect(value(await operator.registerMaster()).changed).to.equal(true);
    });

    it("names the contract's own refusal to whoever is not the owner", async () => {
      const key = Wallet.createRandom().privateKey as Hex;
      const done = await actOnPaymaster({ ...where, key }, PAYMASTER_ACTS.addSponsor(`0x${"ab".repeat(20)}`));
      expect(refusal(done)).to.match(/^caller_not_allowed: Only the contract's owner/);
      const { paymaster } = connectContracts(deployment, node.provider);
      expect(await paymaster.isSponsor(`0x${"ab".repeat(20)}`)).to.equal(false);
    });
  });
}

import { randomBytes } from "node:crypto";

import { expect } from "chai";
import { parseEther } from "ethers";

import type { Deployment } from "../../../offchain/chain/deployment";
import { deviceKey } from "../../../offchain/client/device-key-file";
import { type Operator, openOperator } from "../../../offchain/client/operator";
import { newSoftwarePasskey, softwareAuthenticator } from "../../../offchain/client/software-authenticator";
import { keccakReady } from "../../../offchain/wire/keccak";
import { deployAgentKeys } from "../../../scripts/lib/deploy-agentkeys";
import { type Bundler, startBundler } from "../../helpers/bundler";
import { type HardhatNode, startHardhatNode } from "../../helpers/hardhat-node";
import { SOME_COMMITMENT } from "../../helpers/registries";

describe("operator through a bundler", () => {
  let node: HardhatNode;
  let deployment: Deployment;
  let bundler: Bundler;
  let operator: Operator;

  before(async () => {
    await keccakReady();
    node = await startHardhatNode();
    deployment = await deployAgentKeys({ rpcUrl: node.url, k3Commitment: SOME_COMMITMENT });
    bundler = await startBundler(node.provider, deployment);
    operator = await open(bundler.url);
  });

  after(async () => {
    operator.close();
    await bundler.stop();
    await node.stop();
  });

  async function open(url: string): Promise<Operator> {
    const opened = await openOperator({
      rpcUrl: node.url,
      deployment,
      authenticator: softwareAuthenticator(newSoftwarePasskey()),
      relay: { kind: "bundler", url },
    });
    if (!opened.ok) throw new Error(opened.failure.detail);
    return opened.value;
  }

  it("says that the account needs money", async () => {
    const refused = await operator.registerMaster();
    expect(refused.ok ? undefined : refused.failure.code).to.equal("caller_not_allowed");
    expect(refused.ok ? "" : refused.failure.detail).to.match(/The bundler refused/);
  });

  it("sends the unpacked form, and the account pays", async () => {
    const identity = await operator.identity();
    if (!identity.ok) throw new Error(identity.failure.detail);
    const { account } = identity.value;
    const funder = await node.provider.getSigner(0);
    await (await funder.sendTransaction({ to: account, value: parseEther("1") })).wait();
    const made = await operator.registerMaster();
    expect(made.ok && made.value.changed).to.equal(true);
    const device = deviceKey(randomBytes(32));
    const registered = await operator.registerAgent({ label: "agent-a", device });
    expect(registered.ok && registered.value.operation?.gasUsed).to.be.above(100_000);
    expect((await node.provider.getBalance(account)) < parseEther("1")).to.equal(true);
    expect(new Set(bundler.asked)).to.deep.equal(
      new Set(["eth_estimateUserOperationGas", "eth_sendUserOperation", "eth_getUserOperationReceipt"]),
    );
  });

  it("refuses when the bundler does not answer", async () => {
    const lonely = await open("http://127.0.0.1:1");
    const refused = await lonely.registerMaster();
    expect(refused.ok ? undefined : refused.failure.code).to.equal("chain_unavailable");
    lonely.close();
  });
});

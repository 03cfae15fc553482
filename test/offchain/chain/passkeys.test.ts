import { expect } from "chai";
import { AbiCoder, JsonRpcSigner } from "ethers";

import { type Passkey, decodePasskeys } from "../../../offchain/chain/passkeys";
import { type ChainReader, chainReader } from "../../../offchain/chain/reader";
import { type Deployment, registryAddresses } from "../../../offchain/chain/deployment";
import type { Hex } from "../../../offchain/wire/bytes";
import { keccakReady } from "../../../offchain/wire/keccak";
import { deployAgentKeys } from "../../../scripts/lib/deploy-agentkeys";
import { MasterAccountFactory__factory, MasterAccount__factory } from "../../../typechain-types";
import { testAuthenticator } from "../../helpers/assertion";
import { type HardhatNode, startHardhatNode } from "../../helpers/hardhat-node";
import { SOME_COMMITMENT } from "../../helpers/registries";
import { type RpcProxy, replaceWord, startRpcProxy } from "../../helpers/rpc-proxy";

const encode = (passkeys: readonly Passkey[]): Hex =>
  AbiCoder.defaultAbiCoder().encode(
    ["tuple(bytes32 credIdHash, bytes32 rpIdHash, bytes32 x, bytes32 y)[]"],
    [passkeys],
  ) as Hex;

describe("decodePasskeys", () => {
  before(keccakReady);
  const some = (count: number): Passkey[] => Array.from({ length: count }, () => testAuthenticator().passkey);

  it("reads 0 to 16 passkeys", () => {
    for (const count of [0, 1, 2, 16]) {
      const passkeys = some(count);
      expect(decodePasskeys(encode(passkeys))).to.deep.equal(passkeys);
    }
    expect(decodePasskeys("0x")).to.deep.equal([]);
  });

  it("reads nothing else", () => {
    const good = encode(some(2));
    const [one] = some(1);
    if (one === undefined) throw new Error("there is one");
    const word = (value: number): string => value.toString(16).padStart(64, "0");
    const rows: Readonly<Record<string, string>> = {
      "17 passkeys": encode(some(17)),
      "one passkey twice": encode([one, one]),
      "one credential id twice": encode([one, { ...testAuthenticator().passkey, credIdHash: one.credIdHash }]),
      "cut by a word": good.slice(0, -64),
      "cut by a byte": good.slice(0, -2),
      "a word behind": good + word(0),
      "a byte behind": `${good}00`,
      "another offset": `0x${word(64)}${good.slice(66)}`,
      "a length of 3": `0x${word(32)}${word(3)}${good.slice(130)}`,
      "a length of 1": `0x${word(32)}${word(1)}${good.slice(130)}`,
      "a length of 2^256-1": `0x${word(32)}${"f".repeat(64)}${good.slice(130)}`,
      "one word": `0x${word(32)}`,
    };
    for (const [name, answer] of Object.entries(rows)) expect(decodePasskeys(answer as Hex), name).to.equal(undefined);
    expect(decodePasskeys(good)).to.have.length(2);
  });
});

describe("chainReader: passkeysOf", () => {
  let node: HardhatNode;
  let deployment: Deployment;
  let account: Hex;
  let proxies: readonly RpcProxy[] = [];
  const passkeys: Passkey[] = [];
  const readers: ChainReader[] = [];

  before(async () => {
    await keccakReady();
    node = await startHardhatNode();
    deployment = await deployAgentKeys({ rpcUrl: node.url, k3Commitment: SOME_COMMITMENT });
    const factory = MasterAccountFactory__factory.connect(
      deployment.contracts.MasterAccountFactory,
      await node.provider.getSigner(0),
    );
    const first = testAuthenticator().passkey;
    passkeys.push(first);
    await (await factory.createAccount(first, 0)).wait();
    account = (
      (await factory.getFunction("getAddress((bytes32,bytes32,bytes32,bytes32),uint256)")(first, 0)) as string
    ).toLowerCase() as Hex;
    proxies = await Promise.all([startRpcProxy(node.url), startRpcProxy(node.url)]);
  });

  after(async () => {
    await Promise.all(readers.map((reader) => reader.close()));
    await Promise.all(proxies.map((proxy) => proxy.stop()));
    await node.stop();
  });

  function reader(quorum: number): ChainReader {
    const made = chainReader({
      rpcUrls: proxies.map(({ url }) => url),
      quorum,
      chainId: 31337,
      contracts: registryAddresses(deployment),
      profile: "local",
      now: () => Math.floor(Date.now() / 1000),
      pollMs: 100,
    });
    readers.push(made);
    return made;
  }

  /** By the account itself, as a user operation would. */
  async function addPasskey(): Promise<void> {
    const added = testAuthenticator().passkey;
    await node.provider.send("hardhat_impersonateAccount", [account]);
    await node.provider.send("hardhat_setBalance", [account, "0xde0b6b3a7640000"]);
    const itself = MasterAccount__factory.connect(account, new JsonRpcSigner(node.provider, account));
    await (await itself.addPasskey(added)).wait();
    passkeys.push(added);
  }

  it("answers the account's passkeys, from 1 to 16 of them", async () => {
    expect(await reader(2).passkeysOf(account)).to.deep.equal({ ok: true, value: passkeys });
    while (passkeys.length < 16) await addPasskey();
    const answer = await reader(2).passkeysOf(account);
    expect(answer.ok && answer.value).to.have.deep.members(passkeys);
  });

  it("answers none where no contract is", async () => {
    expect(await reader(2).passkeysOf(`0x${"12".repeat(20)}`)).to.deep.equal({ ok: true, value: [] });
  });

  it("is refused where the contract is no account", async () => {
    const answer = await reader(2).passkeysOf(deployment.contracts.SidecarRegistry);
    expect(answer.ok ? "" : answer.failure.code).to.equal("chain_unavailable");
  });

  it("is refused when one of two RPCs exchanges a key", async () => {
    const [, second] = proxies;
    if (second === undefined) throw new Error("there are two proxies");
    second.faults.lie = { selector: "0x", rewrite: replaceWord(4, 1n) };
    const answer = await reader(2).passkeysOf(account);
    expect(answer.ok ? "" : answer.failure.code).to.equal("chain_unavailable");
    expect(answer.ok ? "" : answer.failure.detail).to.match(/differently/);
    second.heal();
    expect((await reader(2).passkeysOf(account)).ok).to.equal(true);
  });
});

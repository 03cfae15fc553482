import { randomBytes } from "node:crypto";

import { expect } from "chai";
import { createSmartAccountClient } from "permissionless";
import { type TypedDataDefinition, encodeFunctionData, getAddress, hashTypedData, http } from "viem";
import {
  type BundlerClient,
  type UserOperation,
  createBundlerClient,
  formatUserOperationRequest,
  toWebAuthnAccount,
} from "viem/account-abstraction";
import { hardhat } from "viem/chains";

import { type Authenticator, contractPasskey, encodeAssertion } from "../../offchain/client/authenticator";
import { deviceKey } from "../../offchain/client/device-key-file";
import { openOperator } from "../../offchain/client/operator";
import { newSoftwarePasskey, softwareAuthenticator } from "../../offchain/client/software-authenticator";
import { type EntryPointDomain, userOperationHash } from "../../offchain/client/user-operation";
import { type AgentKeysAccount, toAgentKeysAccount, webAuthnOwner } from "../../offchain/client/viem-account";
import { packedOf } from "../../offchain/client/viem-operation";
import { type Hex, fromHex, toBase64url } from "../../offchain/wire/bytes";
import { Target__factory } from "../../typechain-types";
import { type BundlerWorld, bundlerWorld, refusal } from "../helpers/bundler-world";

/** What stands in for `navigator.credentials.get`. */
type GetFn = Parameters<typeof toWebAuthnAccount>[0]["getFn"];

/** A passkey that counts its taps and remembers what its owner was shown. */
function watched(): Authenticator & { readonly seen: string[][] } {
  const inner = softwareAuthenticator(newSoftwarePasskey());
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

const write = (word: bigint): Hex =>
  encodeFunctionData({ abi: Target__factory.abi, functionName: "write", args: [word] });
const fail: Hex = encodeFunctionData({ abi: Target__factory.abi, functionName: "fail", args: [7n] });

for (const version of ["0.8", "0.7"] as const) {
  describe(`passkey accounts through alto, EntryPoint ${version}`, function () {
    let world: BundlerWorld;
    let owner: ReturnType<typeof watched>;
    let account: AgentKeysAccount;
    let bundler: BundlerClient;
    let to: Hex;

    before(async () => {
      world = await bundlerWorld();
      to = (await world.target.getAddress()) as Hex;
      owner = watched();
      account = await toAgentKeysAccount({ client: world.chain, deployment: world.deployments[version], owner });
      bundler = createBundlerClient({ client: world.chain, transport: http(world.alto.url), pollingInterval: 100 });
      await world.fund(account.address);
    });

    /** Sends, waits, and says whether the operation succeeded. */
    async function perform(calls: readonly { readonly to: Hex; readonly data: Hex; readonly value?: bigint }[]) {
      const hash = await bundler.sendUserOperation({ account, calls });
      return bundler.waitForUserOperationReceipt({ hash });
    }

    /** An operation that lacks nothing but its signature. */
    async function prepared(nonce?: bigint): Promise<UserOperation> {
      const calls = [{ to, data: write(666n) }];
      const options = nonce === undefined ? { account, calls } : { account, calls, nonce };
      return await bundler.prepareUserOperation(options);
    }

    const send = (operation: UserOperation, signature: Hex): Promise<Hex> =>
      bundler.request<{ ReturnType: Hex }>({
        method: "eth_sendUserOperation",
        params: [formatUserOperationRequest({ ...operation, signature }), account.entryPoint.address],
      });

    it("viem's client creates the account and calls, in one operation and one tap", async () => {
      expect(await account.isDeployed()).to.equal(false);
      const receipt = await perform([{ to, data: write(11n) }]);
      expect(receipt.success).to.equal(true);
      expect(await world.target.value()).to.equal(11n);
      expect(await account.isDeployed()).to.equal(true);
      expect(owner.seen).to.have.length(1);
      expect(owner.seen[0]?.[0]).to.contain(to);
    });

    it("viem's client calls in a batch, value included", async () => {
      const before = await world.provider.getBalance(to);
      const receipt = await perform([
        { to, data: write(12n), value: 5n },
        { to, data: write(13n) },
      ]);
      expect(receipt.success).to.equal(true);
      expect(await world.target.value()).to.equal(13n);
      expect((await world.provider.getBalance(to)) - before).to.equal(5n);
    });

    it("an operation that reverts is reported as such", async () => {
      const before = await world.target.value();
      const calls = [
        { to, data: write(14n) },
        { to, data: fail },
      ];
      expect(await refusal(bundler.sendUserOperation({ account, calls }))).to.equal("-32521");
      // with limits of its own it is not estimated, and fails on chain
      const hash = await bundler.sendUserOperation({
        account,
        calls,
        callGasLimit: 200_000n,
        verificationGasLimit: 300_000n,
        preVerificationGas: 100_000n,
      });
      const receipt = await bundler.waitForUserOperationReceipt({ hash });
      expect(receipt.success).to.equal(false);
      expect(await world.target.value()).to.equal(before);
    });

    it("alto refuses another passkey's signature", async () => {
      const operation = await prepared();
      const hash = hashOf(operation, world.deployments[version]);
      const thief = softwareAuthenticator(newSoftwarePasskey());
      const theirs = await signedBy(thief, hash);
      expect(await refusal(send(operation, theirs))).to.equal("-32507 AA24");
      const { credIdHash } = contractPasskey(owner.credential);
      expect(await refusal(send(operation, `${credIdHash}${theirs.slice(66)}`))).to.equal("-32507 AA24");
      await lands(operation, hash);
    });

    it("alto refuses a signature for another chain, which the adapter never asks for", async () => {
      const operation = await prepared();
      const deployment = world.deployments[version];
      const elsewhere = hashOf(operation, { ...deployment, chainId: 1 });
      expect(await refusal(send(operation, await signedBy(owner, elsewhere)))).to.equal("-32507 AA24");
      const taps = owner.seen.length;
      const refused: unknown = await account.signUserOperation({ ...operation, chainId: 1 }).catch(String);
      expect(refused).to.match(/request_malformed/);
      expect(owner.seen).to.have.length(taps);
      await lands(operation, hashOf(operation, deployment));
    });

    it("alto refuses a nonce key that is neither 0 nor the session validator's", async () => {
      const operation = await prepared(5n << 64n);
      const hash = hashOf(operation, world.deployments[version]);
      expect(await refusal(send(operation, await signedBy(owner, hash)))).to.equal("-32507 AA24");
      expect(await account.getNonce({ key: 5n }).catch(String)).to.match(/RangeError/);
      const honest = await prepared();
      await lands(honest, hashOf(honest, world.deployments[version]));
    });

    it("permissionless' client creates another account of the passkey, and calls in a batch", async () => {
      const second = await toAgentKeysAccount({
        client: world.chain,
        deployment: world.deployments[version],
        owner,
        salt: 1n,
      });
      await world.fund(second.address);
      const client = createSmartAccountClient({
        account: second,
        chain: hardhat,
        client: world.chain,
        bundlerTransport: http(world.alto.url),
        pollingInterval: 100,
      });
      const first = await client.sendTransaction({ to, data: write(21n) });
      expect((await world.chain.getTransactionReceipt({ hash: first })).status).to.equal("success");
      expect(await second.isDeployed()).to.equal(true);
      expect(await world.target.value()).to.equal(21n);
      const calls = [
        { to, data: write(22n) },
        { to, data: write(23n) },
      ];
      const hash = await client.sendUserOperation({ calls });
      expect((await client.waitForUserOperationReceipt({ hash })).success).to.equal(true);
      expect(await world.target.value()).to.equal(23n);
      const thief = softwareAuthenticator(newSoftwarePasskey());
      const imposter = { ...second, signUserOperation: () => signedBy(thief, `0x${"11".repeat(32)}`) };
      expect(await refusal(client.sendUserOperation({ account: imposter, calls }))).to.equal("-32507 AA24");
    });

    it("viem's own WebAuthn account is an owner", async () => {
      const inner = softwareAuthenticator(newSoftwarePasskey());
      const { credentialId, rpId, x, y } = inner.credential;
      const credential = { id: toBase64url(credentialId), publicKey: `${x}${y.slice(2)}` as Hex };
      const getFn: NonNullable<GetFn> = async (options) => {
        const challenge = options?.publicKey?.challenge as ArrayBuffer;
        const assertion = await inner.getAssertion(new Uint8Array(challenge), []);
        if (!assertion.ok) throw new Error(assertion.failure.detail);
        return { id: credential.id, type: "public-key", response: assertion.value } as never;
      };
      const viemOwner = webAuthnOwner(toWebAuthnAccount({ credential, getFn, rpId }), rpId);
      const deployment = world.deployments[version];
      const its = await toAgentKeysAccount({ client: world.chain, deployment, owner: viemOwner });
      await world.fund(its.address);
      const hash = await bundler.sendUserOperation({ account: its, calls: [{ to, data: write(31n) }] });
      expect((await bundler.waitForUserOperationReceipt({ hash })).success).to.equal(true);
      expect(await world.target.value()).to.equal(31n);
      expect(() => webAuthnOwner({ ...toWebAuthnAccount({ credential }), publicKey: "0x1234" }, rpId)).to.throw(
        RangeError,
      );
    });

    it("our own client registers an operator and an agent", async () => {
      const authenticator = softwareAuthenticator(newSoftwarePasskey());
      const relay = { kind: "bundler", url: world.alto.url } as const;
      const deployment = world.deployments[version];
      const opened = await openOperator({ rpcUrl: world.stack.rpcUrl, deployment, authenticator, relay });
      if (!opened.ok) throw new Error(opened.failure.detail);
      const operator = opened.value;
      try {
        const refused = await operator.registerMaster();
        expect(refused.ok ? undefined : refused.failure.code).to.equal("caller_not_allowed");
        const identity = await operator.identity();
        if (!identity.ok) throw new Error(identity.failure.detail);
        await world.fund(identity.value.account);
        const made = await operator.registerMaster();
        expect(made.ok && made.value.changed).to.equal(true);
        const agent = await operator.registerAgent({ label: "agent-a", device: deviceKey(randomBytes(32)) });
        expect(agent.ok && agent.value.changed).to.equal(true);
      } finally {
        operator.close();
      }
    });

    const typed = {
      domain: { name: "Shop", version: "1", chainId: 31337, verifyingContract: `0x${"ab".repeat(20)}` },
      types: { Order: [{ name: "amount", type: "uint256" }] },
      primaryType: "Order",
      message: { amount: 3n },
    } as const satisfies TypedDataDefinition;

    /** Not yet deployed, and deployed, accounts of one passkey. */
    async function accounts(): Promise<readonly AgentKeysAccount[]> {
      const own = { client: world.chain, deployment: world.deployments[version], owner };
      return [account, await toAgentKeysAccount({ ...own, salt: 77n })];
    }

    it("ERC-7739: signs messages, for this account alone, deployed or not", async () => {
      for (const one of await accounts()) {
        const signature = await one.signMessage({ message: "hello" });
        const asked = { address: one.address, message: "hello", signature };
        expect(await world.chain.verifyMessage(asked)).to.equal(true);
        expect(await world.chain.verifyMessage({ ...asked, message: "hellp" })).to.equal(false);
      }
      const [mine, other] = await accounts();
      if (mine === undefined || other === undefined) throw new Error("two accounts");
      const signature = await mine.signMessage({ message: "hello" });
      expect(await world.chain.verifyMessage({ address: other.address, message: "hello", signature })).to.equal(false);
      expect(owner.seen.at(-1)?.[0]).to.contain("hello");
    });

    it("ERC-7739: signs typed data, for this account alone, deployed or not", async () => {
      for (const one of await accounts()) {
        const signature = await one.signTypedData(typed);
        const asked = { ...typed, address: one.address, signature };
        expect(await world.chain.verifyTypedData(asked)).to.equal(true);
        expect(await world.chain.verifyTypedData({ ...asked, message: { amount: 4n } })).to.equal(false);
      }
      const bare = await signedBy(owner, hashTypedData(typed));
      const asked = { ...typed, address: account.address, signature: bare };
      expect(await world.chain.verifyTypedData(asked)).to.equal(false);
    });

    it("decodes what it encodes, and nothing else", async () => {
      const calls = [
        { to: getAddress(to), value: 1n, data: write(1n) },
        { to: getAddress(to), value: 0n, data: "0x" },
      ] as const;
      for (const some of [calls, calls.slice(0, 1)]) {
        const data = await account.encodeCalls(some);
        expect(await account.decodeCalls?.(data)).to.deep.equal(some);
        expect(await account.decodeCalls?.(`${data}00`).catch(String)).to.match(/RangeError/);
      }
      expect(await account.encodeCalls([{ data: "0x" } as never]).catch(String)).to.match(/RangeError/);
    });

    it("estimates with a signature as long as a real one", async () => {
      const hash: Hex = `0x${"22".repeat(32)}`;
      const real = await signedBy(owner, hash);
      const stub = await account.getStubSignature();
      expect(Math.abs(stub.length - real.length)).to.be.at.most(64);
    });

    async function lands(operation: UserOperation, hash: Hex): Promise<void> {
      expect(await send(operation, await signedBy(owner, hash))).to.equal(hash);
      expect((await bundler.waitForUserOperationReceipt({ hash })).success).to.equal(true);
    }
  });
}

/** The hash that a passkey signs for this operation. */
function hashOf(operation: UserOperation, domain: EntryPointDomain): Hex {
  return userOperationHash(packedOf(operation, operation.sender), domain);
}

async function signedBy(authenticator: Authenticator, hash: Hex): Promise<Hex> {
  const assertion = await authenticator.getAssertion(fromHex(hash), []);
  if (!assertion.ok) throw new Error(assertion.failure.detail);
  const signature = encodeAssertion(authenticator.credential, fromHex(hash), assertion.value);
  if (!signature.ok) throw new Error(signature.failure.detail);
  return signature.value;
}

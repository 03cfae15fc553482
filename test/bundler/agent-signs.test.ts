import { expect } from "chai";
import { encodeFunctionData, http } from "viem";
import { createBundlerClient } from "viem/account-abstraction";

import { connectContracts } from "../../offchain/chain/connect";
import { contractError } from "../../offchain/chain/contract-errors";
import type { AgentKeyHandle, AgentKeysClient } from "../../offchain/client/agent-keys";
import { type Operator, openOperator } from "../../offchain/client/operator";
import { type SentOperation, sendOperation } from "../../offchain/client/send-operation";
import {
  PLAIN_TRANSFER,
  type Session,
  contractSession,
  sessionLeft,
  tokenLeft,
  valueLeft,
  windowAt,
  windowBounds,
} from "../../offchain/client/sessions";
import { grantDigest, newGrantNonce, signGrant } from "../../offchain/client/signed-grant";
import { newSoftwarePasskey, softwareAuthenticator } from "../../offchain/client/software-authenticator";
import { packOperation, userOperationHash } from "../../offchain/client/user-operation";
import { toAgentKeysSessionAccount } from "../../offchain/client/viem-session-account";
import type { Hex } from "../../offchain/wire/bytes";
import { type ExecutionCall, encodeExecution } from "../../offchain/wire/execution";
import { actorOmni } from "../../offchain/wire/names";
import type { Result } from "../../offchain/wire/result";
import type { PackedUserOperation } from "../../offchain/wire/user-operation";
import { Target__factory } from "../../typechain-types";
import { type BundlerWorld, bundlerWorld, refusal } from "../helpers/bundler-world";
import { eventually } from "../helpers/eventually";
import { type PasskeyParty, passkeyParty } from "../helpers/passkey-party";

const TARGET = Target__factory.createInterface();
const WRITE = TARGET.getFunction("write").selector as Hex;
const ZERO_ADDRESS: Hex = `0x${"00".repeat(20)}`;
const WINDOW = 86_400;

const write = (word: bigint): Hex =>
  encodeFunctionData({ abi: Target__factory.abi, functionName: "write", args: [word] });

function value<T>(result: Result<T>): T {
  if (!result.ok) throw new Error(`${result.failure.code}: ${result.failure.detail}`);
  return result.value;
}

function code(result: Result<unknown>): string {
  return result.ok ? "accepted" : result.failure.code;
}

type Validator = ReturnType<typeof connectContracts>["sessionValidator"];

// from the owner's tap to a slot on chain that the agent wrote, each step with a turn that is refused
describe("an agent signs", function () {
  this.bail(true);
  let world: BundlerWorld;
  let party: PasskeyParty;
  let operator: Operator;
  let agent: AgentKeysClient;
  let key: AgentKeyHandle;
  let validator: Validator;
  let to: Hex;

  before(async () => {
    world = await bundlerWorld();
    to = (await world.target.getAddress()).toLowerCase() as Hex;
    party = await passkeyParty(world.stack);
    await world.fund(party.account);
    const { rpcUrl, deployment } = world.stack;
    const relay = { kind: "bundler", url: world.alto.url } as const;
    operator = value(await openOperator({ rpcUrl, deployment, authenticator: party.authenticator, relay }));
    agent = await party.client();
    validator = connectContracts(deployment, await world.provider.getSigner(0)).sessionValidator;
  });

  after(async () => {
    await agent.close();
    operator.close();
    party.operator.close();
  });

  async function now(): Promise<number> {
    return (await world.provider.getBlock("latest"))?.timestamp ?? 0;
  }

  async function session(change: Partial<Session> = {}): Promise<Session> {
    const time = await now();
    return {
      actorOmni: actorOmni(party.omni, party.label),
      key: key.agentAddress,
      validAfter: time - 60,
      validUntil: time + 86_400,
      windowSeconds: WINDOW,
      callsPerWindow: 6,
      gasPerOperationGwei: 10_000_000,
      gasTotalGwei: 100_000_000,
      paymaster: ZERO_ADDRESS,
      paymasterTotalGwei: 0,
      rules: [
        {
          target: to,
          selector: WRITE,
          valuePerCall: 5n,
          valueTotal: 8n,
          predicates: [{ word: 0, is: "atMost", value: `0x${"00".repeat(30)}ffff` }],
        },
      ],
      tokenLimits: [],
      ...change,
    };
  }

  /** The account in the agent's hands, through viem and alto. */
  async function throughAlto(calls: readonly { to: Hex; data: Hex; value?: bigint }[]): Promise<boolean> {
    const account = await toAgentKeysSessionAccount({
      client: world.chain,
      deployment: world.stack.deployment,
      address: party.account,
      key: key.agentAddress,
      windowSeconds: WINDOW,
      sign: (operation) => agent.signOperation(key, operation),
    });
    const bundler = createBundlerClient({ client: world.chain, transport: http(world.alto.url), pollingInterval: 100 });
    const hash = await bundler.sendUserOperation({ account, calls });
    return (await bundler.waitForUserOperationReceipt({ hash })).success;
  }

  /** An operation made by hand, for the EntryPoint itself. */
  async function operationOf(calls: readonly ExecutionCall[]): Promise<PackedUserOperation> {
    const nonceKey = BigInt(world.stack.contracts.SessionKeyValidator);
    const nonce = await world.chain.readContract({
      address: world.stack.entryPoint,
      abi: [
        {
          type: "function",
          name: "getNonce",
          stateMutability: "view",
          inputs: [{ type: "address" }, { type: "uint192" }],
          outputs: [{ type: "uint256" }],
        },
      ] as const,
      functionName: "getNonce",
      args: [party.account, nonceKey],
    });
    return packOperation({
      sender: party.account,
      nonce,
      initCode: "0x",
      callData: encodeExecution({ isBatch: calls.length > 1, window: windowAt(await now(), WINDOW), calls }),
      gas: {
        verificationGasLimit: 300_000n,
        callGasLimit: 200_000n,
        preVerificationGas: 60_000n,
        maxFeePerGas: 2n * 10n ** 9n,
        maxPriorityFeePerGas: 10n ** 9n,
      },
    });
  }

  async function straight(operation: PackedUserOperation): Promise<Result<SentOperation>> {
    const { entryPoint, deployment, developmentKey } = world.stack;
    const userOpHash = userOperationHash(operation, deployment);
    const relay = { kind: "direct", key: developmentKey } as const;
    return sendOperation({ operation, userOpHash, entryPoint, provider: world.provider, relay, gasLimit: 560_000n });
  }

  it("1. the owner's tap makes a key; a stranger's makes none", async () => {
    const stranger = softwareAuthenticator(newSoftwarePasskey());
    const thief = { ...party.authenticator, getAssertion: stranger.getAssertion.bind(stranger) };
    // the vault may not have seen the block yet that has the device in it
    let refused = code(await agent.create(party.label, thief));
    await eventually(async () => {
      if (refused === "device_not_active") refused = code(await agent.create(party.label, thief));
      return refused !== "device_not_active";
    });
    expect(refused).to.equal("payload_invalid");
    key = value(await agent.create(party.label, party.authenticator));
  });

  it("2. without a session the key is worth nothing on chain", async () => {
    expect(await refusal(throughAlto([{ to, data: write(1n) }]))).to.match(/AA23$/);
    expect(await world.target.value()).to.not.equal(1n);
  });

  it("3. the owner grants, through alto; never a contract of AgentKeys", async () => {
    const { rules } = await session();
    const target = world.stack.contracts.ScopeRegistry;
    const greedy = await session({ rules: rules.map((rule) => ({ ...rule, target })) });
    expect(code(await operator.grantSession(greedy))).to.equal("request_malformed");
    expect(value(await operator.grantSession(await session())).changed).to.equal(true);
    const left = await sessionLeft(validator, party.account, key.agentAddress, await now());
    expect(left).to.deep.include({ isLive: true, calls: 6, gasGwei: 100_000_000 });
  });

  it("4. the signer signs what a session may allow, and no call of a registry", async () => {
    const registry = world.stack.contracts.SidecarRegistry;
    const inside = await operationOf([{ to: registry, value: 0n, data: "0x12345678" }]);
    expect(code(await agent.signOperation(key, inside))).to.equal("payload_invalid");
    const passkeys = await operationOf([{ to, value: 0n, data: write(2n) }]);
    const wrongKey = { ...passkeys, nonce: passkeys.nonce & ((1n << 64n) - 1n) };
    expect(code(await agent.signOperation(key, wrongKey))).to.equal("payload_invalid");
    expect(code(await agent.signOperation(key, passkeys))).to.equal("accepted");
  });

  it("5. through alto the agent writes on chain, inside of its rules alone", async () => {
    expect(await throughAlto([{ to, data: write(3n), value: 2n }])).to.equal(true);
    expect(await world.target.value()).to.equal(3n);
    const calls = [
      { to, data: write(4n) },
      { to, data: write(5n), value: 1n },
    ];
    expect(await throughAlto(calls)).to.equal(true);
    expect(await world.target.value()).to.equal(5n);
    const rule = { target: to, selector: WRITE };
    expect(await valueLeft(validator, party.account, key.agentAddress, rule)).to.equal(5n);
    const left = await sessionLeft(validator, party.account, key.agentAddress, await now());
    expect(left.calls).to.equal(3);
    expect(left.gasGwei).to.be.below(100_000_000);
    for (const refused of [
      { to, data: write(0x10000n) }, // the predicate
      { to, data: write(6n), value: 6n }, // per call
      { to, data: TARGET.encodeFunctionData("fail", [1n]) as Hex }, // no rule
      { to, data: "0x" as Hex, value: 1n }, // no rule for a plain transfer
    ]) {
      expect(await refusal(throughAlto([refused])), refused.data).to.match(/AA23$/);
    }
    expect(await refusal(throughAlto(Array.from({ length: 4 }, () => ({ to, data: write(7n) }))))).to.match(/AA23$/);
    expect(await world.target.value()).to.equal(5n);
  });

  it("6. and the same through plain handleOps, once", async () => {
    const operation = value(await agent.signOperation(key, await operationOf([{ to, value: 0n, data: write(8n) }])));
    const changed = { ...operation, callData: (await operationOf([{ to, value: 0n, data: write(9n) }])).callData };
    expect(code(await straight(changed))).to.equal("caller_not_allowed");
    expect(code(await straight(operation))).to.equal("accepted");
    expect(await world.target.value()).to.equal(8n);
    expect(code(await straight(operation))).to.equal("caller_not_allowed");
  });

  it("7. a grant that the owner only signed is brought to the chain by anyone, once", async () => {
    const { deployment } = world.stack;
    const account = party.account;
    const generation = Number(await validator.generationOf(account));
    const terms = { deployment, account, generation, nonce: newGrantNonce(), deadline: (await now()) + 600 };
    const wish = await session({
      callsPerWindow: 2,
      rules: [{ target: to, selector: PLAIN_TRANSFER, valuePerCall: 0n, valueTotal: 0n, predicates: [] }],
      tokenLimits: [{ token: `0x${"ab".repeat(20)}`, total: 7n }],
    });
    const taken = contractSession(wish);
    expect(grantDigest(wish, terms)).to.equal(await validator.grantDigest(account, taken, terms.nonce, terms.deadline));
    const grant = value(await signGrant(wish, terms, party.authenticator, []));
    const thief = softwareAuthenticator(newSoftwarePasskey());
    const forged = value(await signGrant(wish, terms, thief, []));
    const bring = (signature: Hex, nonce: bigint): Promise<string> =>
      validator
        .grantBySignature(account, taken, nonce, terms.deadline, signature)
        .then((sent) => sent.wait())
        .then(
          () => "granted",
          (error: unknown) => contractError((error as { data: string }).data)?.name ?? String(error),
        );
    expect(await bring(forged.signature, terms.nonce)).to.equal("SignatureNotAccepted");
    expect(await bring(grant.signature, terms.nonce + 1n)).to.equal("SignatureNotAccepted");
    expect(await bring(grant.signature, terms.nonce)).to.equal("granted");
    expect(await bring(grant.signature, terms.nonce)).to.equal("NonceNotFresh");
    expect(await tokenLeft(validator, account, key.agentAddress, `0x${"ab".repeat(20)}`)).to.equal(7n);
    expect(await valueLeft(validator, account, key.agentAddress, { target: to, selector: WRITE })).to.equal(undefined);
  });

  it("8. the owner ends it, and it has ended", async () => {
    expect(value(await operator.grantSession(await session())).changed).to.equal(true);
    expect(await throughAlto([{ to, data: write(10n) }])).to.equal(true);
    expect(value(await operator.revokeSession(key.agentAddress)).changed).to.equal(true);
    expect(value(await operator.revokeSession(key.agentAddress)).changed).to.equal(false);
    expect(await refusal(throughAlto([{ to, data: write(11n) }]))).to.match(/AA23$/);
    expect(await world.target.value()).to.equal(10n);
    for (const of of [actorOmni(party.omni, party.label), "all"] as const) {
      value(await operator.grantSession(await session()));
      value(await operator.revokeSessions(of));
      expect((await sessionLeft(validator, party.account, key.agentAddress, await now())).isLive).to.equal(false);
    }
  });

  it("9. the end of an agent is the end of its sessions", async () => {
    value(await operator.grantSession(await session()));
    expect(await throughAlto([{ to, data: write(12n) }])).to.equal(true);
    expect(value(await operator.revokeActor(actorOmni(party.omni, party.label))).changed).to.equal(true);
    expect((await sessionLeft(validator, party.account, key.agentAddress, await now())).isLive).to.equal(false);
    expect(await refusal(throughAlto([{ to, data: write(13n) }]))).to.not.equal("");
    expect(await world.target.value()).to.equal(12n);
    expect(value(await operator.revokeActor(actorOmni(party.omni, party.label))).changed).to.equal(false);
  });

  it("windows are counted from the epoch", () => {
    expect([windowAt(3_599, 3_600), windowAt(3_600, 3_600)]).to.deep.equal([0, 1]);
    expect(windowBounds(2, 3_600)).to.deep.equal({ first: 7_200, last: 10_799 });
  });
});

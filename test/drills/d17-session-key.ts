import { randomBytes } from "node:crypto";

import { Contract, Interface, id } from "ethers";

import { contractError } from "../../offchain/chain/contract-errors";
import { ENTRY_POINT, entryPointAt } from "../../offchain/chain/entry-point";
import { type Session, type SessionRule, windowAt } from "../../offchain/client/sessions";
import { packOperation, packTwo, userOperationHash } from "../../offchain/client/user-operation";
import { signAsAgent } from "../../offchain/wire/agent-signature";
import { type Hex, fromHex } from "../../offchain/wire/bytes";
import { type ExecutionCall, encodeExecution } from "../../offchain/wire/execution";
import { actorOmni } from "../../offchain/wire/names";
import { addressOf } from "../../offchain/wire/secp256k1";
import type { PackedUserOperation } from "../../offchain/wire/user-operation";
import { Target__factory } from "../../typechain-types";
import { eventually } from "../helpers/eventually";
import { type PasskeyParty, passkeyParty } from "../helpers/passkey-party";
import type { Drill, DrillLog } from "./drill";
import type { World } from "./world";

const ZERO_ADDRESS: Hex = `0x${"00".repeat(20)}`;
const WINDOW = 86_400;
const GWEI = 10n ** 9n;
const TARGET = Target__factory.createInterface();
const WRITE = TARGET.getFunction("write").selector as Hex;
const TOKEN = new Interface(["function transfer(address to, uint256 amount)"]);
const ACCOUNT = new Interface(["function isValidSignature(bytes32 hash, bytes signature) view returns (bytes4)"]);

/**
 * D17: the thief has an agent's session key itself, signs whatever it likes with it, and sends it to the EntryPoint without
 * any service between. One operation that passes is changed in one thing at a time.
 */
export const d17: Drill = {
  id: "D17",
  title: "the session key of an agent, against its limits",
  async run(world, log) {
    const party = await passkeyParty(world.stack, "agent-d17");
    try {
      await play(log, await Thief.with(world, party));
    } finally {
      party.operator.close();
    }
  },
};

/** What the thief may change of an operation. */
interface Wish {
  readonly isBatch?: boolean;
  readonly callData?: Hex;
  readonly change?: Partial<PackedUserOperation>;
  /** Changes the signed operation. */
  readonly after?: Partial<PackedUserOperation>;
  readonly chainId?: number;
}

class Thief {
  private constructor(
    readonly world: World,
    readonly party: PasskeyParty,
    readonly target: Hex,
    readonly secret = randomBytes(32),
    readonly entryPoint: Contract = entryPointAt(world.stack.entryPoint, world.developer),
  ) {}

  /** The owner funds the account; a contract waits to be called. */
  static async with(world: World, party: PasskeyParty): Promise<Thief> {
    const target = await (await new Target__factory(world.developer).deploy()).getAddress();
    const paid = await world.developer.sendTransaction({ to: party.account, value: 10n ** 18n });
    await paid.wait();
    return new Thief(world, party, target.toLowerCase() as Hex);
  }

  async now(): Promise<number> {
    return (await this.world.provider.getBlock("latest"))?.timestamp ?? 0;
  }

  /** The owner grants: two kinds of call, three calls a day, and so much gas. */
  async grant(change: Partial<Session> = {}): Promise<void> {
    const time = await this.now();
    const done = await this.party.operator.grantSession({
      actorOmni: actorOmni(this.party.omni, this.party.label),
      key: addressOf(this.secret),
      validAfter: time - 60,
      validUntil: time + WINDOW,
      windowSeconds: WINDOW,
      callsPerWindow: 3,
      gasPerOperationGwei: 700_000,
      gasTotalGwei: 2_000_000,
      paymaster: ZERO_ADDRESS,
      paymasterTotalGwei: 0,
      rules: [rule(this.target, WRITE, 5n, 6n), rule(this.target, TOKEN.getFunction("transfer")?.selector as Hex)],
      tokenLimits: [{ token: this.target, total: 9n }],
      ...change,
    });
    if (!done.ok) throw new Error(`D17: ${done.failure.code}: ${done.failure.detail}`);
  }

  write(value = 0n, word = 1n): ExecutionCall {
    return { to: this.target, value, data: TARGET.encodeFunctionData("write", [word]) as Hex };
  }

  async operation(calls: readonly ExecutionCall[], wish: Wish = {}): Promise<PackedUserOperation> {
    const { deployment, contracts } = this.world.stack;
    const window = windowAt(await this.now(), WINDOW);
    const key = BigInt(contracts.SessionKeyValidator);
    const packed = packOperation({
      sender: this.party.account,
      nonce: (await this.entryPoint.getFunction("getNonce")(this.party.account, key)) as bigint,
      initCode: "0x",
      callData: wish.callData ?? encodeExecution({ isBatch: wish.isBatch ?? calls.length > 1, window, calls }),
      gas: {
        verificationGasLimit: 300_000n,
        callGasLimit: 200_000n,
        preVerificationGas: 60_000n,
        maxPriorityFeePerGas: GWEI,
        maxFeePerGas: GWEI,
      },
    });
    const operation = { ...packed, ...wish.change };
    const hash = userOperationHash(operation, { ...deployment, chainId: wish.chainId ?? deployment.chainId });
    const signature = signAsAgent(operation.sender, fromHex(hash), this.secret);
    return { ...operation, signature, ...wish.after };
  }

  /** The name of what refuses this bundle; undefined where nothing does. */
  async refusal(...operations: readonly PackedUserOperation[]): Promise<string | undefined> {
    try {
      const sent = { gasLimit: 5_000_000 };
      await this.entryPoint.getFunction("handleOps").staticCall(operations, this.world.developer.address, sent);
      return undefined;
    } catch (error) {
      const { data } = error as { readonly data?: string };
      const known = data === undefined ? null : ENTRY_POINT.parseError(data);
      if (known === null) throw error;
      const inner = known.args["inner"] as Hex | undefined;
      return (inner && contractError(inner)?.name) ?? /AA\d\d/.exec(known.args["reason"] as string)?.[0];
    }
  }

  /** Sends it; whether the calls succeeded. */
  async send(operation: PackedUserOperation): Promise<boolean> {
    const receipt = await (
      await this.entryPoint
        .getFunction("handleOps")
        .send([operation], this.world.developer.address, { gasLimit: 5_000_000 })
    ).wait();
    const logs = receipt?.logs ?? [];
    const event = logs
      .flatMap((log) => ENTRY_POINT.parseLog(log) ?? [])
      .find(({ args }) => "success" in args.toObject());
    return event?.args["success"] === true;
  }

  /** What the account has, its deposit included, in wei. */
  async wealth(): Promise<bigint> {
    const { account } = this.party;
    const deposit = (await this.entryPoint.getFunction("balanceOf")(account)) as bigint;
    return deposit + (await this.world.provider.getBalance(account));
  }
}

async function play(log: DrillLog, thief: Thief): Promise<void> {
  const { world, party, target } = thief;
  const { contracts, entryPoint } = world.stack;
  const refused = async (
    attack: string,
    code: string,
    ...operations: readonly PackedUserOperation[]
  ): Promise<void> => {
    const by = code.startsWith("AA") ? "EntryPoint" : "SessionKeyValidator";
    log.refusedBy(by, attack, await thief.refusal(...operations), code);
  };
  const alone = (call: ExecutionCall, wish: Wish = {}): Promise<PackedUserOperation> => thief.operation([call], wish);
  const call = (to: Hex, data: Hex = thief.write().data, value = 0n): ExecutionCall => ({ to, value, data });

  await refused("no session at all", "SessionNotLive", await alone(thief.write()));
  await thief.grant();
  const before = await thief.wealth();
  log.honest("the key's own call", (await thief.refusal(await alone(thief.write(5n)))) === undefined);

  // another target, also zero, which the account would read as itself; another selector
  const inside = [ZERO_ADDRESS, party.account, entryPoint, contracts.SidecarRegistry, contracts.SessionKeyValidator];
  const others = [
    contracts.ScopeRegistry,
    contracts.AccountRecovery,
    contracts.OperatorPaymaster,
    testAddress("other"),
  ];
  for (const to of [...inside, ...others]) await refused(`a call of ${to}`, "RuleUnknown", await alone(call(to)));
  await refused("another selector", "RuleUnknown", await alone(call(target, "0x12345678")));
  await refused("no selector", "RuleUnknown", await alone(call(target, "0x")));
  await refused("three bytes", "RuleUnknown", await alone(call(target, WRITE.slice(0, 8) as Hex)));
  const within = [thief.write(), call(party.account)];
  await refused("behind an honest call", "RuleUnknown", await thief.operation(within));

  // another account, chain, wrapper
  const stranger = testAddress("account");
  await refused("another account", "AA20", await alone(thief.write(), { change: { sender: stranger } }));
  await refused("another chain", "AA24", await alone(thief.write(), { chainId: 1 }));
  const signed = await alone(thief.write());
  const wrapped: Hex = `0x00${signed.signature.slice(4)}`;
  await refused("another wrapper", "AA24", { ...signed, signature: wrapped });
  await refused("a longer signature", "AA24", { ...signed, signature: `${signed.signature}00` });
  const other = await alone(thief.write(), { after: { callData: (await alone(thief.write(1n))).callData } });
  await refused("other calls under the signature", "AA24", other);
  const passkeys = { nonce: (await thief.entryPoint.getFunction("getNonce")(party.account, 0n)) as bigint };
  await refused("the passkeys' nonce key", "AA24", await alone(thief.write(), { change: passkeys }));
  const unknown = { nonce: BigInt(testAddress("validator")) << 64n };
  await refused("a nonce key of the thief's", "AA24", await alone(thief.write(), { change: unknown }));

  // mode and encoding: every byte of the mode, a tail, a cut, a batch in a batch
  const { callData } = signed;
  for (let byte = 0; byte < 28; byte += 1) {
    const at = 2 + 2 * (4 + byte);
    const odd = `${callData.slice(0, at)}ff${callData.slice(at + 2)}` as Hex;
    await refused(`mode byte ${byte}`, "CallDataNotCanonical", await alone(thief.write(), { callData: odd }));
  }
  await refused("a tail", "CallDataNotCanonical", await alone(thief.write(), { callData: `${callData}00` }));
  const cut = callData.slice(0, -2) as Hex;
  await refused("a cut", "CallDataNotCanonical", await alone(thief.write(), { callData: cut }));
  const plain: Hex = `0xb61d27f6${callData.slice(10)}`;
  await refused(
    "another function of the account",
    "CallDataNotCanonical",
    await alone(thief.write(), { callData: plain }),
  );
  await refused("a batch in a batch", "RuleUnknown", await alone(call(party.account, callData)));

  // limits: value, token, gas and fee, rate; alone and together
  await refused("too much value in one call", "LimitExceeded", await alone(thief.write(6n)));
  await refused("too much in two", "LimitExceeded", await thief.operation([thief.write(4n), thief.write(3n)]));
  const transfer = (amount: bigint): ExecutionCall =>
    call(target, TOKEN.encodeFunctionData("transfer", [stranger, amount]) as Hex);
  await refused("too many tokens", "LimitExceeded", await alone(transfer(10n)));
  await refused("too many in two", "LimitExceeded", await thief.operation([transfer(5n), transfer(5n)]));
  await refused("four calls", "LimitExceeded", await thief.operation(Array.from({ length: 4 }, () => thief.write())));
  for (const change of [
    { accountGasLimits: packTwo(3_000_000n, 200_000n) },
    { accountGasLimits: packTwo(300_000n, 2_000_000n) },
    { preVerificationGas: 600_000n },
    { gasFees: packTwo(GWEI, 10n * GWEI) },
  ] satisfies Partial<PackedUserOperation>[]) {
    await refused(`gas: ${Object.keys(change).join()}`, "LimitExceeded", await alone(thief.write(), { change }));
  }
  const bundle = [signed, { ...signed, nonce: signed.nonce + 1n }];
  await refused("one signature twice in a bundle", "AA24", ...bundle);

  // a paymaster that the session does not name, deployment, messages
  const paymasterAndData = `${contracts.OperatorPaymaster}${"00".repeat(15)}01${"00".repeat(16)}` as Hex;
  const unpaid = await thief.refusal(await alone(thief.write(), { change: { paymasterAndData } }));
  log.refusedBy("SessionKeyValidator", "a foreign paymaster", unpaid, "PaymasterNotAllowed");
  const initCode = `${contracts.MasterAccountFactory}00` as Hex;
  await refused("initCode", "AA10", await alone(thief.write(), { change: { initCode } }));
  const account = new Contract(party.account, ACCOUNT, world.provider);
  const digest = id("order");
  const message = signAsAgent(party.account, fromHex(digest as Hex), thief.secret);
  const answer = (await account.getFunction("isValidSignature")(digest, message)) as string;
  log.refusedBy("MasterAccount", "ERC-1271", answer === "0x1626ba7e" ? undefined : answer, "0xffffffff");

  // what passes is what was counted, and what it costs is inside of the limits
  const honest = await alone(thief.write(2n, 7n));
  log.honest("a call that the rules allow", await thief.send(honest));
  await refused("the same once more", "AA25", honest);
  log.honest("another", await thief.send(await alone(thief.write(3n, 8n))));
  const value = await world.provider.getBalance(target);
  log.honest("five wei, as counted", value === 5n, String(value));
  await refused(
    "a third and a fourth of the day",
    "LimitExceeded",
    await thief.operation([thief.write(), thief.write()]),
  );
  await refused("more value than is left", "LimitExceeded", await alone(thief.write(2n)));
  // the call fails, and counts all the same
  const failing = await alone(transfer(4n));
  log.refusedBy("Target", "a call that fails", (await thief.send(failing)) ? undefined : "reverted", "reverted");
  await refused("one call more", "LimitExceeded", await alone(thief.write()));
  const lost = before - (await thief.wealth());
  log.honest("the account lost no more than its limits", lost <= 5n + 2_000_000n * GWEI, `lost ${lost} wei`);

  // the end of it: by the clock, and by its owner
  const soon = (await thief.now()) + 12;
  await thief.grant({ validUntil: soon });
  log.honest("a new grant", (await thief.refusal(await alone(thief.write()))) === undefined);
  const late = await alone(thief.write());
  await eventually(async () => (await thief.now()) >= soon);
  await refused("after its end", "AA22", late);
  await thief.grant();
  log.honest("granted again", (await thief.refusal(await alone(thief.write()))) === undefined);
  const ended = await party.operator.revokeSession(addressOf(thief.secret));
  log.honest("the owner revokes", ended.ok, ended.ok ? "" : ended.failure.code);
  await refused("after its revocation", "SessionNotLive", await alone(thief.write()));
}

function rule(target: Hex, selector: Hex, valuePerCall = 0n, valueTotal = valuePerCall): SessionRule {
  return { target, selector, valuePerCall, valueTotal, predicates: [] };
}

/** An address that nobody has. */
function testAddress(name: string): Hex {
  return id(`drill D17 ${name}`).slice(0, 42) as Hex;
}

import { Contract, type JsonRpcProvider, Wallet, id } from "ethers";

import { connectContracts } from "../../offchain/chain/connect";
import { type ContractPasskey, type Authenticator, contractPasskey } from "../../offchain/client/authenticator";
import {
  type MasterAccount,
  type OperatorContext,
  masterAccountOf,
  performCalls,
} from "../../offchain/client/operator-account";
import { newSoftwarePasskey, softwareAuthenticator } from "../../offchain/client/software-authenticator";
import type { Hex } from "../../offchain/wire/bytes";
import { keccakReady } from "../../offchain/wire/keccak";
import { deployAgentKeys } from "../../scripts/lib/deploy-agentkeys";
import { DEVELOPMENT_KEY, startHardhatNode } from "../helpers/hardhat-node";
import { SOME_COMMITMENT } from "../helpers/registries";
import type { Drill, DrillLog } from "./drill";
import type { World } from "./world";

const HOUR = 3_600;
const DELAY = 48 * HOUR;

/**
 * D19, a stolen passkey: the thief holds the account's only passkey, the owner nothing but two of three guardians. The
 * delays are days, so that the drill has a node of its own: on the stack's they would end caps and grants of others.
 */
export const d19: Drill = {
  id: "D19",
  title: "a stolen passkey plays every move that outruns the guardians",
  async run(world, log) {
    const node = await startHardhatNode();
    try {
      await play(world, log, await Scene.on(node.url, node.provider));
    } finally {
      await node.stop();
    }
  },
};

/** A call that the account is to make. */
type Wanted = readonly [contract: Contract, name: string, ...args: unknown[]];

/** An account with guardians and an operator, and both sides' hands. */
class Scene {
  readonly guardians = [1, 2, 3].map((n) => new Wallet(id(`drill guardian ${n}`)));
  readonly owner = softwareAuthenticator(newSoftwarePasskey());
  /** Takes over, if the thief's moves succeed. */
  readonly heir = new Wallet(id("drill heir"));

  private constructor(
    readonly context: OperatorContext,
    readonly account: MasterAccount,
  ) {}

  static async on(rpcUrl: string, provider: JsonRpcProvider): Promise<Scene> {
    await keccakReady();
    const deployment = await deployAgentKeys({ rpcUrl, k3Commitment: SOME_COMMITMENT });
    const authenticator = softwareAuthenticator(newSoftwarePasskey());
    const context = { provider, deployment, authenticator, relay: { kind: "direct", key: DEVELOPMENT_KEY } } as const;
    const account = await masterAccountOf(context);
    const scene = new Scene(context, account);
    const { registry, recovery } = scene;
    await scene.act(
      [registry, "registerOperator"],
      [recovery, "configure", scene.guardians.map(({ address }) => address), 2, DELAY],
    );
    return new Scene(context, { ...account, isDeployed: true, initCode: "0x" });
  }

  get registry(): Contract {
    return connectContracts(this.context.deployment, this.context.provider).sidecarRegistry as unknown as Contract;
  }

  get recovery(): Contract {
    const relay = new Wallet(DEVELOPMENT_KEY, this.context.provider);
    return connectContracts(this.context.deployment, relay).recovery as unknown as Contract;
  }

  get newPasskeys(): readonly ContractPasskey[] {
    return [contractPasskey(this.owner.credential)];
  }

  /** One operation by the account's stolen passkey, or another; its code where it was refused. */
  async act(...calls: readonly Wanted[]): Promise<string | undefined> {
    return this.actAs(this.context.authenticator, calls);
  }

  async actAs(authenticator: Authenticator, calls: readonly Wanted[]): Promise<string | undefined> {
    const asked = calls.map(([contract, name, ...args]) => ({
      to: (contract.target as string).toLowerCase() as Hex,
      value: 0n,
      data: contract.interface.encodeFunctionData(name, args) as Hex,
    }));
    const done = await performCalls({ ...this.context, authenticator }, this.account, asked);
    return done.ok ? undefined : (/AA\d\d/.exec(done.failure.detail)?.[0] ?? done.failure.code);
  }

  /** The error by which a contract would refuse the account this call now; undefined where it would not. */
  async says(world: World, contract: Contract, name: string, ...args: unknown[]): Promise<string | undefined> {
    const asked = new Contract(contract.target, contract.interface, this.context.provider);
    return world.revertName(asked, asked.getFunction(name).staticCall(...args, { from: this.account.address }));
  }

  async passTime(seconds: number): Promise<void> {
    await this.context.provider.send("evm_increaseTime", [seconds]);
    await this.context.provider.send("evm_mine", []);
  }

  /** Two guardians start for the owner's new passkey, half an hour later than they could. */
  async start(): Promise<void> {
    const { provider, deployment } = this.context;
    const now = (await provider.getBlock("latest"))?.timestamp ?? 0;
    const message = {
      account: this.account.address,
      newPasskeysHash: (await this.recovery.getFunction("hashPasskeys")(this.newPasskeys)) as Hex,
      recoveryNonce: (await this.recovery.getFunction("recoveryNonce")(this.account.address)) as bigint,
      notBefore: now + DELAY + HOUR / 2,
    };
    const verifyingContract = deployment.contracts.AccountRecovery;
    const domain = { name: "AgentKeys", version: "2", chainId: deployment.chainId, verifyingContract };
    const types = {
      Recover: [
        { name: "account", type: "address" },
        { name: "newPasskeysHash", type: "bytes32" },
        { name: "recoveryNonce", type: "uint64" },
        { name: "notBefore", type: "uint64" },
      ],
    };
    const signatures = await Promise.all(
      this.guardians.slice(0, 2).map(async (wallet, guardian) => ({
        guardian,
        signature: await wallet.signTypedData(domain, types, message),
      })),
    );
    const args = [message.account, this.newPasskeys, message.notBefore, signatures] as const;
    await (await this.recovery.getFunction("start").send(...args)).wait();
  }
}

async function play(world: World, log: DrillLog, scene: Scene): Promise<void> {
  const { account, recovery, registry, guardians, heir } = scene;
  const omni = (await registry.getFunction("omniOf")(account.address)) as Hex;
  const own = guardians.map(({ address }) => address);
  const stolen = contractPasskey(scene.context.authenticator.credential).credIdHash;
  const reguard: readonly unknown[] = [[heir.address], 1, DELAY];
  const refused = async (
    by: Contract,
    attack: string,
    code: string,
    name: string,
    ...args: unknown[]
  ): Promise<void> => {
    log.refusedBy(
      by === registry ? "SidecarRegistry" : "AccountRecovery",
      attack,
      await scene.says(world, by, name, ...args),
      code,
    );
  };
  const done = async (...calls: readonly Wanted[]): Promise<void> => {
    const code = await scene.act(...calls);
    if (code !== undefined) throw new Error(`D19: the thief could not even try: ${code}`);
  };

  // before the guardians notice: everything that takes its time is announced, and nothing of it comes to pass
  await refused(recovery, "re-guards at once", "RecoveryAlreadyConfigured", "configure", ...reguard);
  await done(
    [recovery, "scheduleConfiguration", ...reguard],
    [recovery, "scheduleConfiguration", own, 1, DELAY],
    [recovery, "scheduleConfiguration", own, 2, DELAY / 2],
    [recovery, "scheduleConfiguration", [], 0, 0],
    [registry, "transferOperator", heir.address],
  );
  await refused(recovery, "executes before the delay", "TooEarly", "executeConfiguration", ...reguard);
  await scene.passTime(DELAY - HOUR);
  await scene.start();

  const whilePending = async (): Promise<void> => {
    await scene.passTime(HOUR);
    await refused(recovery, "executes what has ripened", "RecoveryIsPending", "executeConfiguration", ...reguard);
    await refused(recovery, "schedules while pending", "RecoveryIsPending", "scheduleRemoval", stolen);
    await refused(
      registry,
      "announces a transfer while pending",
      "RecoveryIsPending",
      "transferOperator",
      heir.address,
    );
    const heirsCall = registry.getFunction("acceptOperator").staticCall(omni, { from: heir.address });
    log.refusedBy(
      "SidecarRegistry",
      "accepts an old one",
      await world.revertName(registry, heirsCall),
      "NoTransferAnnounced",
    );
  };
  await whilePending();

  // the one cancel, and everything again between it and the restart
  await done([recovery, "cancel"]);
  await refused(
    recovery,
    "executes after its cancel what was dropped",
    "ChangeNotScheduled",
    "executeConfiguration",
    ...reguard,
  );
  await done([recovery, "scheduleConfiguration", ...reguard], [registry, "transferOperator", heir.address]);
  await scene.passTime(DELAY - HOUR);
  await scene.start();
  await whilePending();
  await refused(recovery, "cancels again", "CancelledRecently", "cancel");
  const early = recovery.getFunction("finish").staticCall(account.address, scene.newPasskeys);
  log.refusedBy("AccountRecovery", "anyone finishes early", await world.revertName(recovery, early), "TooEarly");

  await scene.passTime(DELAY);
  await (await recovery.getFunction("finish").send(account.address, scene.newPasskeys)).wait();
  log.refusedBy(
    "account",
    "the stolen passkey signs",
    await scene.act([registry, "transferOperator", heir.address]),
    "AA24",
  );
  await refused(recovery, "executes what it announced last", "ChangeNotScheduled", "executeConfiguration", ...reguard);
  const master = (await registry.getFunction("masterOf")(omni)) as string;
  log.honest("account and operator are the owner's", master.toLowerCase() === account.address, master);
  const moved = await scene.actAs(scene.owner, [
    [registry, "transferOperator", heir.address],
    [registry, "cancelTransfer"],
  ]);
  log.honest("the owner's new passkey acts", moved === undefined, moved);
}

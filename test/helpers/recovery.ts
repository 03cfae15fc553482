import { setBalance, time } from "@nomicfoundation/hardhat-toolbox/network-helpers";
import type { HardhatEthersSigner } from "@nomicfoundation/hardhat-ethers/signers";
import { type TypedDataDomain, Wallet, concat, getAddress, hexlify, id, randomBytes } from "ethers";
import { ethers } from "hardhat";

import type { AccountRecovery, MasterAccount, SessionEnds, SidecarRegistry } from "../../typechain-types";
import { AccountWorld, type TestPasskey, testPasskey } from "./account";

export const HOUR = 3_600;
export const DAY = 24 * HOUR;
/** The delay of test accounts, and the usual one. */
export const DELAY = 2 * DAY;

/** EIP-712 types of what guardians sign. */
export const GUARDIAN_TYPES = {
  Recover: [
    { name: "account", type: "address" },
    { name: "newPasskeysHash", type: "bytes32" },
    { name: "recoveryNonce", type: "uint64" },
    { name: "notBefore", type: "uint64" },
  ],
  CancelRecovery: [
    { name: "account", type: "address" },
    { name: "recoveryNonce", type: "uint64" },
  ],
  CancelChange: [
    { name: "account", type: "address" },
    { name: "change", type: "bytes32" },
    { name: "readyAt", type: "uint64" },
  ],
} as const;

type MessageKind = keyof typeof GUARDIAN_TYPES;

/** One guardian's signature, as the contract takes it. */
export interface Signed {
  readonly guardian: number;
  readonly signature: string;
}

/** What a `Recover` says and who signs it; everything has the honest value by default. */
export interface StartWish {
  readonly account?: string;
  readonly nonce?: bigint;
  readonly notBefore?: number;
  /** Positions of the guardians, in this order. */
  readonly by?: readonly number[];
  readonly domain?: TypedDataDomain;
  readonly signatures?: readonly Signed[];
}

/** An account with three guardians, two of which are enough, and an operator; and whoever wants it. */
export class RecoveryWorld {
  readonly owner = testPasskey();
  readonly guardians: readonly Wallet[] = [1, 2, 3].map((n) => new Wallet(id(`guardian ${n}`)));

  private constructor(
    readonly accounts: AccountWorld,
    readonly sessions: SessionEnds,
    readonly domain: TypedDataDomain,
  ) {}

  account!: MasterAccount;
  /** The account itself, as whoever holds one of its passkeys can speak. */
  self!: HardhatEthersSigner;
  omni!: string;

  /** For `loadFixture`. */
  static readonly make = async (): Promise<RecoveryWorld> => {
    const sessions = await ethers.deployContract("SessionEnds");
    const accounts = await AccountWorld.over("0.8", await sessions.getAddress());
    const { chainId } = accounts.domain;
    const verifyingContract = await accounts.guardians.getAddress();
    const world = new RecoveryWorld(accounts, sessions, {
      name: "AgentKeys",
      version: "2",
      chainId,
      verifyingContract,
    });
    world.account = await accounts.newAccount(world.owner, BigInt(hexlify(randomBytes(8))));
    world.self = await world.speaker(world.account);
    await world.registry.connect(world.self).registerOperator();
    world.omni = await world.registry.omniOf(world.account);
    await world.recovery.connect(world.self).configure(world.guardianList, 2, DELAY);
    return world;
  };

  get recovery(): AccountRecovery {
    return this.accounts.guardians;
  }

  get registry(): SidecarRegistry {
    return this.accounts.registry;
  }

  get address(): string {
    return getAddress(this.account.target as string);
  }

  get guardianList(): string[] {
    return this.guardians.map(({ address }) => address.toLowerCase());
  }

  /** Whoever speaks as a contract account. */
  async speaker(account: { readonly target: unknown }): Promise<HardhatEthersSigner> {
    await setBalance(account.target as string, 10n ** 21n);
    return ethers.getImpersonatedSigner(account.target as string);
  }

  /** An account of the same owner that names these two. */
  async accountNaming(sessionValidator: string, recovery: string): Promise<MasterAccount> {
    const { domain, verifier } = this.accounts;
    const names = [domain.entryPoint, verifier, sessionValidator, recovery] as const;
    const factory = await ethers.deployContract("MasterAccountFactory", [...names]);
    const address = await factory.createAccount.staticCall(this.owner.contract, 0);
    await factory.createAccount(this.owner.contract, 0);
    return ethers.getContractAt("MasterAccount", address);
  }

  /** The same world about another account; nothing of that one is set up. */
  async about(account: MasterAccount): Promise<RecoveryWorld> {
    const other = new RecoveryWorld(this.accounts, this.sessions, this.domain);
    other.account = account;
    other.self = await this.speaker(account);
    return other;
  }

  /** The recovery contract as the account calls it. */
  get asAccount(): AccountRecovery {
    return this.recovery.connect(this.self);
  }

  async sign(
    kind: MessageKind,
    message: object,
    by: readonly number[] = [0, 1],
    domain = this.domain,
  ): Promise<Signed[]> {
    const types = { [kind]: [...GUARDIAN_TYPES[kind]] };
    return Promise.all(
      by.map(async (guardian) => {
        const wallet = this.guardians[guardian] ?? Wallet.createRandom();
        return { guardian, signature: await wallet.signTypedData(domain, types, message) };
      }),
    );
  }

  /** The second in which the next block is mined, one after the latest. */
  async next(): Promise<number> {
    const at = (await time.latest()) + 1;
    await time.setNextBlockTimestamp(at);
    return at;
  }

  /** Signs and sends `start`, which the next block mines. */
  async start(passkeys: readonly TestPasskey[], wish: StartWish = {}) {
    const list = passkeys.map(({ contract }) => contract);
    const account = wish.account ?? this.address;
    const at = await this.next();
    const notBefore = wish.notBefore ?? at + DELAY;
    const message = {
      account,
      newPasskeysHash: await this.recovery.hashPasskeys(list),
      recoveryNonce: wish.nonce ?? (await this.recovery.recoveryNonce(account)),
      notBefore,
    };
    const signatures = wish.signatures ?? (await this.sign("Recover", message, wish.by, wish.domain));
    return this.recovery.start(account, list, notBefore, [...signatures]);
  }

  /** Waits as long as it must and sends `finish`. */
  async finish(passkeys: readonly TestPasskey[]) {
    const { notBefore } = await this.recovery.pendingOf(this.address);
    await time.setNextBlockTimestamp(notBefore);
    return this.recovery.finish(
      this.address,
      passkeys.map(({ contract }) => contract),
    );
  }

  async cancelByGuardians(by: readonly number[] = [0, 1], nonce?: bigint) {
    const recoveryNonce = nonce ?? (await this.recovery.pendingOf(this.address)).nonce;
    const signatures = await this.sign("CancelRecovery", { account: this.address, recoveryNonce }, by);
    return this.recovery.cancelByGuardians(this.address, signatures);
  }

  /** ERC-7913: the verifier's address before x ‖ y. */
  passkeyGuardian(verifier: string, passkey: TestPasskey): string {
    return concat([verifier, passkey.contract.x, passkey.contract.y]);
  }
}

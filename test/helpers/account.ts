import { createECDH, createHash, randomBytes } from "node:crypto";

import {
  AbiCoder,
  type Contract,
  ContractFactory,
  type ContractTransactionReceipt,
  concat,
  getBytes,
  hexlify,
  keccak256,
  toBeHex,
} from "ethers";
import { ethers } from "hardhat";

import { ENTRY_POINT, type PackedUserOperation, entryPointAt } from "../../offchain/chain/entry-point";
import { type AccountCall, encodeExecute } from "../../offchain/client/account-calls";
import type { ContractPasskey } from "../../offchain/client/authenticator";
import { type EntryPointDomain, packOperation, userOperationHash } from "../../offchain/client/user-operation";
import { type Hex, toBase64url } from "../../offchain/wire/bytes";
import { keccakReady } from "../../offchain/wire/keccak";
import { ENTRY_POINT_ARTIFACT, type EntryPointVersion } from "../../ignition/modules/EntryPoint";
import type {
  AccountRecovery,
  MasterAccount,
  MasterAccountFactory,
  RecoveryMock,
  SessionKeyValidator,
  SidecarRegistry,
  Target,
} from "../../typechain-types";

/** Order of P-256. */
export const N = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n;
/** The EVM that the tests run on. */
export const EVM = process.env["HARDHAT_HARDFORK"] ?? "osaka";
const PRECOMPILE = "0x0000000000000000000000000000000000000100";
const RP_ID = "example.org";

/** A passkey in a test's hands. */
export interface TestPasskey {
  readonly contract: ContractPasskey;
  /** r ‖ s over these bytes, s as it comes. */
  sign(signed: Uint8Array): { readonly r: bigint; readonly s: bigint };
}

/** What an assertion says, and how its encoding places it; all members have the honest value by default. */
export interface AssertionWish {
  readonly credIdHash?: Hex;
  readonly authenticatorData?: Uint8Array;
  readonly clientData?: string;
  readonly challengeIndex?: bigint;
  readonly typeIndex?: bigint;
  readonly r?: bigint;
  readonly s?: (low: bigint) => bigint;
}

/**
 * A new passkey of `example.org`; with a seed always the same one, whose signatures are always the same too (the nonce is
 * a hash of key and message), so that gas measured with it is exact.
 */
export function testPasskey(seed?: string): TestPasskey {
  const scalar = seed === undefined ? randomBytes(31) : sha256(seed).subarray(1);
  const d = BigInt(hexlify(scalar));
  const [x, y] = timesG(d);
  return {
    contract: {
      credIdHash: keccak256(concat([x, y])) as Hex,
      rpIdHash: hexlify(sha256(RP_ID)) as Hex,
      x,
      y,
    },
    sign(signed) {
      const z = BigInt(hexlify(sha256(signed)));
      const k = BigInt(hexlify(sha256(Buffer.concat([scalar, sha256(signed)])))) % N;
      const r = BigInt(timesG(k)[0]) % N;
      return { r, s: (inverse(k) * (z + r * d)) % N };
    },
  };
}

/** Affine coordinates of a multiple of P-256's generator. */
function timesG(scalar: bigint): readonly [Hex, Hex] {
  const ecdh = createECDH("prime256v1");
  ecdh.setPrivateKey(toBeHex(scalar, 32).slice(2), "hex");
  const point = ecdh.getPublicKey();
  return [hexlify(point.subarray(1, 33)) as Hex, hexlify(point.subarray(33)) as Hex];
}

function inverse(value: bigint): bigint {
  let [a, b, u, v] = [value, N, 1n, 0n];
  while (a !== 0n) [a, b, u, v] = [b % a, a, v - (b / a) * u, u];
  return ((v % N) + N) % N;
}

/** Authenticator data of `example.org` with these flags. */
export function authenticatorData(flags = 0x05, behind: Uint8Array = Buffer.alloc(0)): Buffer {
  return Buffer.concat([sha256(RP_ID), Buffer.from([flags, 0, 0, 0, 0]), behind]);
}

/** Client data as a browser writes them. */
export function clientData(challenge: string): string {
  return `{"type":"webauthn.get","challenge":"${toBase64url(getBytes(challenge))}","origin":"https://${RP_ID}","crossOrigin":false}`;
}

/** An assertion over `challenge`, honest but for the wish. */
export function assertion(passkey: TestPasskey, challenge: string, wish: AssertionWish = {}): Hex {
  const data = wish.authenticatorData ?? authenticatorData();
  const client = wish.clientData ?? clientData(challenge);
  const { r, s } = passkey.sign(Buffer.concat([data, sha256(client)]));
  const low = s > N / 2n ? N - s : s;
  return encodeSignature(wish.credIdHash ?? passkey.contract.credIdHash, {
    r: wish.r ?? r,
    s: wish.s === undefined ? low : wish.s(low),
    challengeIndex: wish.challengeIndex ?? 23n,
    typeIndex: wish.typeIndex ?? 1n,
    authenticatorData: data,
    clientData: client,
  });
}

/** `credIdHash ‖ abi.encode(WebAuthnAuth)`. @see contracts/interfaces/IMasterAccount.sol */
export function encodeSignature(
  credIdHash: string,
  parts: {
    readonly r: bigint;
    readonly s: bigint;
    readonly challengeIndex: bigint;
    readonly typeIndex: bigint;
    readonly authenticatorData: Uint8Array;
    readonly clientData: string;
  },
): Hex {
  const { r, s, challengeIndex, typeIndex } = parts;
  const encoded = AbiCoder.defaultAbiCoder().encode(
    ["bytes32", "bytes32", "uint256", "uint256", "bytes", "string"],
    [toBeHex(r, 32), toBeHex(s, 32), challengeIndex, typeIndex, parts.authenticatorData, parts.clientData],
  );
  return concat([credIdHash, encoded]) as Hex;
}

/** EntryPoint, factory and a target on the in-process network, and the hands of whoever sends bundles. */
export class AccountWorld {
  private constructor(
    readonly entryPoint: Contract,
    readonly domain: EntryPointDomain,
    readonly verifier: string,
    readonly factory: MasterAccountFactory,
    readonly target: Target,
    readonly sessions: SessionKeyValidator,
    /** What the session validator asks; the accounts have guardians. */
    readonly recovery: RecoveryMock,
    readonly registry: SidecarRegistry,
    /** The recovery contract that the accounts name. */
    readonly guardians: AccountRecovery,
  ) {}

  /** @param sessionValidator what the accounts name instead of {@link sessions} */
  static async over(version: EntryPointVersion, sessionValidator?: string): Promise<AccountWorld> {
    await keccakReady();
    const [deployer] = await ethers.getSigners();
    if (deployer === undefined) throw new Error("the network has no accounts");
    const { abi, bytecode } = ENTRY_POINT_ARTIFACT[version];
    const deployed = await (await new ContractFactory(abi, bytecode, deployer).deploy()).getAddress();
    const address = deployed.toLowerCase() as Hex;
    const verifier = EVM === "cancun" ? await (await ethers.deployContract("P256Verifier")).getAddress() : PRECOMPILE;
    const { chainId } = await ethers.provider.getNetwork();
    const target = await ethers.deployContract("Target");
    const recovery = await ethers.deployContract("RecoveryMock");
    const registry = await ethers.deployContract("SidecarRegistry");
    const guardians = await ethers.deployContract("AccountRecovery", [registry]);
    const sessions = await ethers.deployContract("SessionKeyValidator", [address, recovery, []]);
    return new AccountWorld(
      entryPointAt(address, deployer),
      { chainId: Number(chainId), entryPoint: address, entryPointVersion: version },
      verifier,
      await ethers.deployContract("MasterAccountFactory", [address, verifier, sessionValidator ?? sessions, guardians]),
      target,
      sessions,
      recovery,
      registry,
      guardians,
    );
  }

  /** Where the account of `passkey` is, with a deposit, deployed or not. */
  async fundedAddress(passkey: TestPasskey, salt = 0n): Promise<Hex> {
    const address = (
      (await this.factory
        .getFunction("getAddress((bytes32,bytes32,bytes32,bytes32),uint256)")
        .staticCall(passkey.contract, salt)) as string
    ).toLowerCase() as Hex;
    await (await this.entryPoint.getFunction("depositTo").send(address, { value: 10n ** 18n })).wait();
    return address;
  }

  /** A deployed account of `passkey` with a deposit. */
  async newAccount(passkey: TestPasskey, salt = 0n): Promise<MasterAccount> {
    const address = await this.fundedAddress(passkey, salt);
    await (await this.factory.createAccount(passkey.contract, salt)).wait();
    return ethers.getContractAt("MasterAccount", address);
  }

  initCode(passkey: TestPasskey, salt = 0n): Hex {
    const data = this.factory.interface.encodeFunctionData("createAccount", [passkey.contract, salt]);
    return concat([this.factory.target as string, data]) as Hex;
  }

  /** `Target.write`. */
  write(word: bigint): AccountCall {
    return this.call(this.target.interface.encodeFunctionData("write", [word]));
  }

  call(data: string, to: string = this.target.target as string): AccountCall {
    return { to: to.toLowerCase() as Hex, value: 0n, data: data as Hex };
  }

  /** An operation of `sender` that makes these calls, without its signature. */
  async operation(
    sender: string,
    calls: readonly AccountCall[] | Hex,
    more: { readonly initCode?: Hex; readonly nonceKey?: bigint } = {},
  ): Promise<PackedUserOperation> {
    return packOperation({
      sender: sender.toLowerCase() as Hex,
      nonce: (await this.entryPoint.getFunction("getNonce")(sender, more.nonceKey ?? 0n)) as bigint,
      initCode: more.initCode ?? "0x",
      callData: typeof calls === "string" ? calls : encodeExecute(calls),
      gas: {
        verificationGasLimit: 1_500_000n,
        callGasLimit: 500_000n,
        preVerificationGas: 60_000n,
        maxPriorityFeePerGas: 10n ** 9n,
        maxFeePerGas: 10n ** 9n,
      },
    });
  }

  signed(operation: PackedUserOperation, passkey: TestPasskey): PackedUserOperation {
    return { ...operation, signature: assertion(passkey, userOperationHash(operation, this.domain)) };
  }

  /** `handleOps` of these operations in one transaction. */
  async handle(...operations: readonly PackedUserOperation[]): Promise<ContractTransactionReceipt> {
    const [, beneficiary] = await ethers.getSigners();
    const sent = await this.entryPoint
      .getFunction("handleOps")
      .send(operations, beneficiary?.address, { gasLimit: 10_000_000 });
    const receipt = await sent.wait();
    if (receipt === null) throw new Error("handleOps was not mined");
    return receipt;
  }

  /** Signs, sends, and says whether the execution succeeded. */
  async run(
    passkey: TestPasskey,
    sender: string,
    calls: readonly AccountCall[] | Hex,
    initCode: Hex = "0x",
  ): Promise<boolean> {
    const receipt = await this.handle(this.signed(await this.operation(sender, calls, { initCode }), passkey));
    const event = receipt.logs
      .flatMap((log) => ENTRY_POINT.parseLog(log) ?? [])
      .find(({ name }) => name === "UserOperationEvent");
    return event?.args["success"] as boolean;
  }

  /** What `validateUserOp` answers the EntryPoint for this hash and signature; throws when it reverts. */
  async validationData(account: MasterAccount, hash: string, signature: string): Promise<bigint> {
    const empty = await this.operation(account.target as string, "0x");
    const data = account.interface.encodeFunctionData("validateUserOp", [{ ...empty, signature }, hash, 0n]);
    return BigInt(await ethers.provider.call({ from: this.domain.entryPoint, to: account.target, data }));
  }
}

/** 32 random bytes. */
export function randomHash(): Hex {
  return hexlify(randomBytes(32)) as Hex;
}

export function sha256(data: string | Uint8Array): Buffer {
  return createHash("sha256").update(data).digest();
}

/** What a promise fails with, an EntryPoint's error by its words; throws when it succeeds. */
export async function failure(promise: Promise<unknown>): Promise<string> {
  const outcome = await promise.then(
    () => undefined,
    (error: unknown) => String(error),
  );
  if (outcome === undefined) throw new Error("it succeeded");
  const [data] = /0x[0-9a-f]{8,}/.exec(outcome) ?? [];
  const known = data === undefined ? null : ENTRY_POINT.parseError(data);
  return known === null ? outcome : `${known.name}: ${known.args.join(" ")}`;
}

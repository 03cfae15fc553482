import {
  type AddressLike,
  type BytesLike,
  type TypedDataDomain,
  Wallet,
  concat,
  getBytes,
  keccak256,
  resolveAddress,
  toUtf8Bytes,
  zeroPadValue,
} from "ethers";

/** Role bits of a device. */
export const CAP_MINT = 1;
export const RECOVERY = 2;
export const SCOPE_MGMT = 4;

/** A machine's key (K10) and its names. */
export interface TestDevice {
  readonly wallet: Wallet;
  /** secp256k1 address. */
  readonly key: string;
  /** keccak256 of the 20 bytes of `key`. */
  readonly hash: string;
}

/** What a new device signs. @see protocol 3.2 */
export interface BindingFields {
  readonly operatorOmni: string;
  readonly actorOmni: string;
  readonly deviceKey: string;
  readonly roles: number;
  readonly attestationHash: string;
  readonly deadline: bigint | number;
}

/** What a master device signs to stop its operator. @see protocol 3.2 */
export interface FreezeFields {
  readonly operatorOmni: string;
  readonly deviceKeyHash: string;
  readonly freezeNonce: bigint | number;
  readonly deadline: bigint | number;
}

const BINDING_TYPE = {
  DeviceBinding: [
    { name: "operatorOmni", type: "bytes32" },
    { name: "actorOmni", type: "bytes32" },
    { name: "deviceKey", type: "address" },
    { name: "roles", type: "uint8" },
    { name: "attestationHash", type: "bytes32" },
    { name: "deadline", type: "uint256" },
  ],
};

const FREEZE_TYPE = {
  Freeze: [
    { name: "operatorOmni", type: "bytes32" },
    { name: "deviceKeyHash", type: "bytes32" },
    { name: "freezeNonce", type: "uint64" },
    { name: "deadline", type: "uint256" },
  ],
};

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** A device whose key is fixed by a name, so that a failing test repeats. */
export function testDevice(name: string): TestDevice {
  return deviceOf(keccak256(toUtf8Bytes(`test device ${name}`)));
}

/** A device with a given 32-byte secret. */
export function deviceOf(secret: string): TestDevice {
  const wallet = new Wallet(secret);
  return { wallet, key: wallet.address, hash: keccak256(wallet.address) };
}

/** Domain of device signatures for one SidecarRegistry. @see protocol 3.2 */
export async function deviceDomain(registry: AddressLike, chainId: bigint | number = 31337): Promise<TypedDataDomain> {
  return { name: "AgentKeys", version: "2", chainId, verifyingContract: await resolveAddress(registry) };
}

/** 65 bytes r ‖ s ‖ v over a `DeviceBinding`. */
export function signBinding(device: TestDevice, domain: TypedDataDomain, fields: BindingFields): Promise<string> {
  return device.wallet.signTypedData(domain, BINDING_TYPE, fields);
}

/** 65 bytes r ‖ s ‖ v over a `Freeze`. */
export function signFreeze(device: TestDevice, domain: TypedDataDomain, fields: FreezeFields): Promise<string> {
  return device.wallet.signTypedData(domain, FREEZE_TYPE, fields);
}

/** 65 bytes r ‖ s ‖ v over 32 bytes. */
export function signRaw(device: TestDevice, digest: BytesLike): string {
  return device.wallet.signingKey.sign(digest).serialized;
}

/** Every form of a good signature that must be refused, with the custom error that refuses it. */
export function malformed(
  good: string,
): readonly { readonly what: string; readonly sig: string; readonly error: string }[] {
  const bytes = getBytes(good);
  const [r, s, v] = [bytes.slice(0, 32), bytes.slice(32, 64), bytes[64] ?? 0];
  const highS = zeroPadValue(
    `0x${(ORDER - BigInt(`0x${Buffer.from(s).toString("hex")}`)).toString(16).padStart(64, "0")}`,
    32,
  );
  const compact = concat([r, Uint8Array.of((s[0] ?? 0) | (v === 28 ? 0x80 : 0)), s.slice(1)]);
  return [
    { what: "empty", sig: "0x", error: "ECDSAInvalidSignatureLength" },
    { what: "64 bytes, compact", sig: compact, error: "ECDSAInvalidSignatureLength" },
    { what: "a trailing byte", sig: concat([good, "0x00"]), error: "ECDSAInvalidSignatureLength" },
    { what: "v 0 or 1", sig: concat([r, s, Uint8Array.of(v - 27)]), error: "ECDSAInvalidSignature" },
    { what: "v 29", sig: concat([r, s, "0x1d"]), error: "ECDSAInvalidSignature" },
    { what: "high s", sig: concat([r, highS, Uint8Array.of(v === 27 ? 28 : 27)]), error: "ECDSAInvalidSignatureS" },
    { what: "r zero", sig: concat([new Uint8Array(32), s, Uint8Array.of(v)]), error: "ECDSAInvalidSignature" },
    { what: "s zero", sig: concat([r, new Uint8Array(32), Uint8Array.of(v)]), error: "ECDSAInvalidSignature" },
  ];
}

import { ZeroAddress } from "ethers";

import { type ISidecarRegistry, ISidecarRegistry__factory } from "../../typechain-types";
import type { Hex } from "../wire/bytes";
import { decodeStrictly, safeNumber } from "./decode-strictly";

/** One registered device key. @see contracts/interfaces/ISidecarRegistry.sol */
export interface DeviceRecord {
  readonly operatorOmni: Hex;
  /** The operator's omni for a MASTER-tier device, the agent's for an AGENT-tier one. */
  readonly actorOmni: Hex;
  /** The K10 address, lowercase. */
  readonly key: Hex;
  /** Bitmap CAP_MINT 1 | RECOVERY 2 | SCOPE_MGMT 4. */
  readonly roles: number;
  /** MASTER 1, AGENT 2. */
  readonly tier: number;
  /** Unix seconds. */
  readonly registeredAt: number;
  /** Unix seconds, 0 while not revoked one by one. */
  readonly revokedAt: number;
  /** Of its actor (AGENT) or operator (MASTER) when it was registered. */
  readonly generation: number;
}

type DeviceStructOutput = Awaited<ReturnType<ISidecarRegistry["getDevice"]>>;

const SIDECAR_REGISTRY = ISidecarRegistry__factory.createInterface();

/** Calldata of `getDevice`. */
export function encodeGetDevice(deviceKeyHash: Hex): Hex {
  return SIDECAR_REGISTRY.encodeFunctionData("getDevice", [deviceKeyHash]) as Hex;
}

/** The device, `record` undefined for a hash that was never registered; undefined for an answer that is none. */
export function decodeDevice(answer: Hex): { readonly record: DeviceRecord | undefined } | undefined {
  const device = decodeStrictly(SIDECAR_REGISTRY, "getDevice", answer)?.[0] as DeviceStructOutput | undefined;
  if (device === undefined) return undefined;
  if (device.tier === 0n) return { record: undefined };
  const registeredAt = safeNumber(device.registeredAt);
  const revokedAt = safeNumber(device.revokedAt);
  const generation = safeNumber(device.generation);
  if (registeredAt === undefined || revokedAt === undefined || generation === undefined) return undefined;
  const record = {
    operatorOmni: device.operatorOmni as Hex,
    actorOmni: device.actorOmni as Hex,
    key: device.key.toLowerCase() as Hex,
    roles: Number(device.roles),
    tier: Number(device.tier),
    registeredAt,
    revokedAt,
    generation,
  };
  return { record };
}

/** Calldata of `masterOf`. */
export function encodeMasterOf(operatorOmni: Hex): Hex {
  return SIDECAR_REGISTRY.encodeFunctionData("masterOf", [operatorOmni]) as Hex;
}

/** The master account, lowercase, `account` undefined for an unknown omni; undefined for an answer that is none. */
export function decodeMaster(answer: Hex): { readonly account: Hex | undefined } | undefined {
  const account = decodeStrictly(SIDECAR_REGISTRY, "masterOf", answer)?.[0] as string | undefined;
  if (account === undefined) return undefined;
  return { account: account === ZeroAddress ? undefined : (account.toLowerCase() as Hex) };
}

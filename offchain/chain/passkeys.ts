import { IMasterAccount__factory } from "../../typechain-types";
import type { Hex } from "../wire/bytes";
import { decodeStrictly } from "./decode-strictly";

/** One passkey (K11) of a master account. @see contracts/interfaces/IMasterAccount.sol */
export interface Passkey {
  /** keccak256 of the raw credential id. */
  readonly credIdHash: Hex;
  /** SHA-256 of the relying party id. */
  readonly rpIdHash: Hex;
  /** Affine coordinates of the P-256 key, 32 bytes each. */
  readonly x: Hex;
  readonly y: Hex;
}

/** The most passkeys that an account can have. */
export const MAX_PASSKEYS = 16;

const MASTER_ACCOUNT = IMasterAccount__factory.createInterface();
// offset and length, then four words each; a longer answer is not even decoded
const MAX_ANSWER_LENGTH = 2 + 2 * 32 * (2 + 4 * MAX_PASSKEYS);

/** Calldata of `passkeys`. */
export function encodePasskeys(): Hex {
  return MASTER_ACCOUNT.encodeFunctionData("passkeys") as Hex;
}

/**
 * The passkeys, at most 16 and no two with one credential id; none where no contract answers (an operator may be an
 * ordinary address); undefined for an answer that is none.
 */
export function decodePasskeys(answer: Hex): readonly Passkey[] | undefined {
  if (answer === "0x") return [];
  if (answer.length > MAX_ANSWER_LENGTH) return undefined;
  const list = decodeStrictly(MASTER_ACCOUNT, "passkeys", answer)?.[0] as readonly Passkey[] | undefined;
  const passkeys = list?.map(({ credIdHash, rpIdHash, x, y }) => ({ credIdHash, rpIdHash, x, y }));
  const ids = new Set(passkeys?.map(({ credIdHash }) => credIdHash));
  return ids.size === passkeys?.length ? passkeys : undefined;
}

import type { JsonRpcProvider } from "ethers";

import type { Hex } from "../../offchain/wire/bytes";

/** Where EIP-7951 and RIP-7212 put the P-256 precompile. */
export const P256_PRECOMPILE: Hex = "0x0000000000000000000000000000000000000100";

// EIP-7951 test vectors: message hash ‖ r ‖ s ‖ x ‖ y; the second is the first with the last bit of r turned
const GOOD =
  "0xbb5a52f42f9c9261ed4361f59422a1e30036e7c32b270c8807a419feca605023" +
  "2ba3a8be6b94d5ec80a6d9d1190a436effe50d85a1eee859b8cc6af9bd5c2e18" +
  "4cd60b855d442f5b3c7b11eb6c4e0ae7525fe710fab9aa7c77a67f79e6fadd76" +
  "2927b10512bae3eddcfe467828128bad2903269919f7086069c8c4df6c732838" +
  "c7787964eaac00e5921fb1498a60f4606766b3d9685001558d1a974e7341513e";
const BAD = `${GOOD.slice(0, 2 + 127)}9${GOOD.slice(2 + 128)}`;
const TRUE = `0x${"00".repeat(31)}01`;

/**
 * Whether the chain really has the precompile: a good signature answers exactly 32 bytes of 1 and a bad one nothing.
 * An address that merely has no code answers nothing to both, and something else that lives there is not believed.
 */
export async function hasP256Precompile(provider: JsonRpcProvider): Promise<boolean> {
  const ask = async (data: string): Promise<unknown> =>
    (await provider.send("eth_call", [{ to: P256_PRECOMPILE, data }, "latest"]).catch(() => undefined)) as unknown;
  return (await ask(GOOD)) === TRUE && (await ask(BAD)) === "0x";
}

import type { Hex } from "../../offchain/wire/bytes";

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

/** Values that travel where a good 65-byte signature is asked for, and must each be refused. @see protocol 3.2 */
export function brokenSignatures(good: Hex): Readonly<Record<string, unknown>> {
  const [r, s, v] = [good.slice(2, 66), good.slice(66, 130), good.slice(130)];
  const high = (ORDER - BigInt(`0x${s}`)).toString(16).padStart(64, "0");
  const compact = (BigInt(`0x${s}`) | (v === "1c" ? 1n << 255n : 0n)).toString(16).padStart(64, "0");
  return {
    missing: undefined,
    null: null,
    "a number": 1,
    "an object": {},
    "an array": [good],
    "empty text": "",
    "upper case": good.toUpperCase().replace("0X", "0x"),
    "without 0x": good.slice(2),
    "64 bytes, compact": `0x${r}${compact}`,
    "a trailing byte": `${good}00`,
    "v 0 or 1": `0x${r}${s}${v === "1b" ? "00" : "01"}`,
    "the other v": `0x${r}${s}${v === "1b" ? "1c" : "1b"}`,
    "v 29": `0x${r}${s}1d`,
    "high s": `0x${r}${high}${v === "1b" ? "1c" : "1b"}`,
    "r zero": `0x${"00".repeat(32)}${s}${v}`,
    "s zero": `0x${r}${"00".repeat(32)}${v}`,
    "all zero": `0x${"00".repeat(65)}`,
  };
}

import type { Hex } from "../../offchain/wire/bytes";

const ORDER = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n;

const word = (value: bigint): string => value.toString(16).padStart(64, "0");

/** JSON texts of everything that is not the 65-byte form of protocol 3.2, made from a good signature. */
export function badSignatureForms(good: Hex): readonly { readonly name: string; readonly text: string }[] {
  const [r, s, v] = [good.slice(2, 66), good.slice(66, 130), good.slice(130)];
  const compactS = (BigInt(`0x${s}`) | (v === "1c" ? 1n << 255n : 0n)).toString(16).padStart(64, "0");
  const forms: Readonly<Record<string, string>> = {
    empty: "",
    "0x only": "0x",
    "64 bytes, compact (EIP-2098)": `0x${r}${compactS}`,
    "64 bytes, without v": `0x${r}${s}`,
    "66 bytes": `${good}00`,
    "half a byte more": `${good}0`,
    "in upper case": `0x${good.slice(2).toUpperCase()}`,
    "without 0x": good.slice(2),
    "with white space": ` ${good}`,
    "in base64url": Buffer.from(good.slice(2), "hex").toString("base64url"),
  };
  const json = ["null", "true", "0", "[]", "{}", `["${good}"]`];
  return [
    ...Object.entries(forms).map(([name, text]) => ({ name, text: JSON.stringify(text) })),
    ...json.map((text) => ({ name: text, text })),
  ];
}

/** Signatures of the right form whose values are refused: they recover nobody, or somebody else, or twice. */
export function badSignatureValues(good: Hex): readonly { readonly name: string; readonly sig: Hex }[] {
  const [r, s, v] = [good.slice(2, 66), good.slice(66, 130), good.slice(130)];
  const other = v === "1b" ? "1c" : "1b";
  const recovery = v === "1b" ? "00" : "01";
  return [
    { name: "high s", sig: `0x${r}${word(ORDER - BigInt(`0x${s}`))}${other}` },
    { name: "high s, same v", sig: `0x${r}${word(ORDER - BigInt(`0x${s}`))}${v}` },
    { name: "v 0 or 1", sig: `0x${r}${s}${recovery}` },
    { name: "v 29", sig: `0x${r}${s}1d` },
    { name: "v of EIP-155", sig: `0x${r}${s}25` },
    { name: "the other v", sig: `0x${r}${s}${other}` },
    { name: "r zero", sig: `0x${word(0n)}${s}${v}` },
    { name: "s zero", sig: `0x${r}${word(0n)}${v}` },
    { name: "r the order", sig: `0x${word(ORDER)}${s}${v}` },
    { name: "s the order", sig: `0x${r}${word(ORDER)}${v}` },
    { name: "r and s all ones", sig: `0x${"ff".repeat(64)}${v}` },
    { name: "r and s exchanged", sig: `0x${s}${r}${v}` },
    { name: "all zero", sig: `0x${"00".repeat(65)}` },
  ];
}

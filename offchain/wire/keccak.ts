import { type IHasher, createKeccak } from "hash-wasm";

import type { Hex } from "./bytes";

let hasher: IHasher | undefined;

/** Loads the WebAssembly hash. Every `main.ts` and every client awaits it once before anything is hashed. */
export async function keccakReady(): Promise<void> {
  hasher ??= await createKeccak(256);
}

function ready(): IHasher {
  if (hasher === undefined) throw new Error("keccak is not loaded: await keccakReady() first");
  return hasher;
}

/** keccak256 as bytes. @see docs/decisions/0001-native-hot-path.md */
export function keccak256(data: Uint8Array): Buffer {
  return Buffer.from(ready().init().update(data).digest("binary"));
}

/** keccak256 as `0x` hex. */
export function keccak256Hex(data: Uint8Array): Hex {
  return `0x${ready().init().update(data).digest("hex")}`;
}

import { createECDH } from "node:crypto";

/** One entry of the generator's table: affine x of a multiple of G, and the prime minus its affine y. */
export interface TableEntry {
  readonly scalar: bigint;
  readonly x: bigint;
  readonly negY: bigint;
}

const P = 2n ** 256n - 2n ** 224n + 2n ** 192n + 2n ** 96n - 1n;
/** Where the table begins in the verifier's memory: behind the sixteen entries of the key's own table. */
const BASE = 0x400;

/** The odd multiples G, 3·G, … 255·G of the generator of P-256, computed by OpenSSL. */
export function generatorTable(): readonly TableEntry[] {
  return Array.from({ length: 128 }, (_, index) => {
    const scalar = 2n * BigInt(index) + 1n;
    const ecdh = createECDH("prime256v1");
    ecdh.setPrivateKey(scalar.toString(16).padStart(64, "0"), "hex");
    const point = ecdh.getPublicKey("hex");
    return { scalar, x: BigInt(`0x${point.slice(2, 66)}`), negY: P - BigInt(`0x${point.slice(66)}`) };
  });
}

/** `contracts/libraries/P256GeneratorTable.sol`, whole. */
export function generatorTableSource(): string {
  const lines = generatorTable().flatMap(({ x, negY }, index) => [
    `            mstore(${hex(BASE + 64 * index, 4)}, ${hex(x, 64)})`,
    `            mstore(${hex(BASE + 64 * index + 32, 4)}, ${hex(negY, 64)})`,
  ]);
  return `// SPDX-License-Identifier: MIT
pragma solidity 0.8.30;

/// @title Multiples of P-256's generator
/// @notice Made by "npm run p256-table"; never edited by hand.
library P256GeneratorTable {
    /// @notice Writes the odd multiples G, 3·G, … 255·G to memory from ${hex(BASE, 4)} to ${hex(BASE + 64 * 128, 4)}: of each its affine x, then
    /// the prime minus its affine y.
    /// @dev Disregards Solidity's memory layout: only for code that allocates nothing.
    function load() internal pure {
        assembly {
${lines.join("\n")}
        }
    }
}
`;
}

function hex(value: bigint | number, digits: number): string {
  return `0x${value.toString(16).padStart(digits, "0")}`;
}

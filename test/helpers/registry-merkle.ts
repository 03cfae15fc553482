import { AbiCoder, concat, keccak256 } from "ethers";

/** A tree as OpenZeppelin's StandardMerkleTree builds it: leaves hashed twice and sorted, sorted pairs above. */
export interface MerkleTree {
  readonly root: string;
  /** Sibling hashes from the leaf of `values[index]` up. */
  proof(index: number): string[];
}

/** Builds the tree over ABI-encoded values. @see OpenZeppelin merkle-tree, StandardMerkleTree */
export function standardMerkleTree(types: readonly string[], values: readonly (readonly unknown[])[]): MerkleTree {
  const hashes = values.map((value) => keccak256(keccak256(AbiCoder.defaultAbiCoder().encode([...types], [...value]))));
  const leaves = [...hashes].sort();
  const size = 2 * leaves.length - 1;
  const tree = Array<string>(size).fill("");
  leaves.forEach((leaf, i) => (tree[size - 1 - i] = leaf));
  const at = (i: number): string => tree[i] ?? "";
  for (let i = size - 1 - leaves.length; i >= 0; --i)
    tree[i] = keccak256(concat([at(2 * i + 1), at(2 * i + 2)].sort()));
  return {
    root: at(0),
    proof(index) {
      const path: string[] = [];
      const start = size - 1 - leaves.indexOf(hashes[index] ?? "");
      for (let i = start; i > 0; i = (i - 1) >> 1) path.push(at(i % 2 === 0 ? i - 1 : i + 1));
      return path;
    },
  };
}

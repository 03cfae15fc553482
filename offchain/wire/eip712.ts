import { type Hex, fromHex } from "./bytes";
import { keccak256 } from "./keccak";

/** Where a device signature is valid: one chain, one SidecarRegistry. */
export interface Domain {
  readonly chainId: number;
  /** SidecarRegistry, lowercase hex. */
  readonly registry: Hex;
}

/** The separator of `{ name: "AgentKeys", version: "2", chainId, verifyingContract }`, 32 bytes. @see EIP-712 */
export function domainSeparator(domain: Domain): Buffer {
  return keccak256(
    Buffer.concat([
      keccak256(Buffer.from("EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)")),
      keccak256(Buffer.from("AgentKeys")),
      keccak256(Buffer.from("2")),
      uintWord(domain.chainId),
      addressWord(domain.registry),
    ]),
  );
}

/** keccak256(0x19 0x01 ‖ separator ‖ keccak256(typeHash ‖ words)). */
export function typedDigest(separator: Uint8Array, typeHash: Uint8Array, words: readonly Uint8Array[]): Buffer {
  return keccak256(Buffer.concat([PREFIX, separator, keccak256(Buffer.concat([typeHash, ...words]))]));
}

const PREFIX = Buffer.from([0x19, 0x01]);

/** A `bytes32` member. */
export function bytes32Word(value: Hex): Buffer {
  return fromHex(value);
}

/** A `uint` member of at most 53 bits. */
export function uintWord(value: number): Buffer {
  const word = Buffer.alloc(32);
  word.writeBigUInt64BE(BigInt(value), 24);
  return word;
}

/** An `address` member. */
export function addressWord(value: Hex): Buffer {
  const word = Buffer.alloc(32);
  fromHex(value).copy(word, 12);
  return word;
}

/** A `string` member of ASCII text. */
export function stringWord(value: string): Buffer {
  return keccak256(Buffer.from(value));
}

/** A cached type hash, computed at the first use because the hash is loaded asynchronously. */
export function typeHash(type: string): () => Buffer {
  let hash: Buffer | undefined;
  return () => (hash ??= keccak256(Buffer.from(type)));
}

import { createHash, createHmac } from "node:crypto";

import { privateKeyTweakAdd, privateKeyVerify, publicKeyCreate } from "secp256k1";

import { type Hex, fromHex } from "../../../wire/bytes";
import { MAX_AGENT_INDEX } from "../../../wire/kms";
import { addressOf } from "../../../wire/secp256k1";

/** A key in the hands of its user for as long as one call takes. */
export interface AgentKey {
  /** 32 bytes, zeroed when the call is over. */
  readonly secret: Uint8Array;
  /** Lowercase. */
  readonly address: Hex;
}

const HARDENED = 0x80000000;
/** The part of the path that is the same for every key: m/44'/60'/0'/1 (BIP-44, coin type of Ethereum). */
const PARENT_PATH = [44 + HARDENED, 60 + HARDENED, HARDENED, 1] as const;

/** Path of a key, for people and their wallets. */
export function derivationPath(index: number): string {
  return `m/44'/60'/0'/1/${index}`;
}

/**
 * SHA-256("agentkeys-uuid" ‖ operatorOmni ‖ account) as a UUID of version 8 (RFC 9562 section 5.8): the same for all keys
 * of one operator account, computed each time and never looked up.
 */
export function walletIdOf(operatorOmni: Hex, account: Hex): string {
  const hash = createHash("sha256").update("agentkeys-uuid").update(fromHex(operatorOmni)).update(fromHex(account));
  const bytes = hash.digest().subarray(0, 16);
  bytes.writeUInt8(0x80 | (bytes.readUInt8(6) & 0x0f), 6);
  bytes.writeUInt8(0x80 | (bytes.readUInt8(8) & 0x3f), 8);
  return bytes.toString("hex").replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
}

/** `<uuid>:<index>`. */
export function keyIdOf(operatorOmni: Hex, account: Hex, index: number): string {
  return `${walletIdOf(operatorOmni, account)}:${index}`;
}

/**
 * Derives one key (BIP-32, `m/44'/60'/0'/1/<index>`), hands it to `use`, and zeroes it and everything on the way to it,
 * also when `use` throws. The seed stays the caller's to zero. Written out over native secp256k1 because wallet libraries
 * keep keys in strings, which nothing can zero, and take milliseconds.
 * @param seed 32 bytes of one operator account
 */
export function withAgentKey<T>(seed: Uint8Array, index: number, use: (key: AgentKey) => T): T {
  if (!Number.isInteger(index) || index < 0 || index > MAX_AGENT_INDEX) throw new RangeError("no such index");
  let node = masterNode(seed);
  try {
    for (const number of [...PARENT_PATH, index]) {
      const next = childNode(node, number);
      wipe(node);
      node = next;
    }
    return use({ secret: node.secret, address: addressOf(node.secret) });
  } finally {
    wipe(node);
  }
}

/** The address of a key. */
export function agentAddressOf(seed: Uint8Array, index: number): Hex {
  return withAgentKey(seed, index, ({ address }) => address);
}

interface Node {
  readonly secret: Buffer;
  readonly chainCode: Buffer;
}

function masterNode(seed: Uint8Array): Node {
  if (seed.length !== 32) throw new RangeError("a seed has 32 bytes");
  const node = split(createHmac("sha512", "Bitcoin seed").update(seed).digest());
  if (!privateKeyVerify(node.secret)) throw new Error("BIP-32: the seed is unusable"); // one in 2^127
  return node;
}

/** CKDpriv of BIP-32. */
function childNode({ secret, chainCode }: Node, number: number): Node {
  const data = Buffer.alloc(37);
  if (number >= HARDENED) data.set(secret, 1);
  else data.set(publicKeyCreate(secret, true));
  data.writeUInt32BE(number, 33);
  const child = split(createHmac("sha512", chainCode).update(data).digest());
  data.fill(0);
  privateKeyTweakAdd(child.secret, secret); // in place; throws for the one in 2^127 that BIP-32 skips
  return child;
}

/** Left and right half, over the same memory. */
function split(hash: Buffer): Node {
  return { secret: hash.subarray(0, 32), chainCode: hash.subarray(32) };
}

function wipe({ secret, chainCode }: Node): void {
  secret.fill(0);
  chainCode.fill(0);
}

import { createHash } from "node:crypto";

import { type Hex, fromHex, toHex } from "./bytes";
import { keccak256Hex } from "./keccak";

/** What kind of data a cap, a grant and a worker are about. */
export type DataClass = "credentials" | "memory" | "config";

/** What a cap allows once redeemed. */
export type Op = "store" | "fetch" | "teardown" | "rotate" | "classify";

/** Number of each class in the contracts. @see contracts note 2.2 */
export const DATA_CLASS_ID: Readonly<Record<DataClass, 1 | 2 | 3>> = { credentials: 1, memory: 2, config: 3 };

/** The grant bit that each operation needs; rotate needs STORE. @see protocol 3.11 "Contracts side" */
export const OP_BIT: Readonly<Record<Op, number>> = { store: 1, fetch: 2, teardown: 4, classify: 8, rotate: 1 };

/** Role bits of a device. @see contracts note 2.1 */
export const ROLE = { CAP_MINT: 1, RECOVERY: 2, SCOPE_MGMT: 4 } as const;

/** Tier of a device. */
export const TIER = { MASTER: 1, AGENT: 2 } as const;

/** `validUntil` of a grant without an end. */
export const NO_END = 2 ** 40 - 1;

const LABEL = /^[a-z0-9-]{1,32}$/;
const SERVICE = /^[a-z0-9][a-z0-9._:-]{0,63}$/;

/** An agent's label. */
export function isLabel(value: unknown): value is string {
  return typeof value === "string" && LABEL.test(value);
}

/** A service name: also safe as a file name, since `..` and `/` cannot occur. */
export function isService(value: unknown): value is string {
  return typeof value === "string" && SERVICE.test(value) && !value.includes("..");
}

/** True for one of the three data classes. */
export function isDataClass(value: unknown): value is DataClass {
  return typeof value === "string" && Object.hasOwn(DATA_CLASS_ID, value);
}

/** True for one of the operations. */
export function isOp(value: unknown): value is Op {
  return typeof value === "string" && Object.hasOwn(OP_BIT, value);
}

/** SHA-256("agentkeys" ‖ "evm" ‖ address as 42 lowercase ASCII bytes). @see system note, Names */
export function operatorOmni(account: string): Hex {
  return toHex(createHash("sha256").update("agentkeysevm").update(account.toLowerCase(), "ascii").digest());
}

/** SHA-256("agentkeys-hdkd-v1" ‖ parent omni ‖ "//" ‖ label). */
export function actorOmni(parent: Hex, label: string): Hex {
  if (!isLabel(label)) throw new RangeError("a label is 1 to 32 of a-z, 0-9 and -");
  return toHex(
    createHash("sha256")
      .update("agentkeys-hdkd-v1")
      .update(fromHex(parent))
      .update("//")
      .update(label, "ascii")
      .digest(),
  );
}

/** keccak256 of the 20 raw bytes of the K10 address. */
export function deviceKeyHash(address: string): Hex {
  return keccak256Hex(Buffer.from(address.slice(2), "hex"));
}

/** keccak256 of the ASCII bytes of the service. */
export function serviceHash(service: string): Hex {
  return keccak256Hex(Buffer.from(service, "ascii"));
}

/** `bots/<actor 64 hex>/<class>/<service>.enc`. @see protocol 3.6 */
export function objectPath(actor: Hex, dataClass: DataClass, service: string): string {
  return `bots/${actor.slice(2)}/${dataClass}/${service}.enc`;
}

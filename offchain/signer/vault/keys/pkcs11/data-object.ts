import type { Handle } from "pkcs11js";

import { type JsonObject, isWholeNumber, readJsonObject } from "../../../../wire/json";
import { VaultKeysError } from "../vault-keys";
import type { Token } from "./token";

const APPLICATION = "agentkeys";

/** Public facts, kept by the token as a JSON text with a number: readable and writable only when logged in. */
export interface Numbered {
  readonly sequence: number;
  readonly words: JsonObject;
}

/** The newest of this label; undefined where there is none. */
export function readNumbered(token: Token, label: string): Numbered | undefined {
  let newest: Numbered | undefined;
  for (const object of token.find(label, token.ck.CKO_DATA)) {
    // one that does not read is what a crash left of a write that was never acknowledged
    const read = readJsonObject(token.read(object, token.ck.CKA_VALUE));
    const sequence = read.ok ? read.value["sequence"] : undefined;
    if (!read.ok || !isWholeNumber(sequence)) continue;
    if (newest === undefined || sequence > newest.sequence) newest = { sequence, words: read.value };
  }
  return newest;
}

/**
 * Puts another text in its place: a new object first, then the old ones go, so that a crash leaves one or the other.
 * `sequence` must be above the one that is there.
 */
export function writeNumbered(token: Token, label: string, sequence: number, words: object): void {
  const before = token.find(label, token.ck.CKO_DATA);
  createData(token, label, Buffer.from(JSON.stringify({ ...words, sequence })));
  for (const object of before) token.destroy(object);
}

/** The bytes of the one data object of this label; undefined where there is none. @throws VaultKeysError for several */
export function readData(token: Token, label: string): Buffer | undefined {
  const [object, ...more] = token.find(label, token.ck.CKO_DATA);
  if (more.length > 0) throw new VaultKeysError(`the token holds several objects ${label}`);
  return object === undefined ? undefined : token.read(object, token.ck.CKA_VALUE);
}

/** Keeps bytes in a data object. */
export function createData(token: Token, label: string, value: Buffer): Handle {
  const { ck } = token;
  return token.create([
    { type: ck.CKA_CLASS, value: ck.CKO_DATA },
    { type: ck.CKA_TOKEN, value: true },
    { type: ck.CKA_PRIVATE, value: true },
    { type: ck.CKA_APPLICATION, value: APPLICATION },
    { type: ck.CKA_LABEL, value: label },
    { type: ck.CKA_VALUE, value },
  ]);
}

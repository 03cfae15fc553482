import { type JsonValue, isJsonObject, isWholeNumber } from "../../../../wire/json";
import { type TokenSecret, VaultKeysError } from "../vault-keys";
import { readNumbered, writeNumbered } from "./data-object";
import { LABELS } from "./objects";
import type { Token } from "./token";

/** What the token's keys do not say of themselves. */
export interface Book {
  readonly sequence: number;
  readonly tokenSecrets: readonly TokenSecret[];
  /** The state that belongs to these keys, once one was written; `STATE_ELSEWHERE` where they were made from others. */
  readonly stateId?: string;
}

/** Reads it; undefined in a token without a vault. @throws VaultKeysError for one that does not read */
export function readBook(token: Token): Book | undefined {
  const found = readNumbered(token, LABELS.book);
  if (found === undefined) return undefined;
  const { token_secrets, state_id } = found.words;
  if (!Array.isArray(token_secrets)) throw new VaultKeysError("the token's book is damaged");
  return {
    sequence: found.sequence,
    tokenSecrets: (token_secrets as readonly JsonValue[]).map(readSecret),
    ...(typeof state_id === "string" ? { stateId: state_id } : {}),
  };
}

/** Puts the next one in its place; returns it. */
export function writeBook(token: Token, book: Book): Book {
  const next = { ...book, sequence: book.sequence + 1 };
  writeNumbered(token, LABELS.book, next.sequence, {
    token_secrets: next.tokenSecrets.map(({ kid, createdAt, retiredAt, lastExpiry }) => ({
      kid,
      created_at: createdAt,
      ...(retiredAt === undefined ? {} : { retired_at: retiredAt }),
      last_expiry: lastExpiry,
    })),
    ...(next.stateId === undefined ? {} : { state_id: next.stateId }),
  });
  return next;
}

function readSecret(value: JsonValue): TokenSecret {
  const { kid, created_at, retired_at, last_expiry } = isJsonObject(value) ? value : {};
  if (typeof kid !== "string" || !isWholeNumber(created_at) || !isWholeNumber(last_expiry)) {
    throw new VaultKeysError("the token's book is damaged");
  }
  return {
    kid,
    createdAt: created_at,
    ...(isWholeNumber(retired_at) ? { retiredAt: retired_at } : {}),
    lastExpiry: last_expiry,
  };
}

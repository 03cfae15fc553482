import { randomBytes } from "node:crypto";

import { Secret } from "../../../../wire/secret";
import { VaultKeysError, type VaultSeeds } from "../vault-keys";
import { createData, readData } from "./data-object";
import { LABELS, must } from "./objects";
import type { Token } from "./token";

const IV_BYTES = 12;
const SEED_BYTES = 32;
const AAD = Buffer.from(LABELS.seeds);

/** The two secrets that are wrapped by a key of the token, and come into memory when they are used. */
export type WrappedSeeds = Pick<VaultSeeds, "agentSeed" | "stateKey">;

/** Keeps them: AES-256-GCM by the wrap key, which never leaves the token. */
export function wrapSeeds(token: Token, { agentSeed, stateKey }: WrappedSeeds): void {
  const iv = randomBytes(IV_BYTES);
  const clear = Buffer.concat([agentSeed.reveal(), stateKey.reveal()]);
  const sealed = token.encrypt(must(token, LABELS.wrap, token.ck.CKO_SECRET_KEY), iv, AAD, clear);
  clear.fill(0);
  createData(token, LABELS.seeds, Buffer.concat([iv, sealed]));
}

/** Takes them out; the caller zeroes what it does not keep. @throws VaultKeysError where they are not there or changed */
export function unwrapSeeds(token: Token): WrappedSeeds {
  const stored = readData(token, LABELS.seeds);
  if (stored === undefined) throw new VaultKeysError(`the token lacks its object ${LABELS.seeds}`);
  const [iv, sealed] = [stored.subarray(0, IV_BYTES), stored.subarray(IV_BYTES)];
  const clear = token.decrypt(must(token, LABELS.wrap, token.ck.CKO_SECRET_KEY), iv, AAD, sealed);
  if (clear.length !== 2 * SEED_BYTES) throw new VaultKeysError(`the token's ${LABELS.seeds} is damaged`);
  const seeds = {
    agentSeed: new Secret(Buffer.from(clear.subarray(0, SEED_BYTES))),
    stateKey: new Secret(Buffer.from(clear.subarray(SEED_BYTES))),
  };
  clear.fill(0);
  return seeds;
}

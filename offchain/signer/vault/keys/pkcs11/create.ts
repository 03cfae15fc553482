import { lockFolder } from "../../../../store/folder-lock";
import { drawSeeds } from "../vault-contents";
import { VaultKeysError, type VaultSeeds } from "../vault-keys";
import { whenFree } from "../when-free";
import { readBook, writeBook } from "./book";
import { readData } from "./data-object";
import { keepEpoch } from "./epoch-keys";
import { LABELS, drawSigningPair, drawWrapKey, only } from "./objects";
import { wrapSeeds } from "./seeds";
import { type Token, type TokenSettings, openToken } from "./token";

/**
 * Makes a vault in a token, from seeds or with fresh ones. The book comes last: until it is there the token opens for
 * nobody, and a set-up that was cut off is completed by calling this again with the same seeds.
 * @throws VaultKeysError where the token holds a vault already, or another one's parts
 */
export async function createInToken(
  settings: TokenSettings & { readonly writerDir: string },
  seeds: VaultSeeds = drawSeeds(),
): Promise<void> {
  const token = openToken(settings);
  try {
    await whenFree(() => {
      const lock = lockFolder(settings.writerDir);
      try {
        token.within(() => {
          complete(token, settings.label, seeds);
        });
      } finally {
        lock.release();
      }
    });
  } finally {
    token.close();
  }
}

/** True where a token holds a whole vault; false also for one whose set-up was cut off. @throws VaultKeysError */
export function holdsVault(settings: TokenSettings): boolean {
  const token = openToken(settings);
  try {
    return token.within(() => readBook(token) !== undefined);
  } finally {
    token.close();
  }
}

function complete(token: Token, label: string, seeds: VaultSeeds): void {
  const { ck } = token;
  if (readBook(token) !== undefined) throw new VaultKeysError(`the token ${label} holds a vault already`);
  for (const [epoch, k3] of seeds.epochs) keepEpoch(token, epoch, k3.reveal());
  for (const use of ["sts", "audit"] as const) {
    const hasBoth = [ck.CKO_PUBLIC_KEY, ck.CKO_PRIVATE_KEY].every((one) => only(token, LABELS.signing(use), one));
    if (hasBoth) continue;
    // a pair that was cut in two has signed nothing yet
    for (const half of token.find(LABELS.signing(use))) token.destroy(half);
    drawSigningPair(token, LABELS.signing(use));
  }
  if (only(token, LABELS.wrap, ck.CKO_SECRET_KEY) === undefined) drawWrapKey(token, LABELS.wrap);
  // those of an earlier try are not used by anything yet
  if (readData(token, LABELS.seeds) !== undefined) {
    for (const old of token.find(LABELS.seeds)) token.destroy(old);
  }
  wrapSeeds(token, seeds);
  writeBook(token, {
    sequence: 0,
    tokenSecrets: [],
    ...(seeds.stateId === undefined ? {} : { stateId: seeds.stateId }),
  });
}
